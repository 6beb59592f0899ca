"""Sensors that freeze, pause or repeat themselves, in batches of any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.sensors import Readings, SensorSurvey, steps_between


def readings(values, start=0, step=1.0):
    n = len(values)
    rows = np.arange(start, start + n)
    times = (rows * step * 1e6).astype(np.int64)
    return Readings(rows, times, {"x": np.asarray(values, dtype=np.float64)})


def stuck(values, cuts=(), limit=20.0):
    survey = SensorSurvey(limit)
    for part in np.split(np.arange(len(values)), sorted(cuts)):
        if len(part):
            survey.add("a", readings(np.asarray(values)[part], int(part[0])))
    survey.finish()
    return [(s.first, s.last, s.value, s.n_readings) for s in survey.stuck]


def test_a_frozen_value_is_found_once():
    values = [1.0, 2.0, *[5.0] * 30, 3.0, *[4.0] * 15]
    assert stuck(values) == [(2, 31, 5.0, 30)]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 40)), min_size=1, max_size=8),
    st.sets(st.integers(0, 120), max_size=6),
)
def test_batches_do_not_matter(runs, cuts):
    values = [float(value) for value, length in runs for _ in range(length)]
    assert stuck(values, cuts) == stuck(values)


def test_missing_values_are_not_frozen():
    assert stuck([np.nan] * 50) == []


def test_steps():
    times = np.array([0, 1, 1, 5, 4]) * 1_000_000
    steps = steps_between(times, None)
    assert steps.seconds.tolist() == [0, 1, 0, 4, 0]
    assert steps.repeats.tolist() == [False, False, True, False, False]
    assert steps.goes_back.tolist() == [False, False, False, False, True]
    assert steps_between(times, 0).repeats.tolist()[0]


def noisy(n, seed=0):
    return np.random.default_rng(seed).normal(0, 1, n).round(4)


def test_gaps_repeats_and_frozen_values_are_flagged(clean_sensor, flags):
    values = noisy(200)
    values[50:130] = 0.25
    rows = [[i, v] for i, v in enumerate(values)]
    rows[150:] = [[t + 30, v] for t, v in rows[150:]]
    rows.insert(10, [9, 0.5])
    outcome = clean_sensor({"walk": rows, "run": [[i, v] for i, v in enumerate(noisy(50, 1))]})
    assert outcome.report.sources[0].flags == {
        "duplicate_time": 1,
        "stuck_sensor": 1,
        "sensor_gap": 1,
    }
    assert flags("stuck_sensor")[0]["detail"] == "0.2500 for 79.00 s (80 readings in a row)"
    assert flags("sensor_gap")[0]["detail"] == "31.00 s after the reading before it"
    assert {row["column"] for row in flags()} == {"time", "x"}


def test_frozen_values_and_repeats_can_be_dropped(clean_sensor):
    values = noisy(100)
    values[20:95] = 7.0
    rows = [[i, v] for i, v in enumerate(values)] + [[99, 0.1]]
    drop = {"checks": {"stuck_sensor": "drop", "duplicate_time": "drop"}}
    outcome = clean_sensor({"walk": rows}, limits=drop)
    assert outcome.reasons == {"stuck_sensor": 75, "duplicate_time": 1}
    assert 7.0 not in {row["x"] for row in outcome.only()}


def test_recordings_in_turn_are_kept_apart(tmp_path, settings, outcome_of, flags):
    (tmp_path / "raw").mkdir()
    lines = [f"{i},{name},{i % 7}" for i in range(60) for name in ("a", "b")]
    text = "t,who,x\n" + "\n".join(lines) + "\n"
    (tmp_path / "raw" / "watch.csv").write_text(text, encoding="utf-8")
    source = {"kind": "sensor", "name": "watch", "path": "watch.csv", "time": "t"}
    source |= {"series": "who", "time_unit": "s", "values": {"x": "number"}}
    params = settings(source)
    outcome_of("collect", params, tmp_path)
    outcome_of("clean", params, tmp_path)
    assert flags() == []


@pytest.mark.parametrize("action", ["flag", "drop"])
def test_a_clock_that_was_never_set(clean_sensor, flags, action):
    start = 1_700_000_000
    rows = [[start + i, v] for i, v in enumerate(noisy(400))]
    rows[200][0] = 12
    rows[300][0] = start + 400 * 86_400
    outcome = clean_sensor({"a": rows}, limits={"checks": {"implausible_time": action}})
    if action == "drop":
        assert outcome.reasons == {"implausible_time": 2}
    else:
        told = [row["detail"] for row in flags("implausible_time")]
        assert told[0] == "1970-01-01T00:00:12, far earlier than the others"
        assert "far later" in told[1]
