"""Give each left record the readings of a sensor before or around its time, as a window."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.align.matching import NOBODY, Match, Outcome, Rows
from tasks.align.recordings import READ_ROWS, SERIES, TIME, SensorRecords
from tasks.align.report import Applied, SeriesClock, SeriesReport, WindowFindings
from tasks.align.resampling import Grid, resample
from tasks.align.segments import MOST_SERIES, in_any_window
from tasks.align.signal_clock import PooledCurve, SignalClock, estimate_signal_clock
from tasks.align.timestamps import NO_TIME, microseconds
from tasks.align.window_store import WindowStore, shares
from tasks.errors import DataError
from tasks.params.align import WindowJoin
from tasks.samples.progress import progress
from tasks.samples.tables import iter_batches

WINDOW = "window"


@dataclass(frozen=True)
class LeftRecords:
    """The records that want windows.

    Attributes:
        times: ``(n_left,)`` microseconds, ``NO_TIME`` where there is none.
        order: ``(n_left,)`` each record's place in its source.
        wanted: The right recording each wants, null for none; None where readings are not parted.
        recordings: The left recording each is of; None where the left source is no sensor.
    """

    times: Rows
    order: Rows
    wanted: pa.ChunkedArray | None = None
    recordings: pa.ChunkedArray | None = None


@dataclass(frozen=True)
class JoinedWindows:
    """What a join of windows gave.

    Attributes:
        match: Each left record's row of ``table``; the right side are the readings.
        table: A row for each left record with a window: its digest, and of which recording and time
            it is, by which overlapping windows are told.
        findings: The same in figures.
        clocks: Estimated clocks by left recording, with the curves they were read off.
        together: What all of them say together.
    """

    match: Match
    table: pa.Table
    findings: WindowFindings
    clocks: Mapping[str, SignalClock]
    together: SignalClock | None


def _window_table(found: list[tuple[Rows, list[str], Rows, str]], length: int) -> pa.Table:
    """Return the windows of all groups of left records, one after the other."""
    moment = pa.timestamp("us", "UTC")
    starts = np.concatenate([np.zeros(0, dtype=np.int64), *(start for _, _, start, _ in found)])
    return pa.table(
        {
            WINDOW: pa.array([d for _, digests, _, _ in found for d in digests], pa.string()),
            "series": pa.array(
                [n for rows, _, _, n in found for _ in range(len(rows))], pa.string()
            ),
            "start": pa.array(starts, pa.int64()).cast(moment),
            "time": pa.array(starts + length, pa.int64()).cast(moment),
        }
    )


@dataclass(frozen=True)
class _Group:
    """Left records that read from one recording by one clock."""

    right: str
    left: str
    rows: Rows


def join_windows(
    join: WindowJoin,
    left: LeftRecords,
    right: SensorRecords,
    store: WindowStore,
    left_sensor: SensorRecords | None = None,
) -> JoinedWindows:
    """Cut a window for each left record.

    Args:
        join: The join's settings.
        left: The records that want windows.
        right: The readings.
        store: Where the windows go.
        left_sensor: What the left clock saw, for ``estimate_clock_offset``.
    """
    grid = Grid(
        join.n_steps,
        join.rate_hz,
        round(join.tolerance_seconds * 1e6),
        causal=join.position == "before",
    )
    groups = groups_of(left, right)
    clocks: dict[tuple[str, str], SignalClock] = {}
    together: SignalClock | None = None
    if join.estimate_clock_offset and left_sensor is not None:
        clocks, together = _estimated(join, groups, right, left_sensor)

    outcome = left_outcomes(left)
    partner = np.full(len(left.times), NOBODY, dtype=np.int64)
    found: list[tuple[Rows, list[str], Rows, str]] = []
    coverage = [np.zeros(0)]
    right_outcomes = [np.full(right.n_without_series, Outcome.NO_PARTNER, dtype=np.int8)]
    series: list[SeriesReport] = []
    n_steps = n_over_gap = n_held = 0
    with progress(f"windows of {join.right}", total=len(right.series)) as advance:
        for readings in right.read():
            recording = readings.merged()
            used = np.zeros(len(readings.times), dtype=bool)
            n_windows = n_own_over_gap = 0
            for group in groups.get(readings.series, []):
                clock = _clock_for(clocks.get((group.right, group.left)), join, together)
                moved = recording if clock is None else recording.moved(clock.to_left)
                own_times = readings.times if clock is None else clock.to_left(readings.times)
                starts = window_starts(left.times[group.rows], grid, join.position)
                digests, own_coverage, n, n_gap, n_kept = store.add(
                    resample(moved, starts, grid), join.min_coverage
                )
                coverage.append(own_coverage)
                n_steps, n_own_over_gap, n_held = (
                    n_steps + n,
                    n_own_over_gap + n_gap,
                    n_held + n_kept,
                )
                has = np.asarray([digest is not None for digest in digests], dtype=bool)
                found.append(
                    (
                        group.rows[has],
                        [digest for digest in digests if digest is not None],
                        starts[has],
                        readings.series,
                    )
                )
                outcome[group.rows] = np.where(
                    has,
                    Outcome.MATCHED,
                    np.where(own_coverage > 0, Outcome.LOW_COVERAGE, Outcome.NO_PARTNER),
                )
                first = np.searchsorted(own_times, starts[has], side="left")
                last = np.searchsorted(own_times, starts[has] + grid.length, side="left")
                used |= in_any_window(first, last, len(own_times))
                n_windows += int(has.sum())
            n_over_gap += n_own_over_gap
            right_outcomes += [
                np.where(used, Outcome.MATCHED, Outcome.NO_PARTNER).astype(np.int8),
                np.full(readings.n_without_time, Outcome.NO_TIME, dtype=np.int8),
            ]
            series.append(
                SeriesReport(
                    series=readings.series,
                    n_readings=right.n_of[readings.series],
                    n_readings_used=int(used.sum()),
                    n_readings_without_time=readings.n_without_time,
                    n_equal_times=len(readings.times) - len(recording.times),
                    n_out_of_order=readings.n_out_of_order,
                    n_windows=n_windows,
                    rate_hz=recording.rate_hz,
                    max_gap_seconds=recording.max_gap / 1e6,
                    n_steps_over_gap=n_own_over_gap,
                )
            )
            advance()
    table = _window_table(found, grid.length)
    with_window = np.concatenate([np.zeros(0, dtype=np.int64), *(rows for rows, *_ in found)])
    partner[with_window] = np.arange(len(with_window))
    require_reachable(join, series, table.num_rows)
    findings = WindowFindings(
        n_windows=table.num_rows,
        n_distinct=len(table[WINDOW].unique()),
        n_low_coverage=int((outcome == Outcome.LOW_COVERAGE).sum()),
        n_steps=n_steps,
        n_steps_over_gap=n_over_gap,
        n_steps_held=n_held,
        coverage=shares(np.concatenate(coverage)),
        max_gap_seconds=max((one.max_gap_seconds for one in series), default=0.0),
        n_equal_times=sum(one.n_equal_times for one in series),
        series=tuple(series[:MOST_SERIES]),
        clocks=tuple(
            _described(name, clock, join, together) for (_, name), clock in sorted(clocks.items())
        )[:MOST_SERIES],
        clock_of_all=None if together is None else _described("", together, join, together),
    )
    return JoinedWindows(
        Match(partner, outcome, np.concatenate(right_outcomes)),
        table,
        findings,
        {name: clock for (_, name), clock in clocks.items()},
        together,
    )


def window_starts(times: Rows, grid: Grid, position: str) -> Rows:
    """Return when the windows of some left times start, in microseconds.

    A window ``before`` a time ends there, its last step one step earlier; the middle of a window
    ``around`` a time lies on it.
    """
    return times - (grid.length if position == "before" else int(grid.offsets[-1]) // 2)


def groups_of(left: LeftRecords, right: SensorRecords) -> dict[str, list[_Group]]:
    """Part the left records that can have a window by the recordings they are of, each in time."""
    able = np.flatnonzero(left_outcomes(left) == Outcome.NO_PARTNER)
    in_time = able[np.lexsort((left.order[able], left.times[able]))]
    right_codes, right_names = _coded(left.wanted, len(left.times))
    left_codes, left_names = _coded(left.recordings, len(left.times))
    pairs = (right_codes * len(left_names) + left_codes)[in_time]
    parted = np.argsort(pairs, kind="stable")
    edges = np.flatnonzero(np.diff(pairs[parted])) + 1
    found: dict[str, list[_Group]] = {}
    for rows in np.split(in_time[parted], edges) if len(in_time) else []:
        name = right_names[right_codes[rows[0]]]
        if name in right.n_of:
            group = _Group(name, left_names[left_codes[rows[0]]], rows)
            found.setdefault(name, []).append(group)
    return found


def left_outcomes(left: LeftRecords) -> NDArray[np.int8]:
    """Say which left records cannot have a window, and of the others that they have none yet."""
    outcome = np.full(len(left.times), Outcome.NO_PARTNER, dtype=np.int8)
    if left.wanted is not None:
        outcome[left.wanted.is_null().to_numpy()] = Outcome.NO_KEY
    outcome[left.times == NO_TIME] = Outcome.NO_TIME
    return outcome


def require_reachable(join: WindowJoin, series: list[SeriesReport], n_windows: int) -> None:
    """Fail where no window was cut because readings are too rare for the tolerance.

    Raises:
        DataError: With how far apart they are.
    """
    rates = [one.rate_hz for one in series if one.rate_hz]
    if n_windows or not rates or join.tolerance_seconds >= 1 / max(rates):
        return
    apart = 1 / max(rates)
    raise DataError(
        f"align.joins: readings of '{join.right}' are {apart:.3g} s apart at best, so hardly a "
        f"step has one within tolerance_seconds {join.tolerance_seconds:g} on either side, and no "
        f"window came of it; raise tolerance_seconds to {apart:.3g} or more"
    )


def require_apart(join: WindowJoin, right: SensorRecords) -> None:
    """Fail where recordings that are to be read as one overlap in time.

    Raises:
        DataError: Readings of several sensors would be mixed.
    """
    spans: dict[str | None, list[int]] = {}
    for batch in iter_batches(right.path, [SERIES, TIME], rows=READ_ROWS // 8):
        table = pa.Table.from_batches([batch]).drop_null()
        found = table.group_by(SERIES).aggregate([(TIME, "min"), (TIME, "max")])
        ends = [microseconds(found[f"{TIME}_{end}"]) for end in ("min", "max")]
        for name, first, last in zip(found[SERIES].to_pylist(), *ends, strict=True):
            span = spans.setdefault(name, [int(first), int(last)])
            span[:] = min(span[0], int(first)), max(span[1], int(last))
    in_time = sorted(spans, key=lambda name: (spans[name], str(name)))
    for one, other in pairwise(in_time):
        if spans[other][0] < spans[one][1]:
            raise DataError(
                f"align.joins: {len(spans):,} recordings of '{join.right}' are to be read as one, "
                f"but '{one}' and '{other}' overlap in time; name the left column that says which "
                "recording is meant as 'series' of the join"
            )


def _coded(names: pa.ChunkedArray | None, n: int) -> tuple[NDArray[np.int64], list[str]]:
    """Number names; all are "" where there are none to tell apart."""
    if names is None:
        return np.zeros(n, dtype=np.int64), [""]
    encoded = names.combine_chunks().dictionary_encode()
    found = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    ranks = np.argsort(np.argsort(np.asarray(found, dtype=object))) if found else np.zeros(0, int)
    return np.append(ranks, len(found))[codes].astype(np.int64), [*sorted(found), ""]


def _estimated(
    join: WindowJoin,
    groups: Mapping[str, list[_Group]],
    right: SensorRecords,
    left_sensor: SensorRecords,
) -> tuple[dict[tuple[str, str], SignalClock], SignalClock | None]:
    """Estimate the clock of each recording, and of all where there are several."""
    found: dict[tuple[str, str], SignalClock] = {}
    pooled = PooledCurve(join.max_clock_offset_seconds)
    with progress(f"clock of {join.right}", total=sum(map(len, groups.values()))) as advance:
        for readings in right.read(groups):
            own = readings.merged()
            for group in groups[readings.series]:
                for other in left_sensor.read([group.left]):
                    clock = estimate_signal_clock(
                        other.merged(), own, join.max_clock_offset_seconds, join.max_clock_drift_ppm
                    )
                    found[group.right, group.left] = pooled.add(clock)
                advance()
    return found, pooled.clock() if len(found) > 1 else None


def _is_sure(clock: SignalClock | None, join: WindowJoin) -> bool:
    return clock is not None and clock.score >= join.min_clock_score


def _clock_for(
    own: SignalClock | None, join: WindowJoin, together: SignalClock | None
) -> SignalClock | None:
    if own is None or _is_sure(own, join):
        return own
    return together if _is_sure(together, join) else None


def _described(
    name: str, clock: SignalClock, join: WindowJoin, together: SignalClock | None
) -> SeriesClock:
    taken = "own" if _is_sure(clock, join) else "all" if _is_sure(together, join) else "no"
    return SeriesClock(
        series=name,
        offset_seconds=round(clock.offset_seconds, 6),
        drift_ppm=round(clock.drift_ppm, 3),
        score=round(clock.score, 3),
        overlap_seconds=round(clock.overlap_seconds, 3),
        applied=cast(Applied, taken),
    )
