"""Alignment faults that must stop the stage with a message a person can act on."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tasks.align.stage import run
from tasks.errors import DataError
from tasks.params import Params
from tasks.samples.folders import stage_output, write_manifest
from tasks.samples.media import MediaStore, MediaWriter
from tasks.samples.quarantine import read_quarantine
from tasks.samples.tables import read_table, write_table
from tasks.samples.windows import decode_window

TIME = pa.timestamp("us", "UTC")
JOIN = {"on": "time", "right": "b", "left_on": "t", "tolerance_seconds": 1.0}


def write_source(root: Path, name: str, **columns: pa.Array) -> None:
    n = len(next(iter(columns.values())))
    table = pa.table(
        {
            "record_id": [f"{name}-{i}" for i in range(n)],
            "file": [f"{name}.csv"] * n,
            "row": pa.array(range(1, n + 1), pa.int64()),
            **columns,
        }
    )
    write_table(table, root / "data" / "clean" / "records" / f"{name}.parquet")
    write_manifest(root / "data" / "clean")


def align(root: Path, max_bad_fraction: float = 1.0, **settings: object):
    columns = {
        "a": {"t": "time", "x": "text", "y": "category"},
        "b": {"t": "time", "z": "text"},
    }
    sources = tuple(
        {"kind": "table", "name": name, "path": f"{name}.csv", "columns": own}
        for name, own in columns.items()
    )
    chosen = {"base": "a", "joins": (JOIN,), "inputs": ("x", "z"), "target": "y", **settings}
    sections = ("clean", "split", "augment", "pretrain", "finetune", "evaluate")
    params = Params.model_validate(
        {
            "project": {"max_bad_fraction": max_bad_fraction},
            "collect": {"sources": sources},
            "align": chosen,
            **{section: {} for section in sections},
        }
    )
    with stage_output(root, "align") as folders:
        return run(params, folders)


def seconds(*values: float | None) -> pa.Array:
    return pa.array([None if v is None else round(v * 1e6) for v in values], TIME)


def test_sources_that_never_overlap_in_time_stop_the_stage(tmp_path):
    write_source(tmp_path, "a", t=seconds(1, 2), x=pa.array(["p", "q"]), y=pa.array(["c", "d"]))
    write_source(tmp_path, "b", t=seconds(5000, 6000), z=pa.array(["r", "s"]))
    with pytest.raises(DataError, match=r"input 'z' \(b\.z\) is missing in all 2 samples"):
        align(tmp_path)
    assert not (tmp_path / "data" / "align").exists()


def test_a_whole_source_without_times_stops_the_stage(tmp_path):
    write_source(tmp_path, "a", t=seconds(1, 2), x=pa.array(["p", "q"]), y=pa.array(["c", "d"]))
    write_source(tmp_path, "b", t=seconds(None, None), z=pa.array(["r", "s"]))
    with pytest.raises(DataError, match="check the join that brings it"):
        align(tmp_path)


def test_no_target_anywhere_stops_the_stage(tmp_path):
    none = pa.array([None, None], pa.string())
    write_source(tmp_path, "a", t=seconds(1, 2), x=pa.array(["p", "q"]), y=none)
    write_source(tmp_path, "b", t=seconds(1, 2), z=pa.array(["r", "s"]))
    with pytest.raises(DataError, match="null_target: 2"):
        align(tmp_path)


def test_an_empty_base_stops_the_stage(tmp_path):
    empty = pa.array([], pa.string())
    write_source(tmp_path, "a", t=pa.array([], TIME), x=empty, y=empty)
    write_source(tmp_path, "b", t=seconds(1, 2), z=pa.array(["r", "s"]))
    with pytest.raises(DataError, match="the base is empty"):
        align(tmp_path)


def test_an_empty_right_source_leaves_samples_without_it(tmp_path):
    write_source(tmp_path, "a", t=seconds(1, 2), x=pa.array(["p", "q"]), y=pa.array(["c", "d"]))
    write_source(tmp_path, "b", t=pa.array([], TIME), z=pa.array([], pa.string()))
    report = align(tmp_path, inputs=("x",))
    assert report.n_samples == 2
    assert read_table(tmp_path / "data/align/samples.parquet")["b.z"].null_count == 2
    assert read_quarantine(tmp_path / "data/align").num_rows == 0


def test_the_clean_stage_not_having_run_is_said(tmp_path):
    with pytest.raises(DataError, match="run `dvc repro clean`"):
        align(tmp_path)


def test_a_flipped_bit_in_the_records_is_caught(tmp_path):
    write_source(tmp_path, "a", t=seconds(1, 2), x=pa.array(["p", "q"]), y=pa.array(["c", "d"]))
    write_source(tmp_path, "b", t=seconds(1, 2), z=pa.array(["r", "s"]))
    path = tmp_path / "data/clean/records/b.parquet"
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"b\.parquet"):
        align(tmp_path)


def write_readings(root: Path, name: str, times: list[float | None], **values: list) -> None:
    n = len(times)
    write_source(
        root, name, time=seconds(*times), series=pa.array(["run"] * n, pa.string()),
        **{column: pa.array(cells) for column, cells in values.items()},
    )  # fmt: skip


def align_sensors(root: Path, right: dict[str, object] | None = None, **settings: object):
    with MediaWriter(root / "data" / "collect" / "media"):
        pass
    write_manifest(root / "data" / "collect")
    label = {"label": "category"}
    sources = (
        {"kind": "sensor", "name": "a", "path": "a.csv", "time": "t",
         "values": {"x": "number", **label}},
        {"kind": "sensor", "name": "b", "path": "b.csv", "time": "t", "values": {"z": "number"}},
    )  # fmt: skip
    cut = {"seconds": 1.0, "every_seconds": 1.0, "rate_hz": 10}
    join = {
        "on": "window", "right": "b", "series": "series", "seconds": 1.0, "rate_hz": 10,
        "tolerance_seconds": 0.3, **(right or {}),
    }  # fmt: skip
    sections = ("clean", "split", "augment", "pretrain", "finetune", "evaluate")
    params = Params.model_validate(
        {
            "project": {"max_bad_fraction": 1.0},
            "collect": {"sources": sources},
            "align": {"base": "a", "segments": cut, "joins": (join,), "inputs": ("a", "b"),
                      "target": "a.label", **settings},
            **{section: {} for section in sections},
        }
    )  # fmt: skip
    assert not list(params.faults())
    with stage_output(root, "align") as folders:
        return run(params, folders)


def steady(start: float, n: int, rate: float = 20.0) -> list[float]:
    return [start + i / rate for i in range(n)]


def test_099_duplicate_timestamps(tmp_path):
    times = sorted([*steady(100, 100), *steady(100, 100)])
    write_readings(tmp_path, "a", times, x=[0.0, 2.0] * 100, label=["c"] * 200)
    write_readings(tmp_path, "b", steady(100, 100), z=[1.0] * 100)
    report = align_sensors(tmp_path)
    assert report.segments.series[0].n_equal_times == 100
    assert any("100 readings have the time of an earlier one" in note for note in report.notices)
    store = MediaStore(tmp_path / "data/align/windows")
    first = read_table(tmp_path / "data/align/samples.parquet")["a.window"][0].as_py()
    assert decode_window(store.read(first)).ravel().tolist() == [1.0] * 10


def test_100_unsorted_timestamps_and_missing_ones(tmp_path):
    times = steady(100, 100)
    shuffled = [*times[50:], *times[:50], None]
    write_readings(tmp_path, "a", shuffled, x=[*shuffled[:-1], 1e9], label=["c"] * 101)
    write_readings(tmp_path, "b", shuffled, z=[1.0] * 101)
    report = align_sensors(tmp_path)
    (series,) = report.segments.series
    assert (series.n_out_of_order, series.n_readings_without_time) == (1, 1)
    assert report.segments.n_readings_used + report.segments.n_readings_unused == 101
    assert report.n_samples == 5
    store = MediaStore(tmp_path / "data/align/windows")
    for i, digest in enumerate(read_table(tmp_path / "data/align/samples.parquet")["a.window"]):
        window = decode_window(store.read(digest.as_py()))[:, 0]
        assert (np.diff(window) > 0).all()
        assert abs(window.mean() - (100.45 + i)) < 0.1


def test_101_a_gap_and_a_sensor_that_is_stuck(tmp_path):
    times = [*steady(100, 60), *steady(108, 60)]
    write_readings(tmp_path, "a", times, x=[0.5] * 120, label=["c"] * 120)
    write_readings(tmp_path, "b", steady(100, 240), z=[0.0] * 240)
    report = align_sensors(tmp_path, {"estimate_clock_offset": True})
    assert report.segments.series[0].max_gap_seconds == pytest.approx(5.05)
    (clock,) = report.pairs[0].windows.clocks
    assert (clock.score, clock.applied) == (0.0, "no")
    assert any("check them by hand" in note for note in report.notices)
    windows = read_table(tmp_path / "data/align/samples.parquet")["a.window"]
    assert windows.null_count == 0


def test_102_rates_far_apart_and_no_overlap(tmp_path):
    write_readings(tmp_path, "a", steady(100, 1000, 100.0), x=[0.5] * 1000, label=["c"] * 1000)
    write_readings(tmp_path, "b", steady(100, 11, 1.0), z=[float(i) for i in range(11)])
    with pytest.raises(DataError, match="raise tolerance_seconds to 1 or more"):
        align_sensors(tmp_path)
    assert align_sensors(tmp_path, {"tolerance_seconds": 1.0}).pairs[0].matched_left > 8
    write_readings(tmp_path, "b", steady(900, 200), z=[0.0] * 200)
    with pytest.raises(DataError, match=r"input .b. .* is missing in all"):
        align_sensors(tmp_path)


def test_103_implausible_times_are_flagged(tmp_path):
    write_source(
        tmp_path, "a", t=seconds(0, 1.7e9, 5e9), x=pa.array(["p", "q", "r"]),
        y=pa.array(["c", "d", "c"]),
    )  # fmt: skip
    write_source(tmp_path, "b", t=seconds(0, 1.7e9), z=pa.array(["s", "t"]))
    report = align(tmp_path)
    assert report.pairs[0].time.n_implausible_times == 3
    assert any("3 times lie before 1971 or after 2100" in note for note in report.notices)


def test_103_a_year_between_two_readings_does_not_fill_the_disk(tmp_path):
    times = [0.0, *steady(1.7e9, 100)]
    write_readings(tmp_path, "a", times, x=[0.5] * 101, label=["c"] * 101)
    write_readings(tmp_path, "b", times, z=[0.5] * 101)
    report = align_sensors(tmp_path)
    assert report.n_base < 10


def test_120_a_required_modality_that_is_missing(tmp_path):
    write_source(tmp_path, "a", t=seconds(1, 2), x=pa.array(["p", "q"]), y=pa.array(["c", "d"]))
    write_source(tmp_path, "b", t=seconds(1), z=pa.array(["r"]))
    kept = align(tmp_path)
    assert [(one.name, one.n_missing) for one in kept.inputs] == [("x", 0), ("z", 1)]
    required = align(tmp_path, required_inputs=("z",))
    assert required.quarantine_reasons == {"missing_input": 1}
    write_source(tmp_path, "b", t=seconds(900), z=pa.array(["r"]))
    with pytest.raises(DataError, match="missing_input: 2"):
        align(tmp_path, required_inputs=("z",))
