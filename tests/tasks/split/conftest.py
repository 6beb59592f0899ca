"""Small samples tables, and the stage run on them."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.params import Params
from tasks.samples.folders import stage_output, write_manifest
from tasks.samples.quarantine import read_quarantine
from tasks.samples.schema import InputSpec, SampleSchema
from tasks.samples.tables import read_table, write_table
from tasks.split.report import SplitReport
from tasks.split.sample_keys import SampleKeys, keys_of
from tasks.split.stage import run

SCHEMA = SampleSchema(
    inputs=(
        InputSpec(name="text", modality="text", column="notes.text"),
        InputSpec(name="photo", modality="image", column="notes.photo"),
    ),
    target_column="notes.y",
    target_kind="category",
)


def samples_table(
    target: list[Any],
    text: list[str | None] | None = None,
    photo: list[str | None] | None = None,
    ids: list[str] | None = None,
    **columns: list[Any],
) -> pa.Table:
    """Build a samples table; each text is its own where none are given."""
    n = len(target)
    kind = "number" if isinstance(target[0], float) else "category"
    ids = ids or [f"s{i}" for i in range(n)]
    table = pa.table(
        {
            "sample_id": ids,
            "target": target,
            "notes.text": pa.array(text or [f"text of {i}" for i in ids], pa.string()),
            "notes.photo": pa.array(photo or [None] * n, pa.string()),
            **{f"notes.{name}": pa.array(values) for name, values in columns.items()},
        }
    )
    return SCHEMA.model_copy(update={"target_kind": kind}).attach(table)


def near_table(near: dict[str, list[list[str]]]) -> pa.Table:
    """Build what the clean stage writes; texts are named by their SHA-256."""
    rows = [
        (f"notes.{column}", _value(column, value), f"near-{column}-{i}")
        for column, groups in near.items()
        for i, group in enumerate(groups)
        for value in group
    ]
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    names = ("column", "value", "near_group")
    return pa.table({n: pa.array(c, pa.string()) for n, c in zip(names, columns, strict=True)})


def _value(column: str, value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest() if column == "text" else value


def keys_of_table(samples: pa.Table, columns: list[str]) -> SampleKeys:
    """Return the keys of a samples table, without near duplicates."""
    schema = SampleSchema.of(samples)
    return keys_of(samples.to_batches(), schema, columns, {}, samples.num_rows)


class Splitting:
    """A project whose samples the test writes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(
        self,
        samples: pa.Table,
        seed: int = 7,
        near: dict[str, list[list[str]]] | None = None,
        **split: Any,
    ) -> SplitReport:
        """Write the samples, with near groups of values by column, and split them."""
        write_table(samples, self.root / "data" / "align" / "samples.parquet")
        write_manifest(self.root / "data" / "align")
        write_table(near_table(near or {}), self.root / "data/clean/near_duplicates.parquet")
        write_manifest(self.root / "data" / "clean")
        columns = {"y": "category", "tags": "labels", "at": "time"}
        source = {"kind": "table", "name": "notes", "path": "n.csv", "columns": columns}
        sections = ("clean", "augment", "pretrain", "finetune", "evaluate")
        params = Params.model_validate(
            {
                "project": {"seed": seed},
                "collect": {"sources": (source,)},
                "align": {"base": "notes", "inputs": ("x",), "target": "y"},
                "split": split,
                **{section: {} for section in sections},
            }
        )
        with stage_output(self.root, "split") as folders:
            return run(params, folders)

    def read(self, name: str = "samples") -> pa.Table:
        """Read a table that the stage wrote."""
        return read_table(self.root / "data" / "split" / f"{name}.parquet")

    def quarantine(self) -> dict[str, str]:
        """Return the reason of each sample in quarantine."""
        table = read_quarantine(self.root / "data" / "split")
        return dict(zip(table["record_id"].to_pylist(), table["reason"].to_pylist(), strict=True))

    def assignment(self) -> dict[str, str]:
        """Return the split of each sample by its id."""
        table = self.read()
        return dict(zip(table["sample_id"].to_pylist(), table["split"].to_pylist(), strict=True))


@pytest.fixture
def splitting(tmp_path: Path) -> Splitting:
    """Return a project to split."""
    return Splitting(tmp_path)


@pytest.fixture
def samples_of() -> Any:
    """Return the builder of samples tables."""
    return samples_table


@pytest.fixture
def keys_from() -> Any:
    """Return what gives the keys of a samples table."""
    return keys_of_table
