"""Alignment faults that must stop the stage with a message a person can act on."""

from pathlib import Path

import pyarrow as pa
import pytest

from tasks.align.stage import run
from tasks.errors import DataError
from tasks.params import Params
from tasks.samples.folders import stage_output, write_manifest
from tasks.samples.quarantine import read_quarantine
from tasks.samples.tables import read_table, write_table

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
