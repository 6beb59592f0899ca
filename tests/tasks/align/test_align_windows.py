"""Windows of sensors: cut from a base, joined to records, resampled, counted."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.align.recordings import Recording
from tasks.align.resampling import Grid, resample
from tasks.align.segments import label_windows, window_starts
from tasks.errors import DataError
from tasks.samples.media import MediaStore
from tasks.samples.quarantine import read_quarantine
from tasks.samples.schema import SampleSchema
from tasks.samples.windows import decode_window

CUT = {"seconds": 1.0, "every_seconds": 0.5, "rate_hz": 10}
WATCH = {"x": "number", "y": "number", "label": "category"}
JOIN = {
    "on": "window", "right": "phone", "series": "series", "seconds": 1.0, "rate_hz": 10,
    "tolerance_seconds": 0.2,
}  # fmt: skip
BOTH = {"base": "watch", "segments": CUT, "inputs": ("watch", "phone"), "target": "watch.label"}


def readings(start, seconds, rate, labels=None, **channels):
    time = start + np.arange(round(seconds * rate)) / rate
    cells = {name: values(time).tolist() for name, values in channels.items()}
    if labels is not None:
        cells["label"] = [labels(t - start) for t in time]
    return {"time": time.tolist(), **cells}


def fill(aligned, watch_at=1000.0, phone_at=1000.0):
    def moving(t):
        return "walk" if t < 2.5 else "sit"

    aligned.sensor(
        "watch",
        WATCH,
        {
            "b": readings(watch_at, 4.05, 20, moving, x=np.sin, y=lambda t: 2 * t),
            "a": readings(watch_at + 500, 4.05, 20, moving, x=np.cos, y=lambda t: -t),
        },
    )
    aligned.sensor(
        "phone",
        {"z": "number"},
        {
            "a": readings(phone_at + 500.2, 6.0, 15, z=lambda t: 3 * t),
            "b": readings(phone_at - 0.3, 6.0, 15, z=lambda t: t),
        },
    )


def windows_of(aligned, column):
    store = MediaStore(aligned.root / "data" / "align" / "windows")
    digests = aligned.read("samples")[column].to_pylist()
    return [None if d is None else decode_window(store.read(d)) for d in digests]


def test_a_base_is_cut_into_windows_on_an_even_grid(aligned):
    fill(aligned)
    report = aligned.run(joins=(JOIN,), **BOTH)
    samples = aligned.read("samples")
    assert samples["sample_id"].to_pylist()[:2] == ["a@0", "a@500000"]
    assert samples["watch.series"].to_pylist() == ["a"] * 7 + ["b"] * 7
    starts = samples["watch.start"].cast(pa.int64()).to_pylist()
    ends = samples["watch.time"].cast(pa.int64()).to_pylist()
    assert starts[7:9] == [1_000_000_000, 1_000_500_000]
    assert {b - a for a, b in zip(starts, ends, strict=True)} == {1_000_000}
    assert samples["target"].to_pylist()[:7] == ["walk"] * 4 + ["sit"] * 3
    first = windows_of(aligned, "watch.window")[7]
    assert first.shape == (10, 2)
    # 20 readings a second on a grid of 10: the mean of the reading on the step and its neighbour.
    at = 1000 + np.arange(1, 10) / 10
    assert first[1:, 1] == pytest.approx(2 * at - 0.05, abs=1e-3)
    schema = SampleSchema.of(samples)
    watch, phone = schema.inputs
    assert (watch.name, watch.modality, watch.column) == ("watch", "timeseries", "watch.window")
    assert (watch.channels, watch.rate_hz, watch.n_steps) == (("x", "y"), 10, 10)
    assert (phone.channels, phone.n_steps) == (("z",), 10)
    assert report.segments.n_windows == 14
    assert report.segments.n_readings_used + report.segments.n_readings_unused == 162
    assert report.target_before.classes == report.target_after.classes


def test_windows_of_another_sensor_lie_on_the_same_grid(aligned):
    fill(aligned)
    report = aligned.run(joins=(JOIN,), **BOTH)
    samples, windows = aligned.read("samples"), windows_of(aligned, "phone.window")
    starts = samples["watch.start"].cast(pa.int64()).to_numpy() / 1e6
    for series, start, window in zip(
        samples["watch.series"].to_pylist(), starts, windows, strict=True
    ):
        at = start + np.arange(10) / 10
        expected = at if series == "b" else 3 * at
        there = np.isfinite(window[:, 0])
        assert there.sum() >= 5
        # Held for at most a reading's time before the window ends, read off the line elsewhere.
        assert np.abs(window[there, 0] - expected[there]).max() < 0.21
        assert np.abs(window[:-2, 0] - expected[:-2])[there[:-2]].max() < 1e-3
    pair = report.pairs[0]
    assert pair.matched_right + pair.unmatched_right == pair.n_right == 180
    assert pair.windows.n_windows == pair.matched_left == 14


def test_a_window_before_a_time_reads_nothing_after_it(aligned):
    later = readings(1000.0, 2.0, 10, z=lambda t: np.where(t > 1001.01, 1e6, 1.0))
    aligned.sensor("phone", {"z": "number"}, {"b": later})
    aligned.source(
        "events", {"at": "time", "who": "key", "y": "category"},
        at=[1001.05], who=["b"], y=["c"],
    )  # fmt: skip
    join = {**JOIN, "left_on": "at", "series": "who"}
    report = aligned.run(base="events", joins=(join,), inputs=("phone",), target="y")
    (window,) = windows_of(aligned, "phone.window")
    assert window[:, 0].tolist() == [1.0] * 10
    assert report.pairs[0].windows.n_steps_held == 0


def test_the_last_reading_holds_until_the_window_ends(aligned):
    aligned.sensor("phone", {"z": "number"}, {"b": readings(1000.0, 9.0, 4, z=lambda t: t)})
    aligned.source("events", {"at": "time", "y": "category"}, at=[1002.2], y=["c"])
    join = {**JOIN, "left_on": "at", "series": None, "tolerance_seconds": 0.25}
    report = aligned.run(base="events", joins=(join,), inputs=("phone",), target="y")
    (window,) = windows_of(aligned, "phone.window")
    assert window[:, 0] == pytest.approx([1001.2 + i / 10 for i in range(9)] + [1002.0], abs=0.001)
    assert report.pairs[0].windows.n_steps_held == 1


def test_an_around_window_has_its_middle_at_the_time(aligned):
    aligned.sensor("phone", {"z": "number"}, {"b": readings(0.0, 10.0, 50, z=lambda t: t)})
    aligned.source("events", {"at": "time", "y": "category"}, at=[5.0], y=["c"])
    join = {**JOIN, "left_on": "at", "series": None, "position": "around"}
    aligned.run(base="events", joins=(join,), inputs=("phone",), target="y")
    (window,) = windows_of(aligned, "phone.window")
    assert window.mean() == pytest.approx(5.0, abs=0.02)


def test_reasons_of_records_without_a_window(aligned):
    aligned.sensor("phone", {"z": "number"}, {"b": readings(0.0, 10.0, 50, z=np.sin)})
    aligned.source(
        "events", {"at": "time", "who": "key", "n": "number", "y": "category"},
        at=[5.0, None, 5.0, 5.0, 10.85, 99.0], who=["b", "b", None, "q", "b", "b"],
        n=[1.0] * 6, y=["c"] * 6,
    )  # fmt: skip
    join = {**JOIN, "left_on": "at", "series": "who"}
    report = aligned.run(base="events", joins=(join,), inputs=("phone", "n"), target="y")
    reasons = {r["record_id"]: r["reason"] for r in aligned.read("unmatched").to_pylist()}
    assert reasons == {
        "events-2": "no_time", "events-3": "no_key", "events-4": "no_partner",
        "events-5": "low_coverage", "events-6": "no_partner",
    }  # fmt: skip
    assert report.pairs[0].windows.n_low_coverage == 1


def test_unsure_and_empty_windows_of_the_base_are_set_aside(aligned):
    time = np.r_[np.arange(0, 2, 0.1), np.arange(2.9, 5, 0.1), np.arange(50, 52, 0.1)]
    label = [None if t > 51 else "p" if round(10 * t) % 4 < 2 and t < 2 else "q" for t in time]
    cells = {"time": time.tolist(), "x": np.sin(time).tolist(), "y": time.tolist(), "label": label}
    aligned.sensor("watch", WATCH, {"a": cells})
    cut = {**CUT, "min_agreement": 0.8, "min_coverage": 0.95, "tolerance_seconds": 0.2}
    report = aligned.run(base="watch", segments=cut, inputs=("watch",), target="watch.label")
    aside = read_quarantine(aligned.root / "data" / "align").to_pylist()
    assert set(report.quarantine_reasons) == {"low_agreement", "low_coverage", "null_target"}
    assert report.n_samples + report.n_quarantined == report.n_base == report.segments.n_windows
    samples = set(aligned.read("samples")["sample_id"].to_pylist())
    assert samples.isdisjoint(r["record_id"] for r in aside)
    assert report.segments.n_windows < 20  # none is cut in the long gap


def test_recordings_that_overlap_cannot_be_read_as_one(aligned):
    fill(aligned)
    both = {"a": readings(1000.0, 5.0, 10, z=np.sin), "b": readings(1002.0, 5.0, 10, z=np.sin)}
    aligned.sensor("phone", {"z": "number"}, both)
    with pytest.raises(DataError, match="'a' and 'b' overlap in time"):
        aligned.run(joins=({**JOIN, "series": None},), **BOTH)


def test_readings_too_rare_for_the_tolerance_are_told(aligned):
    fill(aligned)
    aligned.sensor("phone", {"z": "number"}, {"a": readings(1490.5, 20, 1, z=np.sin)})
    with pytest.raises(DataError, match=r"1 s apart at best.*raise tolerance_seconds to 1"):
        aligned.run(joins=(JOIN,), **BOTH)


def test_an_offset_clock_of_a_sensor_is_found_and_undone(aligned):
    rng = np.random.default_rng(2)
    at = np.arange(0, 120, 0.05)
    moved = np.convolve(rng.normal(size=len(at)), np.hanning(9), mode="same")
    watch = {"time": (1000 + at).tolist(), "x": moved.tolist(), "y": moved.tolist(),
             "label": ["c" if t < 60 else "d" for t in at]}  # fmt: skip
    aligned.sensor("watch", WATCH, {"a": watch})
    phone = {"time": (1007.3 + at * (1 + 2e-4)).tolist(), "z": moved.tolist()}
    aligned.sensor("phone", {"z": "number"}, {"a": phone})
    join = {**JOIN, "estimate_clock_offset": True, "max_clock_offset_seconds": 20.0}
    report = aligned.run(joins=(join,), **BOTH)
    (clock,) = report.pairs[0].windows.clocks
    assert clock.applied == "own"
    assert clock.offset_seconds == pytest.approx(7.3 + 60 * 2e-4, abs=0.02)
    pairs = zip(
        windows_of(aligned, "watch.window"), windows_of(aligned, "phone.window"), strict=True
    )
    watched, phoned = (np.concatenate(side) for side in zip(*pairs, strict=True))
    both = np.isfinite(phoned[:, 0]) & np.isfinite(watched[:, 0])
    assert np.corrcoef(watched[both, 0], phoned[both, 0])[0, 1] > 0.9
    page = (aligned.root / "reports" / "align.html").read_text()
    assert "What both saw, by offset" in page


def test_row_order_and_repetition_do_not_change_a_byte(aligned):
    fill(aligned)
    report = aligned.run(joins=(JOIN,), **BOTH)
    manifest = aligned.root / "data" / "align" / "MANIFEST.json"
    first = manifest.read_bytes()
    rng = np.random.default_rng(3)
    for name in ("watch", "phone"):
        path = aligned.root / "data" / "clean" / "records" / f"{name}.parquet"
        table = aligned.read(f"../clean/records/{name}")
        from tasks.samples.tables import write_table

        write_table(table.take(rng.permutation(table.num_rows)), path)
    assert aligned.run(joins=(JOIN,), **BOTH) == report
    assert manifest.read_bytes() == first


@given(
    gaps=st.lists(st.integers(1, 400), min_size=1, max_size=40),
    rate=st.sampled_from([1.0, 5.0, 20.0]),
    tolerance=st.integers(10, 300),
    shift=st.integers(-500, 500),
)
@settings(max_examples=200, deadline=None)
def test_steps_have_a_value_only_between_readings_near_enough(gaps, rate, tolerance, shift):
    times = np.cumsum(np.asarray([0, *gaps])) * 1000
    recording = Recording(times, np.stack([times / 1e3, np.ones(len(times))], axis=1))
    grid = Grid(12, rate, tolerance * 1000)
    (part,) = resample(recording, np.asarray([shift * 1000]), grid)
    at = shift * 1000 + grid.offsets
    for step, value in zip(at, part.values[0, :, 0], strict=True):
        before, after = times[times <= step], times[times >= step]
        near = (
            len(before) and len(after)
            and step - before[-1] <= tolerance * 1000 and after[0] - step <= tolerance * 1000
        )  # fmt: skip
        if near and not np.isnan(value):
            assert times[0] / 1e3 <= value <= times[-1] / 1e3
        if not near:
            half = min(round(0.5e6 / rate), tolerance * 1000)
            assert np.isnan(value) or (np.abs(times - step) <= half).any()
    assert part.coverage[0] == np.isfinite(part.values[0, :, 0]).mean()


def test_too_many_readings_for_the_grid_are_averaged():
    rng = np.random.default_rng(1)
    times = np.arange(0, 10_000_000, 1_000)
    recording = Recording(times, rng.normal(size=(len(times), 1)))
    (part,) = resample(recording, np.asarray([2_000_000]), Grid(40, 10.0, 50_000))
    assert part.values.std() < 0.2


@given(
    steps=st.lists(st.integers(0, 30), min_size=1, max_size=30),
    every=st.integers(1, 7), length=st.integers(1, 12),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_a_window_is_cut_wherever_readings_are(steps, every, length):
    times = np.cumsum(steps)
    found = window_starts(times, every, length, length - 1).tolist()
    expected = [
        start
        for start in range(times[0], times[-1] + 1, every)
        if start + length - 1 <= times[-1] and ((times >= start) & (times < start + length)).any()
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("how", "label", "agreement"), [("majority", "b", 0.75), ("last", "a", 0.25)]
)
def test_labels_of_a_window(how, label, agreement):
    labels = pa.array(["a", "b", "b", None, "b", "a", None])
    first, last = np.asarray([1]), np.asarray([7])
    found, agree = label_windows(labels, first, last, how)
    assert (found.to_pylist(), agree.tolist()) == ([label], [agreement])
    numbers, _ = label_windows(pa.array([1.0, 2.0, None, 6.0]), first * 0, first * 0 + 4, "mean")
    assert numbers.to_pylist() == [3.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segments": None}, "'watch' has no windows"),
        ({"joins": ()}, "not joined to the base"),
        ({"segments": {**CUT, "label": "mean"}}, "'mean' does not suit target"),
        ({"inputs": ("watch", "phone.z")}, "'phone.z' is cut into windows; name 'phone'"),
        ({"target": "watch.x", "segments": {**CUT, "label": "mean"}}, "which would tell it"),
        ({"required_inputs": ("watch", "label")}, "is not among align.inputs"),
        ({"joins": ({**JOIN, "series": "nobody"},)}, "no column 'nobody'"),
    ],
)
def test_settings_that_do_not_fit_together(aligned, changes, message):
    fill(aligned)
    params = aligned.params(**{"joins": (JOIN,), **BOTH, **changes})
    assert any(message in said for _, said in params.faults())
