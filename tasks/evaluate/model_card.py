"""The model card: what the Hugging Face hub, and whoever is handed the model, wants to know."""

import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from tasks.evaluate.intervals import Estimate
from tasks.evaluate.results import Evaluation
from tasks.evaluate.wording import (
    headline,
    interval,
    verdict,
    with_interval,
)
from tasks.params import Params
from tasks.samples.schema import SPLITS, SampleSchema
from tasks.samples.wording import harmless, level, short

_MARKDOWN = re.compile(r"([\\`*_{}\[\]|#~$!])")
MOST_CLASSES = 50


def model_card(
    evaluation: Evaluation,
    schema: SampleSchema,
    params: Params,
    reports: Mapping[str, Mapping[str, Any]],
    digests: Mapping[str, str],
) -> str:
    """Return the card as Markdown with YAML front matter.

    Args:
        evaluation: What was measured.
        schema: Inputs and target.
        params: Name of the project, and how it was measured.
        reports: What earlier stages said, by stage.
        digests: SHA-256 of the folders the model and its data are in, by name.
    """
    parts = [
        f"# {escaped(params.project.name)}",
        f"{headline(evaluation)} {escaped(verdict(evaluation))}",
        _what_it_is(evaluation, schema, reports.get("finetune", {})),
        _results(evaluation),
        _floors(evaluation),
        _data(evaluation, reports, digests),
        _limits(evaluation),
        _reproduce(),
    ]
    return f"---\n{front_matter(evaluation, schema, params)}---\n\n" + "\n\n".join(parts) + "\n"


def front_matter(evaluation: Evaluation, schema: SampleSchema, params: Params) -> str:
    """Return the metadata that the hub reads, as YAML."""
    name = params.project.name
    measured = {
        m.name: evaluation.test.estimates[m.name]
        for m in evaluation.metrics
        if evaluation.test.estimates[m.name].value is not None
    }
    modalities = sorted({spec.modality for spec in schema.inputs})
    task = f"multimodal-{evaluation.objective}"
    results = [
        _result(metric, estimate, evaluation.confidence) for metric, estimate in measured.items()
    ]
    matter = {
        "library_name": "transformers",
        "tags": ["fuseline", "multimodal", evaluation.objective, *modalities],
        "metrics": list(measured),
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": task, "name": f"Multimodal {evaluation.objective}"},
                        "dataset": {"type": name, "name": name, "split": "test"},
                        "metrics": results,
                    }
                ],
            }
        ],
    }
    buffer = io.StringIO()
    yaml = YAML()
    yaml.width = 1000
    yaml.dump(matter, buffer)
    return buffer.getvalue()


def _result(metric: str, measured: Estimate, confidence: float) -> dict[str, Any]:
    if measured.low is None or measured.high is None:
        return {"type": metric, "name": metric, "value": _rounded(measured.value)}
    told = f"{metric} ({level(confidence)} interval {interval(measured, metric)})"
    ends = {"low": _rounded(measured.low), "high": _rounded(measured.high)}
    return {"type": metric, "name": told, "value": _rounded(measured.value), **ends}


def escaped(text: str) -> str:
    r"""Return text that Markdown shows as it is, and that holds no HTML.

    >>> escaped("<b> a_b | c")
    '&lt;b&gt; a\\_b \\| c'
    """
    return html.escape(_MARKDOWN.sub(r"\\\1", " ".join(harmless(text).split())), quote=False)


