"""How figures and the user's own words are written: rounded, with their interval, and harmless."""

import re
import unicodedata

from tasks.evaluate.intervals import Estimate
from tasks.evaluate.results import Evaluation

_BOUNDED = {"accuracy", "balanced_accuracy", "macro_f1", "mcc", "r2"}
_KEPT_CONTROLS = "\n\t"
_BLANKS = re.compile(r"\s+")


def number(value: float | None, metric: str = "") -> str:
    """Write a figure: three decimals where it is bounded by one, four significant digits else.

    >>> number(0.93456, "accuracy"), number(2.5, "rmse"), number(12345.6), number(None)
    ('0.935', '2.500', '12,346', 'undefined')
    """
    if value is None:
        return "undefined"
    if metric in _BOUNDED:
        return f"{value:.3f}"
    if 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:#.4g}".removesuffix(".")


def interval(estimate: Estimate, metric: str = "") -> str:
    """Write an interval: "0.912 to 0.956", or "" where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{number(estimate.low, metric)} to {number(estimate.high, metric)}"


def with_interval(estimate: Estimate, metric: str = "") -> str:
    """Write a figure with its interval: "0.935 (0.912 to 0.956)"."""
    ends = interval(estimate, metric)
    return f"{number(estimate.value, metric)} ({ends})" if ends else number(estimate.value, metric)


def percent(value: float) -> str:
    """Write a part as percent, with one decimal.

    >>> percent(0.9345)
    '93.5 %'
    """
    return f"{100 * value:.1f} %"


def level(confidence: float) -> str:
    """Write a confidence.

    >>> level(0.95), level(0.995)
    ('95 %', '99.5 %')
    """
    return f"{100 * confidence:g} %"


def harmless(text: str) -> str:
    r"""Take out what a reader does not see but a page or a terminal obeys.

    Control characters, and the marks that turn the direction of writing, go; unpaired surrogates,
    which cannot be written at all, become question marks.

    >>> harmless("a\x1b[31mb\u202ec")
    'a[31mbc'
    """
    kept = (c for c in text if c in _KEPT_CONTROLS or not (_controls(c) or _turns(c)))
    return "".join(kept).encode("utf-8", "replace").decode("utf-8")


def _controls(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def _turns(character: str) -> bool:
    code = ord(character)
    return 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069 or code in (0x200E, 0x200F, 0x061C)


def short(text: str, most: int = 40) -> str:
    r"""Write a label on one line and cut it where it is long.

    >>> short("a  long\nlabel", most=8)
    'a long …'
    """
    line = _BLANKS.sub(" ", harmless(text)).strip()
    return line if len(line) <= most else line[: most - 1] + "…"


def squeezed(label: str, most: int) -> str:
    """Cut a label in its middle, since labels that start alike often differ at their end.

    >>> squeezed("class number 017", most=10)
    'class …017'
    """
    line = short(label, len(label) + 1)
    if len(line) <= most:
        return line
    tail = max(1, most // 3)
    return f"{line[: most - 1 - tail]}…{line[-tail:]}"


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
