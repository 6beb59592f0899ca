"""Small split samples, and the stage run on them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.augment.report import AugmentReport
from tasks.augment.stage import run
from tasks.params import Params
from tasks.samples.folders import stage_output, write_manifest
from tasks.samples.media import MediaWriter
from tasks.samples.schema import InputSpec, SampleSchema, TabularColumn
from tasks.samples.tables import read_table, write_table
from tasks.samples.windows import WINDOW_SUFFIX

AGE = TabularColumn(name="q.age", kind="number")
INPUTS = (
    InputSpec(name="question", modality="text", column="q.question"),
    InputSpec(name="image", modality="image", column="q.image"),
    InputSpec(name="tone", modality="audio", column="q.tone"),
    InputSpec(name="tabular", modality="tabular", columns=(AGE,)),
)


def split_table(
    target: list[Any],
    split: list[str],
    ids: list[str] | None = None,
    inputs: tuple[str, ...] = ("question", "image", "tone", "tabular"),
    **columns: list[Any],
) -> pa.Table:
    """Build samples as the split stage leaves them."""
    n = len(target)
    kind = "number" if isinstance(target[0], float) else "category"
    table = pa.table(
        {
            "sample_id": ids or [f"s{i}" for i in range(n)],
            "target": target,
            "q.question": columns.get("question", [f"is number {i} even ?" for i in range(n)]),
            "q.image": pa.array(columns.get("image", [f"img{i}" for i in range(n)]), pa.string()),
            "q.tone": pa.array(columns.get("tone", [f"tone{i}" for i in range(n)]), pa.string()),
            "q.age": columns.get("age", [float(i) for i in range(n)]),
            "group": [f"g{i}" for i in range(n)],
            "split": split,
        }
    )
    chosen = tuple(spec for spec in INPUTS if spec.name in inputs)
    return SampleSchema(inputs=chosen, target_column="q.y", target_kind=kind).attach(table)


class Augmenting:
    """A project whose split samples the test writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.media: list[tuple[bytes, str]] = []
        self.windows: list[bytes] = []
        self.columns = {"y": "category"}

    def run(self, samples: pa.Table, seed: int = 7, **augment: Any) -> AugmentReport:
        """Write the samples and augment them."""
        write_table(samples, self.root / "data" / "split" / "samples.parquet")
        write_manifest(self.root / "data" / "split")
        source = {"kind": "table", "name": "q", "path": "q.csv", "columns": self.columns}
        with MediaWriter(self.root / "data" / "collect" / "media") as media:
            for content, suffix in self.media:
                media.add(content, suffix)
        with MediaWriter(self.root / "data" / "align" / "windows") as windows:
            for window in self.windows:
                windows.add(window, WINDOW_SUFFIX)
        for stage in ("collect", "align"):
            write_manifest(self.root / "data" / stage)
        sections = ("clean", "split", "pretrain", "finetune", "evaluate")
        params = Params.model_validate(
            {
                "project": {"seed": seed},
                "collect": {"sources": (source,)},
                "align": {"base": "q", "inputs": ("x",), "target": "y"},
                "augment": augment,
                **{section: {} for section in sections},
            }
        )
        with stage_output(self.root, "augment") as folders:
            return run(params, folders)

    def read(self) -> pa.Table:
        """Read what the stage wrote."""
        return read_table(self.root / "data" / "augment" / "samples.parquet")

    def copies(self) -> dict[str, dict[str, Any]]:
        """Return the added rows by their id."""
        return {row["sample_id"]: row for row in self.read().to_pylist() if row["parent_id"]}


@pytest.fixture
def augmenting(tmp_path: Path) -> Augmenting:
    """Return a project to augment."""
    return Augmenting(tmp_path)


@pytest.fixture
def split_samples() -> Any:
    """Return the builder of split samples."""
    return split_table
