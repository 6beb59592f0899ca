"""Every example goes from collect to augment on the data set it is written for."""

import os
from pathlib import Path

import pyarrow.compute as pc
import pytest

from flows.settings import settings
from tasks.__main__ import run_stage
from tasks.params import Params
from tasks.samples.schema import SampleSchema
from tasks.samples.tables import read_table

REPOSITORY = Path(__file__).parents[2]
SHARED = Path(os.environ.get("FUSELINE_SHARED", REPOSITORY.parent / "shared"))
EXAMPLES = sorted(path.parent.name for path in (REPOSITORY / "examples").glob("*/params.yaml"))
DATA_STAGES = ("collect", "clean", "align", "split", "augment")


def test_there_are_examples_and_each_explains_itself() -> None:
    assert len(EXAMPLES) >= 8
    for name in EXAMPLES:
        readme = (REPOSITORY / "examples" / name / "README.md").read_text(encoding="utf-8")
        assert f"examples/{name}/params.yaml" in readme
        assert "## What the reports found" in readme or name in ("easy-vqa", "spoken-digits")


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_from_collect_to_augment(name: str, tmp_path: Path) -> None:
    example = REPOSITORY / "examples" / name / "params.yaml"
    root = settings(example, whole=False).params.collect.root
    data = SHARED / "data" / Path(root).name
    if not data.is_dir():
        pytest.skip(f"{data} is not here")
    params = settings(example, [f"collect.root={data}"], whole=False).params
    reports = {stage: run_stage(stage, params, tmp_path) for stage in DATA_STAGES}

    n_samples = _require_nothing_lost(reports, params, tmp_path)
    assert n_samples >= 100
    for stage in ("clean", "align", "augment"):
        page = (tmp_path / "reports" / f"{stage}.html").read_text(encoding="utf-8")
        assert "</html>" in page
        assert len(page) < 4_000_000


def _require_nothing_lost(reports: dict[str, object], params: Params, root: Path) -> int:
    samples = read_table(root / "data" / "augment" / "samples.parquet")
    own = samples.filter(pc.is_null(samples["parent_id"]))
    assert set(samples["split"].unique().to_pylist()) == {"train", "validation", "test"}
    copies = samples.filter(pc.is_valid(samples["parent_id"]))
    assert set(copies["split"].unique().to_pylist()) <= {"train"}
    assert len(SampleSchema.of(samples).inputs) >= 1
    assert len(own) <= reports["align"].n_samples  # type: ignore[attr-defined]
    return len(own)
