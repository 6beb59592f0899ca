"""What a join found, in figures, and what in them a person should look at."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from tasks.align.clock import ClockOffset
from tasks.align.matching import Match, Outcome, Rows
from tasks.align.report import (
    Histogram,
    KeyFindings,
    PairReport,
    SegmentsReport,
    TimeFindings,
    WindowFindings,
)
from tasks.align.timestamps import NO_TIME
from tasks.params import Params
from tasks.params.align import Join, KeyJoin, TimeJoin, WindowJoin

HISTOGRAM_BINS = 40
PLAUSIBLE_MICROSECONDS = (31_536_000_000_000, 4_102_444_800_000_000)
"""The start of 1971, which is later than clocks that never were set, and of 2100."""


def describe_pair(
    join: Join,
    left: str,
    left_on: str,
    right_on: str,
    match: Match,
    time: TimeFindings | None = None,
    key: KeyFindings | None = None,
    windows: WindowFindings | None = None,
) -> PairReport:
    """Count what became of the records of both sides of a join."""
    n_reused = match.n_rows_reused if windows is None else windows.n_windows - windows.n_distinct
    by_time = "one_to_one" if isinstance(join, TimeJoin) and join.one_to_one else "many_to_one"
    left_reasons, right_reasons = _reasons(match.left), _reasons(match.right)
    twice = Outcome.DUPLICATE_MATCH.reason
    return PairReport(
        left=left,
        right=join.right,
        on=join.on,
        left_on=left_on,
        right_on=right_on,
        relation=join.relation
        if isinstance(join, KeyJoin)
        else join.position
        if isinstance(join, WindowJoin)
        else by_time,
        n_left=len(match.left),
        n_right=len(match.right),
        matched_left=int((match.left == Outcome.MATCHED).sum()),
        matched_right=int((match.right == Outcome.MATCHED).sum()),
        unmatched_left=sum(n for reason, n in left_reasons.items() if reason != twice),
        unmatched_right=sum(n for reason, n in right_reasons.items() if reason != twice),
        duplicate_matches_left=left_reasons.get(twice, 0),
        duplicate_matches_right=right_reasons.get(twice, 0),
        n_rows_reused=n_reused,
        unmatched_reasons_left=left_reasons,
        unmatched_reasons_right=right_reasons,
        time=time,
        key=key,
        windows=windows,
    )


def _reasons(outcomes: NDArray[np.int8]) -> dict[str, int]:
    counts = np.bincount(outcomes, minlength=len(Outcome))
    return {
        each.reason: int(counts[each])
        for each in Outcome
        if each is not Outcome.MATCHED and counts[each]
    }


def describe_times(
    join: TimeJoin,
    left: Rows,
    right: Rows,
    corrected: Rows,
    match: Match,
    clock: ClockOffset | None,
    applied: bool,
) -> TimeFindings:
    """Say how far apart partners are, and what is odd about the times.

    Args:
        join: The join's settings.
        left: ``(n_left,)`` times in microseconds.
        right: ``(n_right,)`` times by the right clock.
        corrected: ``(n_right,)`` the same by the left clock.
        match: What the join found.
        clock: The estimated offset, where one was asked for.
        applied: Whether ``corrected`` has it taken off.
    """
    at = np.flatnonzero(match.matched)
    seconds = (corrected[match.partner[at]] - left[at]) / 1e6
    distances = np.abs(seconds)
    counts, edges = np.histogram(
        seconds, bins=HISTOGRAM_BINS, range=(-join.tolerance_seconds, join.tolerance_seconds)
    )
    return TimeFindings(
        tolerance_seconds=join.tolerance_seconds,
        absolute_difference_p50_seconds=_quantile(distances, 0.5),
        absolute_difference_p95_seconds=_quantile(distances, 0.95),
        absolute_difference_max_seconds=_quantile(distances, 1.0),
        differences_seconds=Histogram(
            edges=tuple(edges.tolist()), counts=tuple(counts.astype(int).tolist())
        ),
        clock_offset_seconds=None if clock is None else round(clock.offset_seconds, 6),
        clock_drift_ppm=None if clock is None else round(clock.drift_ppm, 3),
        clock_score=None if clock is None else round(clock.score, 3),
        clock_events=None if clock is None else clock.n_events,
        clock_offset_applied=applied,
        n_left_without_time=int((left == NO_TIME).sum()),
        n_right_without_time=int((right == NO_TIME).sum()),
        n_left_equal_times=_n_equal(left),
        n_right_equal_times=_n_equal(right),
        n_left_out_of_order=_n_out_of_order(left),
        n_right_out_of_order=_n_out_of_order(right),
        n_implausible_times=_n_implausible(left) + _n_implausible(right),
    )


def _quantile(values: NDArray[np.float64], q: float) -> float | None:
    return float(np.quantile(values, q)) if len(values) else None


def _present(times: Rows) -> Rows:
    return np.asarray(times[times != NO_TIME])


def _n_equal(times: Rows) -> int:
    return len(_present(times)) - len(np.unique(_present(times)))


def _n_out_of_order(times: Rows) -> int:
    return int((np.diff(_present(times)) < 0).sum())


def _n_implausible(times: Rows) -> int:
    first, last = PLAUSIBLE_MICROSECONDS
    return int(((_present(times) < first) | (_present(times) >= last)).sum())


def notices(
    params: Params, pairs: Iterable[PairReport], segments: SegmentsReport | None = None
) -> Iterator[str]:
    """Yield what a person should look at before trusting the samples."""
    settings = {join.right: join for join in params.align.joins}
    if segments is not None:
        yield from _segment_notices(params, segments)
    for pair in pairs:
        names = f"{pair.left} and {pair.right}"
        if pair.on == "key" and pair.duplicate_matches_right:
            yield (
                f"{names}: {pair.duplicate_matches_right:,} records of {pair.right} share a key "
                "with an earlier one and are not used; to have a sample of each, make it the base"
            )
        if pair.key is not None and pair.key.n_fuzzy + pair.key.n_ambiguous:
            yield (
                f"{names}: {pair.key.n_fuzzy:,} records were given the key spelled most alike "
                f"(data/align/fuzzy_matches.parquet), {pair.key.n_ambiguous:,} have several about "
                "as much alike and were given none; look them over"
            )
        join = settings[pair.right]
        if pair.time is not None and isinstance(join, TimeJoin):
            yield from _time_notices(names, join, pair.time)
        if pair.windows is not None and isinstance(join, WindowJoin):
            yield from _window_notices(names, join, pair.windows)


def _segment_notices(params: Params, found: SegmentsReport) -> Iterator[str]:
    base = params.align.base
    n_short = sum(one.n_windows == 0 for one in found.series)
    if n_short:
        yield f"{base}: {n_short:,} recordings are too short for a window and gave none"
    if found.n_readings_without_series:
        yield f"{base}: {found.n_readings_without_series:,} readings name no recording; unused"
    n_equal = sum(one.n_equal_times for one in found.series)
    if n_equal:
        yield f"{base}: {n_equal:,} readings have the time of an earlier one; they were averaged"


def _time_notices(names: str, join: TimeJoin, time: TimeFindings) -> Iterator[str]:
    if time.clock_offset_seconds is not None and not time.clock_offset_applied:
        yield (
            f"{names}: a clock offset of {time.clock_offset_seconds:+.3f} s was estimated but "
            f"its score {time.clock_score} is under min_clock_score {join.min_clock_score:g}; "
            "check it by hand"
        )
    if time.n_implausible_times:
        yield f"{names}: {time.n_implausible_times:,} times lie before 1971 or after 2100"


def _window_notices(names: str, join: WindowJoin, found: WindowFindings) -> Iterator[str]:
    by = {how: [c for c in found.clocks if c.applied == how] for how in ("own", "all", "no")}
    if by["all"] and found.clock_of_all is not None:
        yield (
            f"{names}: the clocks of {len(by['all']):,} recordings could not be told by themselves "
            f"(score under {join.min_clock_score:g}); what all say together, "
            f"{found.clock_of_all.offset_seconds:+.3f} s, was taken"
        )
    if by["no"]:
        yield (
            f"{names}: the clocks of {len(by['no']):,} of {len(found.clocks):,} recordings could "
            f"not be told (score under {join.min_clock_score:g}) and were left as they are; "
            "check them by hand"
        )
    if found.n_equal_times:
        yield (
            f"{names}: {found.n_equal_times:,} readings of {join.right} have the time of an "
            "earlier one; they were averaged"
        )
    if found.n_low_coverage:
        yield (
            f"{names}: {found.n_low_coverage:,} windows of {join.right} have a value in under "
            f"{100 * join.min_coverage:g} % of their steps and were left out"
        )
    if found.n_steps_over_gap > 0.05 * max(1, found.n_steps):
        yield (
            f"{names}: {100 * found.n_steps_over_gap / found.n_steps:.1f} % of the steps of "
            f"{join.right} were read across a gap; lower tolerance_seconds to leave them empty"
        )