def _what_it_is(evaluation: Evaluation, schema: SampleSchema, finetuned: Mapping[str, Any]) -> str:
    encoders = finetuned.get("encoders") or {}
    rows = []
    for spec in schema.inputs:
        encoder = encoders.get(spec.name) or {}
        columns = ", ".join(c.name for c in spec.columns) or spec.column
        rows.append(
            (
                spec.name,
                spec.modality,
                short(columns, 80),
                str(encoder.get("architecture", "")),
                str(encoder.get("checkpoint", "")),
                str(encoder.get("trained", "")),
            )
        )
    target = f"It predicts `{_code(schema.target_column)}`"
    if evaluation.objective == "classification":
        names = evaluation.class_names[: evaluation.n_model_classes]
        shown = ", ".join(escaped(short(n)) for n in names[:MOST_CLASSES])
        more = f" and {len(names) - MOST_CLASSES:,} more" if len(names) > MOST_CLASSES else ""
        target += f", one of {len(names):,} classes: {shown}{more}."
    else:
        target += ", a number."
    fusion = finetuned.get("fusion")
    joined = f" Its inputs are joined by {escaped(str(fusion))} fusion." if fusion else ""
    header = ("input", "modality", "column", "encoder", "started from", "trained")
    return f"## The model\n\n{target}{joined}\n\n{_table(header, rows)}"


def _results(evaluation: Evaluation) -> str:
    sure = level(evaluation.confidence)
    rows = []
    for metric in evaluation.metrics:
        cells = [_told(evaluation.splits[s].estimates[metric.name], metric.name)
                 for s in ("test", "validation")]  # fmt: skip
        rows.append((metric.label, *cells))
    sizes = ", ".join(
        f"{split} {evaluation.splits[split].n:,} samples in "
        f"{evaluation.splits[split].n_groups:,} groups"
        for split in ("test", "validation")
    )
    return (
        f"## Results\n\nWith {sure} intervals from a bootstrap over groups ({sizes}).\n\n"
        + _table(("metric", "test", "validation"), rows)
    )


def _told(estimate: Estimate, metric: str) -> str:
    if estimate.value is None:
        return f"undefined: {estimate.undefined}"
    return with_interval(estimate, metric)


def _floors(evaluation: Evaluation) -> str:
    if not evaluation.floors:
        return "## Floors\n\nNo trivial model was measured beside this one."
    metric = evaluation.primary.name
    rows = [("the model", with_interval(evaluation.test.estimates[metric], metric), "")]
    rows += [
        (f.floor.label, with_interval(f.estimate, metric), f.floor.method)
        for f in evaluation.floors
    ]
    return "## Floors\n\nTrivial models, on the same test samples.\n\n" + _table(
        ("model", evaluation.primary.label, "how it answers"), rows
    )


def _data(
    evaluation: Evaluation,
    reports: Mapping[str, Mapping[str, Any]],
    digests: Mapping[str, str],
) -> str:
    lines = [f"- {s}: {evaluation.splits[s].n:,} samples measured" for s in SPLITS]
    for stage, said in reports.items():
        counts = [
            f"{key.removeprefix('n_').replace('_', ' ')} {value:,}"
            for key, value in said.items()
            if key.startswith("n_") and isinstance(value, int)
        ]
        if counts:
            lines.append(f"- stage {stage}: {escaped(', '.join(counts))}")
    lines += [f"- SHA-256 of {name}: `{digest}`" for name, digest in digests.items()]
    return "## Data and lineage\n\n" + "\n".join(lines)


def _limits(evaluation: Evaluation) -> str:
    limits = [
        "It was measured on samples from the same sources as its training data; on others it may "
        "do worse, and nothing here says by how much.",
        "It gives an answer to every sample, also to one that has nothing to do with its training "
        "data.",
        *evaluation.notices,
    ]
    return "## Limits\n\n" + "\n".join(f"- {escaped(limit)}" for limit in limits)


def _reproduce() -> str:
    return (
        "## Reproduce\n\nCheck out the commit whose `dvc.lock` names this model, then:\n\n"
        "    dvc pull\n    dvc repro"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [
        f"| {' | '.join(header)} |",
        f"|{'|'.join(' --- ' for _ in header)}|",
        *(f"| {' | '.join(escaped(c) for c in row)} |" for row in rows),
    ]
    return "\n".join(lines)


def _code(text: str) -> str:
    return " ".join(harmless(text).replace("`", "'").split())


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
