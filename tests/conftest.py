"""Fixtures for everybody: the embedded data set in small, and stages run on a file or two."""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.__main__ import run_stage
from tasks.demo.digits_qa import write_digits_qa
from tasks.demo.manifest import DemoManifest
from tasks.params import Params, load_params
from tasks.samples.quarantine import read_quarantine
from tasks.samples.tables import read_table

REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True)
class DigitsQa:
    """A project with a small digits-qa; read it, but write to a copy."""

    root: Path
    manifest: DemoManifest
    params: Params

    @property
    def folder(self) -> Path:
        """Where the data set lies."""
        return self.root / "data" / "raw" / "digits-qa"

    def copy_to(self, root: Path) -> "DigitsQa":
        """Return a copy that a test may write to."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return DigitsQa(root, self.manifest, self.params)


@pytest.fixture(scope="session")
def digits_qa(tmp_path_factory: pytest.TempPathFactory) -> DigitsQa:
    """A project with 60 scans of digits-qa and the repository's own params.yaml."""
    root = tmp_path_factory.mktemp("digits-qa")
    shutil.copy(REPOSITORY / "params.yaml", root)
    manifest = write_digits_qa(root / "data" / "raw" / "digits-qa", n_scans=60)
    return DigitsQa(root, manifest, load_params(root / "params.yaml"))


@pytest.fixture(scope="session")
def digits_qa_cleaned(digits_qa: DigitsQa, tmp_path_factory: pytest.TempPathFactory) -> DigitsQa:
    """The same after collect and clean."""
    project = digits_qa.copy_to(tmp_path_factory.mktemp("digits-qa-cleaned"))
    run_stage("collect", project.params, project.root)
    run_stage("clean", project.params, project.root)
    return project


@pytest.fixture
def settings() -> Callable[..., Params]:
    """Make settings for some sources; other sections may be given by name."""

    def make(*sources: dict[str, Any], **sections: dict[str, Any]) -> Params:
        return Params.model_validate(
            {
                "project": {},
                "collect": {"root": "raw", "sources": sources},
                "clean": {},
                "align": {"base": sources[0]["name"], "inputs": ("text",), "target": "label"},
                "split": {},
                "augment": {},
                "pretrain": {},
                "finetune": {},
                "evaluate": {},
                **sections,
            }
        )

    return make


@pytest.fixture
def table() -> Callable[..., dict[str, Any]]:
    """Make the settings of a table source."""
    return _table


@pytest.fixture
def outcome_of() -> Callable[[str, Params, Path], "Outcome"]:
    """Run collect or clean in a project folder, and hold the run to what holds for all of them."""
    return _outcome_of


@dataclass(frozen=True)
class Outcome:
    """What a stage made of its records."""

    records: dict[str, list[dict[str, Any]]]
    quarantine: list[dict[str, Any]]
    report: Any

    @property
    def reasons(self) -> dict[str, int]:
        """Counts by reason."""
        return dict(Counter(row["reason"] for row in self.quarantine))

    def only(self) -> list[dict[str, Any]]:
        """The records of the only source."""
        (records,) = self.records.values()
        return records


def _outcome_of(stage: str, params: Params, root: Path) -> Outcome:
    """Run a stage; check that no record is lost and each that is set aside is accounted for."""
    report = run_stage(stage, params, root)
    folder = root / "data" / stage
    records = {
        source.name: read_table(folder / "records" / f"{source.name}.parquet").to_pylist()
        for source in params.collect.sources
    }
    quarantine = read_quarantine(folder).to_pylist()
    assert sorted(path.name for path in (folder / "records").iterdir()) == sorted(
        f"{name}.parquet" for name in records
    )
    for source in report.sources:
        aside = [row for row in quarantine if row["source"] == source.name]
        assert source.collected == len(records[source.name]) + len(aside)
        assert source.quarantined == dict(Counter(row["reason"] for row in aside))
        names = [row["record_id"] for row in records[source.name]]
        assert len(set(names)) == len(names)
    for row in quarantine:
        assert row["record_id"]
        assert row["file"]
        assert row["detail"]
        assert len(row["sha256"]) == 64
    return Outcome(records, quarantine, report)


def _table(name: str = "rows", path: str = "rows.csv", **more: Any) -> dict[str, Any]:
    """Return the settings of a table source."""
    columns = {"id": "key", "text": "text", "label": "category"}
    return {"kind": "table", "name": name, "path": path, "columns": columns, **more}
