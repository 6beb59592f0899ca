"""reports/report.html: one page that tells the whole story, and needs nothing but itself."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tasks.evaluate.gallery import Exhibit
from tasks.evaluate.intervals import Estimate
from tasks.evaluate.lineage import STAGES, StageStory, blocks_of, story_of
from tasks.evaluate.results import Evaluation
from tasks.evaluate.wording import (
    headline,
    interval,
    verdict,
    with_interval,
)
from tasks.params import Params
from tasks.samples.charts import Chart
from tasks.samples.page import Table, page_environment
from tasks.samples.wording import level, number, short

TEMPLATE = "report.html.jinja"


@dataclass(frozen=True)
class Tile:
    """A figure of the head of the page."""

    label: str
    value: str
    beneath: str


def report_page(
    evaluation: Evaluation,
    params: Params,
    charts: Sequence[Chart],
    gallery: Sequence[Exhibit],
    reports: Mapping[str, Mapping[str, Any]],
    digests: Mapping[str, str],
    pages: Collection[str] = (),
) -> str:
    """Return the page.

    Args:
        evaluation: What was measured.
        params: Name of the project, and how it was measured.
        charts: What was drawn.
        gallery: The worst mistakes.
        reports: What earlier stages said, by stage.
        digests: SHA-256 of the folders the model and its data are in, by name.
        pages: The stages that wrote a page of their own, beside this one.
    """
    finetuned = reports.get("finetune")
    environment = page_environment("tasks.evaluate")
    environment.filters["with_interval"] = with_interval
    template = environment.get_template(TEMPLATE)
    return template.render(
        project=params.project.name,
        evaluation=evaluation,
        headline=headline(evaluation),
        verdict=verdict(evaluation),
        standing=standing(evaluation),
        tiles=_tiles(evaluation),
        charts={c.name: c for c in charts},
        time_charts=[c for c in charts if c.name.startswith("time_difference")],
        metric_rows=_metric_rows(evaluation),
        stories=_stories(reports, pages),
        learning=story_of("finetune", finetuned) if finetuned else None,
        gallery=gallery,
        settings=_settings(params),
        digests=digests,
        sure=level(evaluation.confidence),
    )


def standing(evaluation: Evaluation) -> str:
    """Return ``good`` where the model beats its floors, else ``poor`` or ``unknown``."""
    if evaluation.lead is None or evaluation.lead.value is None:
        return "unknown"
    return "good" if evaluation.lead.beyond_chance else "poor"


def _tiles(evaluation: Evaluation) -> list[Tile]:
    test, primary = evaluation.test, evaluation.primary
    estimate = test.estimates[primary.name]
    tiles = [Tile(f"{primary.label} on test", number(estimate.value, primary.name),
                  _between(estimate, primary.name))]  # fmt: skip
    best, lead = evaluation.best_floor, evaluation.lead
    if best is not None and lead is not None and lead.value is not None:
        value = number(best.estimate.value, primary.name)
        tiles.append(Tile("Best trivial model", value, short(best.floor.label)))
        tiles.append(_lead_tile(evaluation, lead))
    groups = "each on its own" if test.n == test.n_groups else f"in {test.n_groups:,} groups"
    tiles.append(Tile("Test samples", f"{test.n:,}", groups if test.n else "none"))
    return tiles


def _lead_tile(evaluation: Evaluation, lead: Estimate) -> Tile:
    assert lead.value is not None
    if evaluation.objective == "regression":
        return Tile("Lead", number(lead.value), _between(lead, "rmse"))
    ends = ""
    if lead.low is not None and lead.high is not None:
        ends = f"{100 * lead.low:+.1f} to {100 * lead.high:+.1f}"
    return Tile("Lead in points", f"{100 * lead.value:+.1f}", ends)


def _between(estimate: Estimate, metric: str) -> str:
    return interval(estimate, metric) or estimate.undefined


def _metric_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {
            "label": metric.label,
            "better": "" if metric.higher_is_better else "lower is better",
            "cells": [
                {
                    "value": number(estimate.value, metric.name),
                    "interval": interval(estimate, metric.name),
                    "undefined": estimate.undefined,
                }
                for estimate in (
                    evaluation.splits[split].estimates[metric.name]
                    for split in ("test", "validation", "train")
                )
            ],
        }
        for metric in evaluation.metrics
    ]


def _stories(reports: Mapping[str, Mapping[str, Any]], pages: Collection[str]) -> list[StageStory]:
    return [
        replace(story_of(stage, reports[stage]), page=f"{stage}.html" if stage in pages else "")
        for stage in STAGES
        if stage in reports
    ]


def _settings(params: Params) -> list[Table]:
    return blocks_of(
        {"project": params.project.model_dump(), "evaluate": params.evaluate.model_dump()}
    )
