"""Join two sources as their settings say, and tell what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from tasks.align.clock import ClockOffset, estimate_clock_offset
from tasks.align.findings import describe_pair, describe_times
from tasks.align.keys import KeyColumn, MatchedKeys, match_by_key
from tasks.align.matching import Match, Outcome, Rows
from tasks.align.recordings import SensorRecords
from tasks.align.report import KeyFindings, PairReport
from tasks.align.signal_clock import SignalClock
from tasks.align.sources import Source
from tasks.align.timestamps import NO_TIME, match_by_time, microseconds, moved_times
from tasks.align.window_joins import LeftRecords, join_windows, require_apart
from tasks.align.window_store import WindowStore
from tasks.errors import ParamsError
from tasks.params import Params
from tasks.params.align import Join, KeyJoin, TimeJoin, WindowJoin
from tasks.params.collect import SensorSource
from tasks.samples.tables import write_table

FUZZY_SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("source", pa.string()),
        ("key", pa.string()),
        ("partner_id", pa.string()),
        ("partner", pa.string()),
        ("partner_key", pa.string()),
        ("similarity", pa.float64()),
    ]
)


ALL_TOGETHER = "all together"


@dataclass(frozen=True)
class Joined:
    """What one join gave.

    Attributes:
        match: The partners.
        pair: The same in figures.
        right: Where the partners are.
        fuzzy: Keys that were matched though they differ.
        clocks: Clocks by left recording, for the page.
    """

    match: Match
    pair: PairReport
    right: Source
    fuzzy: pa.Table = field(default_factory=FUZZY_SCHEMA.empty_table)
    clocks: Mapping[str, SignalClock] = field(default_factory=dict)


@dataclass(frozen=True)
class Joiner:
    """Joins sources of one project.

    Attributes:
        params: The settings.
        sources: The records that can be joined.
        sensors: Readings: the base where it is cut into segments, and what windows are joined from.
        store: Where windows go.
        scratch: A folder for what is not kept.
    """

    params: Params
    sources: Mapping[str, Source]
    sensors: Mapping[str, SensorRecords]
    store: WindowStore
    scratch: Path

    def join(self, join: Join) -> Joined:
        """Match the records of a join's two sources."""
        if isinstance(join, KeyJoin):
            return self._by_key(join)
        if isinstance(join, TimeJoin):
            return self._by_time(join)
        return self._windows(join)

    def _by_key(self, join: KeyJoin) -> Joined:
        left, right, left_on, right_on = self._sides(join)
        require_same_type(left, left_on, right, right_on)
        sides = [
            KeyColumn(f"{side.name}.{on}", side.column(on), side.places, side.order)
            for side, on in ((left, left_on), (right, right_on))
        ]
        matched = match_by_key(
            sides[0], sides[1], join.relation, join.normalise == "spelling", join.min_similarity
        )
        found = None
        if join.normalise != "none" or join.min_similarity is not None:
            found = KeyFindings(
                n_alike=matched.n_alike,
                n_fuzzy=len(matched.fuzzy),
                n_ambiguous=int((matched.match.left == Outcome.AMBIGUOUS_KEY).sum()),
            )
        pair = describe_pair(join, left.name, left_on, right_on, matched.match, key=found)
        return Joined(matched.match, pair, right, fuzzy_table(left, right, sides, matched))

    def _by_time(self, join: TimeJoin) -> Joined:
        left, right, left_on, right_on = self._sides(join)
        left_times = microseconds(left.column(left_on))
        right_times = microseconds(right.column(right_on))
        clock = estimated_clock(join, left_times, right_times)
        applied = clock is not None and clock.score >= join.min_clock_score
        corrected = right_times
        if clock is not None and applied:
            corrected = moved_times(right_times, clock)
        match = match_by_time(
            left_times,
            corrected,
            round(join.tolerance_seconds * 1e6),
            join.direction,
            join.one_to_one,
            left.order,
            right.order,
        )
        found = describe_times(join, left_times, right_times, corrected, match, clock, applied)
        return Joined(
            match, describe_pair(join, left.name, left_on, right_on, match, time=found), right
        )

    def _windows(self, join: WindowJoin) -> Joined:
        left = self.sources[join.left or self.params.align.base]
        left_on = self._column_of(join.left_on, left.name)
        right = self.sensors[join.right]
        if right.pooled:
            require_apart(join, right)
        is_cut = left.name in self.sensors
        wanted = None if join.series is None else self._column_of(join.series, left.name)
        records = LeftRecords(
            times=microseconds(left.column(left_on)),
            order=left.order,
            wanted=None if wanted is None else left.column(wanted),
            recordings=left.column("series") if is_cut else None,
        )
        found = join_windows(join, records, right, self.store, self.sensors.get(left.name))
        path = self.scratch / f"{join.right}.parquet"
        write_table(found.table, path)
        pair = describe_pair(join, left.name, left_on, "time", found.match, windows=found.findings)
        source = Source(join.right, path, ("file", "row"), self.scratch)
        together = {} if found.together is None else {ALL_TOGETHER: found.together}
        return Joined(found.match, pair, source, clocks={**together, **found.clocks})

    def _sides(self, join: KeyJoin | TimeJoin) -> tuple[Source, Source, str, str]:
        left, right = self.sources[join.left or self.params.align.base], self.sources[join.right]
        left_on = self._column_of(join.left_on, left.name)
        return left, right, left_on, self._column_of(join.right_on or join.left_on, right.name)

    def _column_of(self, column: str, source: str) -> str:
        """Return the short name of a join's column, which may have been named in full.

        Raises:
            ParamsError: The full name is that of another source.
        """
        owner, short = self.params.full_name(column, source).split(".", 1)
        if owner != source:
            raise ParamsError(
                [f"align.joins: '{column}' is not a column of '{source}'; name one that is"]
            )
        return short


