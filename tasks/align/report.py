"""What the align stage found, join by join."""

from typing import Literal

from pydantic import Field

from tasks.align.suspects.report import SuspectsReport
from tasks.samples.report import StageReport
from tasks.samples.schema import Contract


class Histogram(Contract):
    """Counts between edges; there is one edge more than there are counts."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Shares(Contract):
    """How many of something have how large a part, in ten steps from 0 to 1."""

    counts_by_tenth: tuple[int, ...]


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

    clock_drift_ppm: float | None
    """How fast the right clock gains on the left, in millionths."""

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


Applied = Literal["own", "all", "no"]


class SeriesClock(Contract):
    """How far the right clock of one recording is ahead of the left."""

    series: str
    """Name of the left recording."""

    offset_seconds: float
    """In the middle of what both sensors saw."""

    drift_ppm: float
    score: float
    overlap_seconds: float
    applied: Applied
    """``own``: this estimate was taken off. ``all``: it is too unsure, and what all recordings say
    together was. ``no``: nothing was."""


class SeriesReport(Contract):
    """One recording of a sensor."""

    series: str
    n_readings: int
    n_readings_used: int
    """Readings that lie in a window."""

    n_readings_without_time: int
    n_equal_times: int
    """Readings with the time of an earlier one; they were averaged."""

    n_out_of_order: int
    n_windows: int
    rate_hz: float | None
    """Usual readings a second."""

    max_gap_seconds: float
    n_steps_over_gap: int
    """Steps of its windows that were read off a line across a gap of three usual periods."""


class SegmentsReport(Contract):
    """How the recordings of the base were cut. Every reading is used or unused."""

    n_series: int
    n_windows: int
    n_readings: int
    n_readings_used: int
    n_readings_unused: int
    n_readings_without_series: int
    mean_agreement: float | None
    """Mean part of a window's readings that agree with its label; None for a number."""

    coverage: Shares | None = None
    series: tuple[SeriesReport, ...]

    def line(self) -> str:
        """Return the line of the log."""
        agree = ""
        if self.mean_agreement is not None:
            agree = f"; {100 * self.mean_agreement:.1f} % of a window's readings agree on its label"
        return (
            f"{self.n_windows:,} windows of {self.n_series:,} recordings; "
            f"{self.n_readings_unused:,} of {self.n_readings:,} readings lie in none{agree}"
        )


class WindowFindings(Contract):
    """What a join of windows found besides its matches."""

    n_windows: int
    n_distinct: int
    n_low_coverage: int
    n_steps: int
    """Steps of all windows that have a value."""

    n_steps_over_gap: int
    n_steps_held: int
    """Steps after the last reading before a window's end, which hold its value."""

    coverage: Shares
    """How many windows have a value in how large a part of their steps."""

    max_gap_seconds: float
    n_equal_times: int
    series: tuple[SeriesReport, ...]
    """The right recordings; at most 1,000 of them."""

    clocks: tuple[SeriesClock, ...] = ()
    clock_of_all: SeriesClock | None = None
    """One offset for all recordings; None where there is but one, or none was to be estimated."""


class KeyFindings(Contract):
    """What a join by key found besides its matches."""

    n_alike: int
    """Left records whose key is that of a right one only in a form without case and the like."""

    n_fuzzy: int
    """Left records that were given the key spelled most alike."""

    n_ambiguous: int
    """Left records to whose key several are about equally alike; they have no partner."""


class PairReport(Contract):
    """What joining two sources gave. Every record of both is in exactly one of its counts.

    The records of the right side of a join of windows are readings; they match where they lie in a
    window.
    """

    left: str
    right: str
    on: Literal["key", "time", "window"]
    left_on: str
    right_on: str
    relation: str
    """As declared for a key; ``one_to_one`` or ``many_to_one`` for a time; ``before`` or ``around``
    for windows."""

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
    key: KeyFindings | None = None
    windows: WindowFindings | None = None

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
        if self.key is not None and self.key.n_fuzzy + self.key.n_ambiguous:
            words += f", {self.key.n_fuzzy:,} by a key alike, {self.key.n_ambiguous:,} ambiguous"
        if self.windows is not None:
            words += _windows_words(self.windows)
        if self.time is None:
            return words
        if self.time.absolute_difference_p95_seconds is not None:
            words += f", 95 % within {self.time.absolute_difference_p95_seconds:.3g} s"
        if self.time.clock_offset_seconds is not None:
            applied = "applied" if self.time.clock_offset_applied else "NOT applied"
            words += (
                f"; clock offset {self.time.clock_offset_seconds:+.3f} s, "
                f"drift {self.time.clock_drift_ppm or 0.0:+.1f} ppm "
                f"(score {self.time.clock_score:.1f}, {applied})"
            )
        return words


def _windows_words(found: WindowFindings) -> str:
    words = ""
    if found.n_steps_over_gap:
        words += f", {found.n_steps_over_gap:,} of {found.n_steps:,} steps read across a gap"
    if found.n_steps_held:
        words += f", {found.n_steps_held:,} held"
    if found.clocks:
        own = [clock.offset_seconds for clock in found.clocks if clock.applied == "own"]
        words += f"; {len(own):,} of {len(found.clocks):,} recordings have a clock of their own"
        if own:
            words += f", ahead by {min(own):+.3f} to {max(own):+.3f} s"
        if found.clock_of_all is not None:
            words += (
                f"; all together {found.clock_of_all.offset_seconds:+.3f} s "
                f"(score {found.clock_of_all.score:.1f})"
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
    segments: SegmentsReport | None = None
    pairs: tuple[PairReport, ...]
    inputs: tuple[InputReport, ...]
    target: str
    target_before: TargetBalance
    """Of all records of the target's own source."""

    target_after: TargetBalance
    suspects: SuspectsReport | None = None
    notices: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the samples, each pair, what is missing and what to look at."""
        aside = ", ".join(f"{reason} {n:,}" for reason, n in self.quarantine_reasons.items())
        missing = [f"{i.name} {i.n_missing:,}" for i in self.inputs if i.n_missing]
        return [
            f"{self.n_samples:,} samples from {self.n_base:,} records"
            + (f"; set aside: {aside}" if aside else ""),
            *([self.segments.line()] if self.segments is not None else []),
            *(pair.line() for pair in self.pairs),
            *([f"samples that lack an input: {', '.join(missing)}"] if missing else []),
            *(self.suspects.lines() if self.suspects is not None else []),
            *(f"note: {notice}" for notice in self.notices),
        ]
