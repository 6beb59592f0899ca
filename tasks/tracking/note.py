"""What the page of a run, and that of a model version, say in words."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.tracking.datasets import SeenData
from tasks.tracking.findings import Findings

_MOST_FLOORS = 12


def headline(findings: Findings) -> str:
    """Return the result in a line: the primary metric on test, with its interval.

    It is the description of the model version.
    """
    figure, n = findings.primary, findings.evaluation["test"].get("n")
    confidence = 100 * float(findings.evaluation.get("confidence", 0.95))
    metric = findings.primary_metric.replace("_", " ")
    interval = _interval(figure)
    told = f"{confidence:g} % interval {interval}" if interval else "without an interval"
    samples = f" on {n:,} test samples" if n else " on test"
    return f"{metric.capitalize()} {_number(figure['value'])}{samples} ({told})"


def run_note(
    findings: Findings, seen: Sequence[SeenData], commit: Mapping[str, str], version_link: str
) -> str:
    """Return the page of a run as Markdown: the result, the floors, where everything came from."""
    parts = [f"**{headline(findings)}**", *_summary(findings), *_floors(findings)]
    parts += [_notices(findings)] if findings.evaluation.get("notices") else []
    parts += [_lineage(findings, seen, commit), _next(version_link)]
    return "\n\n".join(parts)


def _summary(findings: Findings) -> list[str]:
    """Return evaluate's own verdict; its headline is ours already."""
    return [_plain(line) for line in findings.evaluation.get("summary", [])[1:]]


def _floors(findings: Findings) -> list[str]:
    floors: Mapping[str, Mapping[str, Any]] = findings.evaluation.get("floors", {})
    if not floors:
        return []
    rows = [("**this model**", findings.primary), *list(floors.items())[:_MOST_FLOORS]]
    metric = findings.primary_metric.replace("_", " ")
    head = ("Model", f"Test {metric}", "Interval")
    cells = [(_plain(name), _number(f["value"]), _interval(f)) for name, f in rows]
    return ["### Beside trivial models", _table(head, cells)]


def _notices(findings: Findings) -> str:
    return "\n".join(f"- {_plain(notice)}" for notice in findings.evaluation["notices"])


def _lineage(findings: Findings, seen: Sequence[SeenData], commit: Mapping[str, str]) -> str:
    rows = [(_plain(data.name), f"`{_code(data.path)}`", f"`{data.digest}`") for data in seen]
    if digest := findings.hashes.get("data/finetune"):
        rows.append(("model", "`data/finetune`", f"`{digest}`"))
    parts = ["### Where it came from"]
    if rows:
        parts.append(_table(("What", "Path", "DVC hash"), rows))
    if commit:
        parts.append("\n".join(f"- {name}: `{_code(value)}`" for name, value in commit.items()))
    parts.append(
        "At that commit, `dvc pull` brings these bytes back and `dvc repro` has nothing to do."
    )
    return "\n\n".join(parts)


def _next(version_link: str) -> str:
    return (
        f"The report is under *Artifacts*, `reports/report.html`; the model is [{version_link[2:]}]"
        f"({version_link})."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _plain(text: str) -> str:
    """Return a user's words so that Markdown shows them and obeys none of them."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = re.sub(r"\s+", " ", escaped)
    return flat if flat.startswith("**") else re.sub(r"([\\`*_\[\]|])", r"\\\1", flat)


def _code(text: str) -> str:
    return re.sub(r"[`|\r\n]", " ", text)


def _interval(figure: Mapping[str, Any]) -> str:
    low, high = figure.get("low"), figure.get("high")
    return "" if low is None or high is None else f"{_number(low)} to {_number(high)}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"
