"""What the align stage found, join by join."""

from typing import Literal

from pydantic import Field

from tasks.samples.report import StageReport
from tasks.samples.schema import Contract


class Histogram(Contract):
    """Counts between edges; there is one edge more than there are counts."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class TimeFindings(Contract):
    """What a join by time found besides its matches.

    Time differences are right minus left, after an applied clock offset was taken off.
    """

    tolerance_seconds: float
    absolute_difference_p50_seconds: float | None
    absolute_difference_p95_seconds: float | None
    absolute_difference_max_seconds: float | None
    differences_seconds: Histogram
    clock_offset_seconds: float | None
    """How far the right clock is ahead; None where it was not to be estimated."""

    clock_score: float | None
    clock_events: int | None
    clock_offset_applied: bool
    n_left_without_time: int
    n_right_without_time: int
    n_left_equal_times: int
    n_right_equal_times: int
    n_left_out_of_order: int
    n_right_out_of_order: int
    n_implausible_times: int
    """Times before 1971 or after 2100."""


class PairReport(Contract):
    """What joining two sources gave. Every record of both is in exactly one of its counts."""

    left: str
    right: str
    on: Literal["key", "time"]
    left_on: str
    right_on: str
    relation: str
    """As declared for a key; ``one_to_one`` or ``many_to_one`` for a time."""

    n_left: int
    n_right: int
    matched_left: int
    matched_right: int
    unmatched_left: int
    unmatched_right: int
    duplicate_matches_left: int
    duplicate_matches_right: int
    n_rows_reused: int
    """Left records whose partner is also that of another one before them."""

    unmatched_reasons_left: dict[str, int]
    unmatched_reasons_right: dict[str, int]
    time: TimeFindings | None = None

    def line(self) -> str:
        """Return the pair's line of the log."""
        words = (
            f"{self.left}.{self.left_on} to {self.right}.{self.right_on} by {self.on}: "
            f"{self.matched_left:,} of {self.n_left:,} matched"
        )
        if self.duplicate_matches_left:
            words += f", {self.duplicate_matches_left:,} lost theirs to a closer record"
        spare = self.n_right - self.matched_right
        words += f", {spare:,} of {self.n_right:,} {self.right} unused"
        if self.time is None:
            return words
        if self.time.absolute_difference_p95_seconds is not None:
            words += f", 95 % within {self.time.absolute_difference_p95_seconds:.3g} s"
        if self.time.clock_offset_seconds is not None:
            applied = "applied" if self.time.clock_offset_applied else "NOT applied"
            words += (
                f"; clock offset {self.time.clock_offset_seconds:+.3f} s "
                f"(score {self.time.clock_score:.1f}, {applied})"
            )
        return words


class InputReport(Contract):
    """How many samples have an input."""

    name: str
    modality: str
    n_present: int
    n_missing: int


class TargetBalance(Contract):
    """How the target is spread: the count of each class, or the quartiles of a number."""

    n: int
    n_missing: int
    n_classes: int | None = None
    classes: dict[str, int] = Field(default_factory=dict)
    """The commonest first; at most 200 of them."""

    quartiles: tuple[float, ...] = ()
    """Minimum, lower quartile, median, upper quartile, maximum."""

    mean: float | None = None


class AlignReport(StageReport):
    """How records of all sources became samples."""

    n_base: int
    n_samples: int
    n_quarantined: int
    quarantine_reasons: dict[str, int]
    pairs: tuple[PairReport, ...]
    inputs: tuple[InputReport, ...]
    target: str
    target_before: TargetBalance
    """Of all records of the target's own source."""

    target_after: TargetBalance
    notices: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the samples, each pair, what is missing and what to look at."""
        aside = ", ".join(f"{reason} {n:,}" for reason, n in self.quarantine_reasons.items())
        missing = [f"{i.name} {i.n_missing:,}" for i in self.inputs if i.n_missing]
        return [
            f"{self.n_samples:,} samples from {self.n_base:,} records"
            + (f"; set aside: {aside}" if aside else ""),
            *(pair.line() for pair in self.pairs),
            *([f"samples that lack an input: {', '.join(missing)}"] if missing else []),
            *(f"note: {notice}" for notice in self.notices),
        ]
