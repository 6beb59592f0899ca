"""What evaluate says of itself: the figures, as DVC and MLflow read them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from tasks.evaluate.intervals import Estimate
from tasks.evaluate.results import Evaluation, Measured
from tasks.evaluate.wording import headline, verdict
from tasks.samples.report import StageReport
from tasks.samples.wording import short

DIGITS = 6


class Figure(BaseModel):
    """A figure with its interval, or the reason why it has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None
    low: float | None
    high: float | None
    undefined: str = ""

    @model_serializer(mode="wrap")
    def _leave_empty_reason_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return {k: v for k, v in written.items() if v or k != "undefined"}

    @classmethod
    def of(cls, estimate: Estimate) -> "Figure":
        """Return an estimate, rounded to what it is good for."""
        return cls(
            value=_rounded(estimate.value),
            low=_rounded(estimate.low),
            high=_rounded(estimate.high),
            undefined=estimate.undefined,
        )


class LeadFigure(Figure):
    """The lead of the model over its best floor by the primary metric; positive is better."""

    over: str
    beyond_chance: bool


class EvaluateReport(StageReport):
    """The figures of a model: each with its interval, its floors and its n."""

    objective: str
    primary_metric: str
    confidence: float
    test: dict[str, Figure | int]
    validation: dict[str, Figure | int]
    train: dict[str, Figure | int]
    floors: dict[str, Figure]
    floor_methods: tuple[str, ...]
    """How each floor comes to its answers; a list, so that `dvc metrics` leaves the words out."""

    lead_over_best_floor: LeadFigure | None
    notices: tuple[str, ...]
    summary: tuple[str, ...]

    @classmethod
    def describe(cls, evaluation: Evaluation) -> "EvaluateReport":
        """Describe an evaluation."""
        best, lead = evaluation.best_floor, evaluation.lead
        return cls(
            objective=evaluation.objective,
            primary_metric=evaluation.primary.name,
            confidence=evaluation.confidence,
            test=_figures(evaluation.test),
            validation=_figures(evaluation.splits["validation"]),
            train=_figures(evaluation.splits["train"], only=evaluation.primary.name),
            floors={each.floor.name: Figure.of(each.estimate) for each in evaluation.floors},
            floor_methods=tuple(
                f"{each.floor.name}: {short(each.floor.method, 120)}" for each in evaluation.floors
            ),
            lead_over_best_floor=LeadFigure(
                **vars(Figure.of(lead)), over=best.floor.name, beyond_chance=lead.beyond_chance
            )
            if best is not None and lead is not None
            else None,
            notices=evaluation.notices,
            summary=(headline(evaluation), verdict(evaluation)),
        )

    def lines(self) -> list[str]:
        """Say how good the model is, beside its best floor, and what to beware of."""
        return [*self.summary, *(f"notice: {notice}" for notice in self.notices[:4])]


def _figures(measured: Measured, only: str | None = None) -> dict[str, Figure | int]:
    figures: dict[str, Figure | int] = {
        name: Figure.of(estimate)
        for name, estimate in measured.estimates.items()
        if only in (None, name)
    }
    return figures | {"n": measured.n, "n_groups": measured.n_groups}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
