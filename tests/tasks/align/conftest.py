"""Small projects whose cleaned records are written by the test itself."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.align.report import AlignReport
from tasks.align.stage import run
from tasks.params import Params
from tasks.samples.folders import stage_output, write_manifest
from tasks.samples.media import MediaWriter
from tasks.samples.tables import read_table, write_table

ARROW = {"number": pa.float64(), "time": pa.timestamp("us", "UTC")}


def records(source: str, columns: dict[str, str], values: dict[str, list[Any]]) -> pa.Table:
    """Build a records table as the clean stage leaves it."""
    n = len(next(iter(values.values())))
    ids = values.pop("record_id", None) or [f"{source}-{i}" for i in range(1, n + 1)]
    arrays: dict[str, pa.Array] = {
        "record_id": pa.array(ids, pa.string()),
        "file": pa.array([f"{source}.csv"] * n),
        "row": pa.array(range(1, n + 1), pa.int64()),
    }
    for name, kind in columns.items():
        cells = values[name]
        if kind == "time":
            cells = [None if c is None else round(c * 1e6) for c in cells]
        arrays[name] = pa.array(cells, ARROW.get(kind, pa.string()))
        if kind in ("image", "audio"):
            arrays[f"{name}.path"] = pa.array([None if c is None else f"{c}.bin" for c in cells])
    return pa.table(arrays)


class Aligned:
    """A project with sources and settings, and what aligning it gave."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.columns: dict[str, dict[str, str]] = {}
        self.values: dict[str, dict[str, str]] = {}
        with MediaWriter(root / "data" / "collect" / "media"):
            pass
        write_manifest(root / "data" / "collect")

    def source(self, name: str, columns: dict[str, str], **values: list[Any]) -> None:
        """Write the records of one source."""
        self.table(name, columns, records(name, columns, values))

    def sensor(self, name: str, values: dict[str, str], series: dict[str, dict[str, Any]]) -> None:
        """Write the readings of a sensor: for each recording its times (seconds) and values."""
        parts = []
        for recording, cells in series.items():
            n = len(cells["time"])
            own = {"time": "time", "series": "key", **values}
            table = records(name, own, {**cells, "series": [recording] * n})
            ids = pa.array([f"{recording}:{i}" for i in range(1, n + 1)])
            files = pa.array([f"{name}/{recording}.csv"] * n)
            parts.append(table.set_column(0, "record_id", ids).set_column(1, "file", files))
        self.values[name] = values
        write_table(pa.concat_tables(parts), self.root / f"data/clean/records/{name}.parquet")
        write_manifest(self.root / "data" / "clean")

    def table(self, name: str, columns: dict[str, str], table: pa.Table) -> None:
        """Write a records table as it is."""
        self.columns[name] = columns
        clean = self.root / "data" / "clean"
        write_table(table, clean / "records" / f"{name}.parquet")
        write_manifest(clean)

    def params(self, max_bad_fraction: float = 1.0, **align: Any) -> Params:
        """Return all settings, with these of align."""
        sources = tuple(
            {"kind": "table", "name": name, "path": f"{name}.csv", "columns": columns}
            for name, columns in self.columns.items()
        )
        sources += tuple(
            {"kind": "sensor", "name": name, "path": f"{name}/*.csv", "time": "t", "values": values}
            for name, values in self.values.items()
        )
        sections = ("clean", "split", "augment", "pretrain", "finetune", "evaluate")
        return Params.model_validate(
            {
                "project": {"max_bad_fraction": max_bad_fraction},
                "collect": {"sources": sources},
                "align": align,
                **{section: {} for section in sections},
            }
        )

    def run(self, max_bad_fraction: float = 1.0, **align: Any) -> AlignReport:
        """Run the stage with these settings."""
        params = self.params(max_bad_fraction, **align)
        assert not list(params.faults())
        with stage_output(self.root, "align") as folders:
            return run(params, folders)

    def read(self, name: str) -> pa.Table:
        """Read a table that the stage wrote."""
        return read_table(self.root / "data" / "align" / f"{name}.parquet")


@pytest.fixture
def aligned(tmp_path: Path) -> Aligned:
    """Return a project to fill with sources and to align."""
    return Aligned(tmp_path)
