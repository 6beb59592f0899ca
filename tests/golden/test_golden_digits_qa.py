"""The embedded data set through every stage: counts that the manifest explains, and numbers.

A third of the scans and fewer epochs keep it short. A change that moves the numbers on purpose
moves them here in the same commit.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.__main__ import STAGES, run_stage
from tasks.demo.digits_qa import write_digits_qa
from tasks.demo.manifest import DemoManifest
from tasks.params import load_params
from tasks.samples.folders import folder_digest
from tasks.samples.tables import read_table

REPOSITORY = Path(__file__).parents[2]
N_SCANS = 600


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DemoManifest]:
    root = tmp_path_factory.mktemp("golden")
    shutil.copy(REPOSITORY / "params.yaml", root)
    manifest = write_digits_qa(root / "data" / "raw" / "digits-qa", n_scans=N_SCANS)
    run_all(root, STAGES)
    return root, manifest


def run_all(root: Path, stages: tuple[str, ...]) -> None:
    params = load_params(root / "params.yaml")
    shorter = params.model_copy(
        update={
            "pretrain": params.pretrain.model_copy(update={"epochs": 2}),
            "finetune": params.finetune.model_copy(update={"epochs": 6}),
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSELINE_TRACKING", "off")
        for stage in stages:
            run_stage(stage, shorter, root)


def report(root: Path, stage: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((root / "reports" / f"{stage}.json").read_text())
    return told


def test_every_record_is_a_sample_or_set_aside(golden: tuple[Path, DemoManifest]) -> None:
    root, manifest = golden
    data = root / "data"
    set_aside = [
        len(read_table(data / stage / "quarantine.parquet").filter(_is("questions", data, stage)))
        for stage in ("collect", "clean", "align")
    ]
    samples = len(read_table(data / "split" / "samples.parquet"))
    assert samples + sum(set_aside) == manifest.n_questions
    assert min(set_aside) > 0


def _is(source: str, data: Path, stage: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(read_table(data / stage / "quarantine.parquet")["source"], source)


def test_the_fused_model_beats_every_input_alone_by_fifteen_points(
    golden: tuple[Path, DemoManifest],
) -> None:
    told = report(golden[0], "evaluate")
    accuracy = told["test"]["accuracy"]
    best = max(told["floors"].values(), key=lambda floor: floor["value"])
    assert accuracy["value"] > best["value"] + 0.15
    assert accuracy["low"] > best["high"]
    assert accuracy["value"] == pytest.approx(0.67, abs=0.12)


def test_the_report_is_one_page_that_needs_nothing_else(
    golden: tuple[Path, DemoManifest],
) -> None:
    page = (golden[0] / "reports" / "report.html").read_text()
    assert "<script" not in page
    assert 'src="http' not in page
    assert 'href="http' not in page
    assert "digits-qa" in page


def test_the_same_data_and_settings_give_the_same_bytes_and_predictions(
    golden: tuple[Path, DemoManifest], tmp_path: Path
) -> None:
    root, _ = golden
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    write_digits_qa(tmp_path / "data" / "raw" / "digits-qa", n_scans=N_SCANS)
    run_all(tmp_path, STAGES)
    for stage in STAGES:
        again = folder_digest(tmp_path / "data" / stage)
        assert again == folder_digest(root / "data" / stage), stage
