"""Numbers out of limits, far from the others, or in another unit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.columns import ThinnedSample
from tasks.clean.numbers import in_other_unit, unit_jump, usual

NUMBERS = {"id": "key", "size": "number"}


def table_of(values):
    rows = "".join(f"{i},{'' if v is None else v}\n" for i, v in enumerate(values))
    return "id,size\n" + rows


def test_limits_set_aside(clean):
    outcome = clean(
        table_of([5, -1, 130, None, 120]),
        columns=NUMBERS,
        id="id",
        limits={"limits": {"rows.size": (0, 120)}},
    )
    assert outcome.reasons == {"out_of_range": 2}
    assert {row["detail"] for row in outcome.quarantine} == {"-1, under 0", "130, over 120"}
    assert [row["size"] for row in outcome.only()] == [5.0, None, 120.0]


def test_an_outlier_is_flagged_and_a_long_tail_told(clean, flags):
    values = np.random.default_rng(0).normal(70, 5, 300).round(2).tolist()
    clean(table_of([*values, 700]), columns=NUMBERS, id="id")
    (row,) = flags("outlier")
    assert row["record_id"] == "300"
    assert row["detail"].startswith("700, where the median is 69.62")
    tails = np.exp(np.random.default_rng(0).normal(0, 3, 500)).round(6).tolist()
    outcome = clean(table_of(tails), columns=NUMBERS, id="id")
    assert flags("outlier") == []
    told = outcome.report.sources[0].odd_columns["outlier"]["size"]
    assert "that is the shape of the column" in told


def test_mostly_equal_values_are_no_reason_to_flag_the_others():
    steering = np.concatenate([np.zeros(740), np.random.default_rng(1).uniform(-1, 1, 260)])
    found = usual(steering, 10)
    assert found is not None
    assert found.low <= -1
    assert found.high >= 1


@pytest.mark.parametrize("factor", [1000, 1e6, 0.001])
def test_a_unit_jump_is_found_on_either_side(factor):
    values = np.random.default_rng(2).normal(70, 8, 500)
    values[100:150] *= factor
    jump = unit_jump(values)
    assert jump is not None
    assert np.flatnonzero(in_other_unit(values, jump)).tolist() == list(range(100, 150))


@given(st.integers(0, 1000), st.floats(0.1, 1.5))
def test_what_is_merely_spread_is_no_unit_jump(seed, sigma):
    values = np.exp(np.random.default_rng(seed).normal(3, sigma, 400))
    assert unit_jump(values) is None


def test_the_records_of_a_unit_jump_are_flagged_with_their_file(clean, flags):
    grams = [60 + i % 30 for i in range(200)]
    kilograms = [0.06 + i % 30 / 1000 for i in range(20)]
    outcome = clean(table_of([*grams, *kilograms]), columns=NUMBERS, id="id")
    assert {row["record_id"] for row in flags("unit_jump")} == {str(i) for i in range(200, 220)}
    assert flags("outlier") == []
    (notice,) = [n for n in outcome.report.notices if "unit_jump" in n]
    assert "1,000 times" in notice


def test_a_sample_is_all_of_a_short_stream_and_bounded_for_a_long_one():
    sample = ThinnedSample()
    sample.add(np.arange(15_000))
    assert sample.is_all
    assert sample.values().tolist() == list(range(15_000))
    for start in range(15_000, 400_000, 5000):
        sample.add(np.arange(start, start + 5000))
    values = sample.values()
    assert not sample.is_all
    assert 8_000 < len(values) <= 20_000
    assert abs(np.median(values) - 200_000) < 6000
    parts = ThinnedSample()
    for part in np.array_split(np.arange(400_000), 7):
        parts.add(part)
    assert parts.values().tolist() == values.tolist()
