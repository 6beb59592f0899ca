"""What a finished run says last: how good the model is, and where to look."""

import json
from pathlib import Path

REPORT = Path("reports/report.html")
METRICS = Path("reports/evaluate.json")


def has_model(root: Path) -> bool:
    """Tell whether there is a fine-tuned and evaluated model."""
    return (root / "data/finetune").is_dir() and (root / METRICS).is_file()


def summary(root: Path) -> list[str]:
    """Return what to say after a run: the headline of the evaluation, and where the rest is."""
    figures = root / METRICS
    headline = [*json.loads(figures.read_text())["summary"], ""] if figures.is_file() else []
    report = [f"Report        {REPORT}"] if (root / REPORT).is_file() else []
    return [
        "",
        *headline,
        *report,
        "Models        make ui",
        "Flow runs     prefect server start, then http://127.0.0.1:4200",
        "Keep this     git add dvc.lock params.yaml && git commit",
    ]
