"""What a finished run says last: how good the model is, and where to look."""

import json
from pathlib import Path

REPORT = Path("reports/report.html")
METRICS = Path("reports/evaluate.json")


def has_model(root: Path) -> bool:
    """Tell whether there is a fine-tuned and evaluated model."""
    return (root / "data/finetune").is_dir() and (root / METRICS).is_file()


def summary(root: Path, until: str | None = None) -> list[str]:
    """Return what to say after a run: the headline of the evaluation, and where the rest is.

    After a run that ended before its evaluation, the figures would be those of another model.
    """
    if until not in (None, "evaluate"):
        page = root / "reports" / f"{until}.html"
        return ["", *([f"Page          reports/{page.name}"] if page.is_file() else []),
                "Go on         fuseline run"]  # fmt: skip
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
