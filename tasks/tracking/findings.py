"""What stands on disk when a model is tracked: the model, its evaluation, the data behind it."""

import csv
import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Metric
from ruamel.yaml import YAML

from tasks.errors import DataError, PipelineError
from tasks.samples.folders import StageFolders, folder_digest, sha256

REPORT_FILES = ("*.json", "*.html", "model_card.md", "evaluate/*")
"""What of ``reports`` goes with a run."""

RUN_FIGURES = ("learning_rate", "grad_norm")
"""Columns of history.csv that describe the run and not a split."""


@dataclass(frozen=True)
class Findings:
    """The current model of a project.

    Attributes:
        root: The project's folder.
        model: Folder of the model.
        model_digest: Names the model by its bytes.
        evaluation: ``reports/evaluate.json``.
        evaluation_digest: Names the evaluation by the bytes of all reports.
        reports: The report files, relative to the root.
        hashes: DVC's hash of each path it knows, from dvc.lock; {} without one.
    """

    root: Path
    model: Path
    model_digest: str
    evaluation: Mapping[str, Any]
    evaluation_digest: str
    reports: tuple[Path, ...]
    hashes: Mapping[str, str]

    @classmethod
    def read(cls, root: Path) -> "Findings":
        """Read what the stages left.

        Raises:
            DataError: There is no model, or no evaluation of it.
        """
        model = StageFolders(root, root).of("finetune")
        figures = root / "reports" / "evaluate.json"
        if not figures.is_file():
            raise DataError(
                f"{figures}: missing; a model is tracked with its figures. Run `dvc repro evaluate`"
            )
        lock = _lock(root)
        _require_same_model(lock, figures)
        reports = _report_files(root)
        return cls(
            root=root,
            model=model,
            model_digest=folder_digest(model),
            evaluation=json.loads(figures.read_text(encoding="utf-8")),
            evaluation_digest=_digest(root, reports),
            reports=reports,
            hashes=_hashes(lock),
        )

    @property
    def primary_metric(self) -> str:
        """The metric by which the model is judged."""
        return str(self.evaluation["primary_metric"])

    @property
    def primary(self) -> Mapping[str, Any]:
        """The primary metric on the test split: its value and its interval."""
        figure: Mapping[str, Any] = self.evaluation["test"][self.primary_metric]
        return figure

    @property
    def best_floor(self) -> tuple[str, float] | None:
        """The best of the trivial models by the primary metric, or None where none was measured."""
        lead = self.evaluation.get("lead_over_best_floor")
        if not lead:
            return None
        return str(lead["over"]), float(self.evaluation["floors"][lead["over"]]["value"])


def curves(model: Path) -> list[Metric]:
    """Read the curves of a training from the model's own history.csv.

    Raises:
        DataError: A row of it is no measured point.
    """
    path, now = model / "history.csv", int(time.time() * 1000)
    points = []
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=1):
            try:
                step, split = int(float(row.pop("step"))), row.pop("split")
                row.pop("epoch", None)
                values = {name: float(cell) for name, cell in row.items() if cell}
            except (KeyError, ValueError, TypeError) as fault:
                raise DataError(
                    f"{path}, row {number}: expected step, split and figures, found {row} "
                    f"({fault}); run `dvc repro --force finetune`"
                ) from None
            points += [
                Metric(name if name in RUN_FIGURES else f"{split}_{name}", value, now, step)
                for name, value in values.items()
                if math.isfinite(value)
            ]
    return points


def _lock(root: Path) -> Mapping[str, Any]:
    path = root / "dvc.lock"
    if not path.is_file():
        return {}
    read = YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}
    stages: Mapping[str, Any] = read.get("stages", {})
    return stages


def _hashes(lock: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of each path: as a stage's output where it is one, else as what it reads."""
    found: dict[str, str] = {}
    for part in ("deps", "outs"):
        for stage in lock.values():
            for entry in stage.get(part, []):
                if digest := entry.get("md5"):
                    found[entry["path"]] = digest
    return found


def _require_same_model(lock: Mapping[str, Any], figures: Path) -> None:
    """Refuse an evaluation of another model than the current one, as far as DVC knows."""
    made = [o for o in lock.get("finetune", {}).get("outs", []) if o["path"] == "data/finetune"]
    read = [d for d in lock.get("evaluate", {}).get("deps", []) if d["path"] == "data/finetune"]
    if made and read and made[0].get("md5") != read[0].get("md5"):
        raise PipelineError(
            f"{figures}: measures another model than data/finetune holds; run `dvc repro evaluate`"
        )


def _report_files(root: Path) -> tuple[Path, ...]:
    found = (path for form in REPORT_FILES for path in (root / "reports").glob(form))
    return tuple(sorted(path.relative_to(root) for path in found if path.is_file()))


def _digest(root: Path, files: tuple[Path, ...]) -> str:
    lines = [f"{sha256(root / path)} {path.as_posix()}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
