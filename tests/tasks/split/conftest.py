"""Small samples tables, and the stage run on them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.params import Params
from tasks.samples.folders import stage_output, write_manifest
from tasks.samples.schema import InputSpec, SampleSchema
from tasks.samples.tables import read_table, write_table
from tasks.split.report import SplitReport
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


class Splitting:
    """A project whose samples the test writes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, samples: pa.Table, seed: int = 7, **split: Any) -> SplitReport:
        """Write the samples and split them."""
        write_table(samples, self.root / "data" / "align" / "samples.parquet")
        write_manifest(self.root / "data" / "align")
        source = {"kind": "table", "name": "notes", "path": "n.csv", "columns": {"y": "category"}}
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

    def read(self) -> pa.Table:
        """Read what the stage wrote."""
        return read_table(self.root / "data" / "split" / "samples.parquet")

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
