"""What the figures of an evaluation say, in words, each with its interval."""

from tasks.evaluate.intervals import Estimate
from tasks.evaluate.results import Evaluation
from tasks.samples.wording import level, number, percent, short


def interval(estimate: Estimate, metric: str = "") -> str:
    """Write an interval: "0.912 to 0.956", or "" where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{number(estimate.low, metric)} to {number(estimate.high, metric)}"


def with_interval(estimate: Estimate, metric: str = "") -> str:
    """Write a figure with its interval: "0.935 (0.912 to 0.956)"."""
    ends = interval(estimate, metric)
    return f"{number(estimate.value, metric)} ({ends})" if ends else number(estimate.value, metric)


def headline(evaluation: Evaluation) -> str:
    """Say in one sentence how good the model is on test."""
    test = evaluation.test
    estimate = test.estimates[evaluation.primary.name]
    if estimate.value is None:
        return f"How good the model is cannot be said: {estimate.undefined}."
    where = f"On {test.n:,} test samples that it has never seen"
    sure = f"{level(evaluation.confidence)} interval"
    if evaluation.objective == "regression":
        ends = interval(estimate, "rmse")
        told = f" ({sure} {ends})" if ends else ""
        return f"{where}, the model is off by {number(estimate.value)} (RMSE){told}."
    told = ""
    if estimate.low is not None and estimate.high is not None:
        told = f" ({sure} {percent(estimate.low)} to {percent(estimate.high)})"
    return f"{where}, the model is right in {percent(estimate.value)}{told}."


def verdict(evaluation: Evaluation) -> str:
    """Say in one or two sentences whether the model is better than the best trivial one."""
    best, lead = evaluation.best_floor, evaluation.lead
    if best is None or lead is None or lead.value is None:
        return "No floor was measured, so nothing says whether this is more than a trivial model."
    classified = evaluation.objective == "classification"
    value = best.estimate.value
    assert value is not None
    reached = percent(value) if classified else f"RMSE {number(value)}"
    floor = f"The best trivial model, {short(best.floor.label)}, reaches {reached}."
    size = points(lead, classified)
    if lead.beyond_chance:
        return f"{floor} The lead of {size} is beyond chance."
    if lead.high is not None and lead.high < 0:
        return f"{floor} The model is worse than that: its lead is {size}."
    return f"{floor} The model does not beat it beyond chance: its lead is {size}."


def points(lead: Estimate, classified: bool) -> str:
    """Write a lead: in points of a hundred for accuracies, in the target's unit for errors."""
    assert lead.value is not None
    if not classified:
        return (
            f"{number(lead.value)} ({interval(lead)})"
            if lead.low is not None
            else number(lead.value)
        )
    ends = ""
    if lead.low is not None and lead.high is not None:
        ends = f" ({100 * lead.low:.1f} to {100 * lead.high:.1f})"
    return f"{100 * lead.value:.1f} points{ends}"