def sensors_of(params: Params, records: Path) -> dict[str, SensorRecords]:
    """Open the sensor sources that windows are cut from."""
    align = params.align
    found = {}
    if align.segments is not None:
        source = params.collect.source(align.base)
        target = params.full_name(align.target)
        label = target.split(".", 1)[1] if target.startswith(f"{align.base}.") else None
        if isinstance(source, SensorSource):
            path = records / f"{align.base}.parquet"
            found[align.base] = SensorRecords(path, source.channels, label)
    for join in align.joins:
        source = params.collect.source(join.right)
        if isinstance(join, WindowJoin) and isinstance(source, SensorSource):
            path = records / f"{join.right}.parquet"
            found[join.right] = SensorRecords(path, source.channels, pooled=join.series is None)
    return found


def estimated_clock(join: TimeJoin, left: Rows, right: Rows) -> ClockOffset | None:
    """Estimate the clock of a join's right source, where that is asked for; seconds since 1970."""
    if not join.estimate_clock_offset:
        return None
    left, right = left[left != NO_TIME], right[right != NO_TIME]
    start = int(left[0]) if len(left) else 0  # small numbers keep their digits as floats
    return estimate_clock_offset(
        (left - start) / 1e6,
        (right - start) / 1e6,
        join.max_clock_offset_seconds,
        join.max_clock_drift_ppm,
    ).since(start / 1e6)


def require_same_type(left: Source, left_on: str, right: Source, right_on: str) -> None:
    """Fail where the two sides of a key join hold values that can never be equal."""
    of_left, of_right = left.schema.field(left_on).type, right.schema.field(right_on).type
    if of_left != of_right:
        raise ParamsError(
            [
                f"align.joins: {left.name}.{left_on} ({of_left}) and {right.name}.{right_on} "
                f"({of_right}) are of different types; declare both as 'key' in collect.sources"
            ]
        )


def fuzzy_table(
    left: Source, right: Source, sides: list[KeyColumn], matched: MatchedKeys
) -> pa.Table:
    """List the left records that were given a key that is not theirs."""
    at = matched.fuzzy
    if not len(at):
        return FUZZY_SCHEMA.empty_table()
    partner = matched.match.partner[at]
    columns = [
        left.column("record_id").take(at),
        pa.repeat(left.name, len(at)),
        sides[0].values.take(at),
        right.column("record_id").take(partner),
        pa.repeat(right.name, len(at)),
        sides[1].values.take(partner),
        pa.array(matched.similarity.round(6)),
    ]
    return pa.table(columns, schema=FUZZY_SCHEMA)
