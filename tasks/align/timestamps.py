"""Join by time: the nearest record within a tolerance, by binary search in sorted times."""

import heapq
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.align.clock import ClockOffset
from tasks.align.matching import NOBODY, Between, Match, Outcome, Rows

Direction = Literal["nearest", "backward", "forward", "interpolated"]
ROUND_WORTH = 50
"""A round that takes less than one in so many is not worth its while."""

NO_TIME = np.iinfo(np.int64).min
"""Stands for the time of a record that has none."""


def microseconds(times: pa.ChunkedArray) -> Rows:
    """Return times as microseconds since 1970, ``NO_TIME`` where there is none."""
    whole = times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64())
    return np.asarray(whole.fill_null(NO_TIME).to_numpy(), dtype=np.int64)


def moved_times(right: Rows, clock: ClockOffset) -> Rows:
    """Return times of the right clock by the left one, to the microsecond."""
    start = round(clock.at_seconds * 1e6)  # small numbers keep their digits as floats
    local = ClockOffset(clock.offset_seconds, clock.score, clock.n_events, clock.drift_ppm)
    moved = np.round(local.to_left((right - start) / 1e6) * 1e6).astype(np.int64) + start
    return np.where(right == NO_TIME, NO_TIME, moved)


def match_by_time(
    left: Rows,
    right: Rows,
    tolerance: int,
    direction: Direction,
    one_to_one: bool,
    left_order: Rows,
    right_order: Rows,
) -> Match:
    """Give each left record the right record nearest in time.

    Args:
        left: ``(n_left,)`` times in microseconds, in any order, ``NO_TIME`` where there is none.
        right: ``(n_right,)`` times likewise, on the left clock.
        tolerance: The most microseconds between partners.
        direction: ``backward`` takes only records up to the left time, ``forward`` from it on;
            ``interpolated`` takes the nearer one where there is one on either side.
        one_to_one: Use each right record once: the closest pair of all is taken first, and so on.
            A left record whose candidates were all taken is a duplicate match.
        left_order: ``(n_left,)`` each record's place in its source; decides among equal times.
        right_order: ``(n_right,)`` likewise.
    """
    lefts = _in_time(left, left_order)
    rights = _in_time(right, right_order)
    between = None
    if direction == "interpolated":
        between = surrounding(left, right, lefts, rights, tolerance)
    nearest = nearest_rows(left[lefts], right[rights], tolerance, direction)
    chosen = (
        closest_pairs(left[lefts], right[rights], tolerance, direction) if one_to_one else nearest
    )
    partner = np.full(len(left), NOBODY, dtype=np.int64)
    partner[lefts] = np.where(chosen != NOBODY, rights[chosen] if len(rights) else NOBODY, NOBODY)
    if between is not None:
        partner[between.before == NOBODY] = NOBODY

    left_outcome = np.full(len(left), Outcome.NO_PARTNER, dtype=np.int8)
    left_outcome[left == NO_TIME] = Outcome.NO_TIME
    if one_to_one:
        left_outcome[lefts[(nearest != NOBODY) & (chosen == NOBODY)]] = Outcome.DUPLICATE_MATCH
    left_outcome[partner != NOBODY] = Outcome.MATCHED

    mirrored: dict[Direction, Direction] = {"backward": "forward", "forward": "backward"}
    within_reach = nearest_rows(
        right[rights], left[lefts], tolerance, mirrored.get(direction, direction)
    )
    right_outcome = np.full(len(right), Outcome.NO_PARTNER, dtype=np.int8)
    right_outcome[right == NO_TIME] = Outcome.NO_TIME
    if between is None:
        right_outcome[rights[within_reach != NOBODY]] = Outcome.DUPLICATE_MATCH
    else:
        used = between.before != NOBODY
        right_outcome[between.before[used]] = Outcome.MATCHED
        right_outcome[between.after[used]] = Outcome.MATCHED
    right_outcome[partner[partner != NOBODY]] = Outcome.MATCHED
    return Match(partner, left_outcome, right_outcome, between)


def surrounding(left: Rows, right: Rows, lefts: Rows, rights: Rows, tolerance: int) -> Between:
    """Find the right records on either side of each left time, both within the tolerance.

    A record at the very time is both. Of equal times the first in its source is taken.

    Args:
        left: ``(n_left,)`` times.
        right: ``(n_right,)`` times.
        lefts: Rows of ``left`` in order of time.
        rights: Rows of ``right`` in order of time.
        tolerance: The most microseconds to either.
    """
    nobody = np.full(len(left), NOBODY, dtype=np.int64)
    found = Between(nobody, nobody.copy(), np.zeros(len(left)))
    if not len(rights):
        return found
    times, at = right[rights], left[lefts]
    after = np.searchsorted(times, at, side="left")
    behind = np.searchsorted(times, at, side="right") - 1
    inside = (after < len(times)) & (behind >= 0)
    after, behind = after.clip(max=len(times) - 1), behind.clip(0)
    exact = times[after] == at
    before = np.where(exact, after, np.searchsorted(times, times[behind], side="left"))
    near = inside & (at - times[before] <= tolerance) & (times[after] - at <= tolerance)
    span = np.maximum(times[after] - times[before], 1)
    rows = lefts[near]
    found.before[rows], found.after[rows] = rights[before[near]], rights[after[near]]
    found.share[rows] = ((at - times[before]) / span)[near]
    return found


def nearest_rows(left: Rows, right: Rows, tolerance: int, direction: Direction) -> Rows:
    """Return for each left time the position of the nearest right one, or -1; both are sorted.

    Of two that are equally near the earlier is taken, of equal times the first.
    """
    if not len(right):
        return np.full(len(left), NOBODY, dtype=np.int64)
    after = np.searchsorted(right, left, side="left")
    before = np.searchsorted(right, left, side="right") - 1
    has_before, has_after = before >= 0, after < len(right)
    before, after = before.clip(0), after.clip(max=len(right) - 1)
    far = np.iinfo(np.int64).max
    behind = np.where(has_before, left - right[before], far)
    ahead = np.where(has_after, right[after] - left, far)
    if direction == "backward":
        ahead = np.full_like(ahead, far)
    elif direction == "forward":
        behind = np.full_like(behind, far)
    chosen = np.where(behind <= ahead, before, after)
    chosen = np.searchsorted(right, right[chosen], side="left")
    return np.where(np.minimum(behind, ahead) <= tolerance, chosen, NOBODY)


def closest_pairs(left: Rows, right: Rows, tolerance: int, direction: Direction) -> Rows:
    """Pair sorted times off, the closest pair of all that are left first; -1 for no partner.

    The closest pair is always side by side in the merged times, so only neighbours are looked at:
    the neighbours of a pair that was taken become neighbours of each other.
    """
    left_goes_first = direction == "forward"
    times = np.concatenate([left, right])
    is_left = np.arange(len(times)) < len(left)
    merged = np.lexsort((is_left != left_goes_first, times))
    times, is_left = times[merged], is_left[merged]
    first_of_pair, second_of_pair = _paired_off(times, is_left, tolerance, direction)
    first, second = merged[first_of_pair], merged[second_of_pair]
    chosen_left, chosen_right = np.minimum(first, second), np.maximum(first, second) - len(left)
    partner = np.full(len(left), NOBODY, dtype=np.int64)
    by_right = np.argsort(chosen_right)
    chosen_right[by_right] = _earliest_of_equals(chosen_right[by_right], right)
    by_left = np.lexsort((chosen_right, left[chosen_left]))
    partner[_earliest_of_equals(chosen_left[by_left], left)] = chosen_right[by_left]
    return partner


def _paired_off(
    times: Rows, is_left: NDArray[np.bool_], tolerance: int, direction: Direction
) -> tuple[Rows, Rows]:
    """Take the closest pair of neighbours out, again and again; return both ends of each pair.

    Two that are each other's nearest are taken together whatever happens elsewhere, so all such
    pairs are taken at once; who is left closes up, and it starts over. When a round finds few, a
    heap does the rest.
    """
    at = np.arange(len(times))
    firsts, seconds = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    while len(at) >= 2:
        clock, of_left = times[at], is_left[at]
        back, ahead = _to_opposite(clock, of_left, direction)
        within = np.minimum(back, ahead) <= tolerance
        if not within.any():
            break
        if not within.all():
            at = at[within]
            continue
        gaps = np.diff(clock)
        close = (gaps <= tolerance) & _may_pair(of_left[:-1], of_left[1:], direction)
        # Of equal gaps the earlier pair is taken first.
        chosen = np.flatnonzero(close & (gaps < back[:-1]) & (gaps <= ahead[1:]))
        firsts.append(at[chosen])
        seconds.append(at[chosen + 1])
        rest = np.ones(len(at), dtype=bool)
        rest[chosen] = rest[chosen + 1] = False
        at = at[rest]
        if len(chosen) * ROUND_WORTH < len(at):
            first, second = _paired_off_by_heap(times[at], is_left[at], tolerance, direction)
            firsts.append(at[first])
            seconds.append(at[second])
            break
    return np.concatenate(firsts), np.concatenate(seconds)


def _to_opposite(
    times: Rows, is_left: NDArray[np.bool_], direction: Direction
) -> tuple[Rows, Rows]:
    """Return how far each record is from the nearest it may pair with before it, and after it."""
    far = np.iinfo(np.int64).max
    n = len(times)
    index = np.arange(n)
    last_left = np.maximum.accumulate(np.where(is_left, index, -1))
    last_right = np.maximum.accumulate(np.where(is_left, -1, index))
    next_left = np.minimum.accumulate(np.where(is_left, index, n)[::-1])[::-1]
    next_right = np.minimum.accumulate(np.where(is_left, n, index)[::-1])[::-1]
    before = np.where(is_left, last_right, last_left)
    after = np.where(is_left, next_right, next_left)
    back = np.where(before >= 0, times - times[before.clip(0)], far)
    ahead = np.where(after < n, times[after.clip(max=n - 1)] - times, far)
    if direction == "backward":  # a right record, then the left one
        back, ahead = np.where(is_left, back, far), np.where(is_left, far, ahead)
    elif direction == "forward":
        back, ahead = np.where(is_left, far, back), np.where(is_left, ahead, far)
    return back, ahead


def _paired_off_by_heap(
    times: Rows, is_left: NDArray[np.bool_], tolerance: int, direction: Direction
) -> tuple[Rows, Rows]:
    """Do the same one pair at a time."""
    gaps = np.diff(times)
    close = (gaps <= tolerance) & _may_pair(is_left[:-1], is_left[1:], direction)
    heap = list(zip(gaps[close].tolist(), *_neighbours(close), strict=True))
    heapq.heapify(heap)

    n = len(times)
    previous, following = list(range(-1, n - 1)), list(range(1, n + 1))
    clock, of_left, free = times.tolist(), is_left.tolist(), [True] * n
    first_of_pair: list[int] = []
    second_of_pair: list[int] = []
    while heap:
        _, i, j = heapq.heappop(heap)
        if not (free[i] and free[j]):
            continue
        free[i] = free[j] = False
        first_of_pair.append(i)
        second_of_pair.append(j)
        before, after = previous[i], following[j]
        if after < n:
            previous[after] = before
        if before >= 0:
            following[before] = after
        if before < 0 or after >= n or of_left[before] == of_left[after]:
            continue
        gap = clock[after] - clock[before]
        if gap <= tolerance and _may_pair(of_left[before], of_left[after], direction):
            heapq.heappush(heap, (gap, before, after))
    return np.asarray(first_of_pair, dtype=np.int64), np.asarray(second_of_pair, dtype=np.int64)


def _earliest_of_equals(chosen: Rows, times: Rows) -> Rows:
    """Move chosen positions, in order of time, to the first ones that have the same times."""
    starts = np.searchsorted(times, times[chosen], side="left")
    return np.asarray(starts + np.arange(len(chosen)) - np.searchsorted(starts, starts))


def _neighbours(close: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    at = np.flatnonzero(close)
    return at.tolist(), (at + 1).tolist()


def _may_pair(
    first_is_left: NDArray[np.bool_] | bool,
    second_is_left: NDArray[np.bool_] | bool,
    direction: Direction,
) -> NDArray[np.bool_]:
    """Tell which neighbours in time are one of each source, in the order the direction asks for."""
    differ = np.not_equal(first_is_left, second_is_left)
    if direction == "backward":
        return np.asarray(differ & np.equal(second_is_left, True))
    if direction == "forward":
        return np.asarray(differ & np.equal(first_is_left, True))
    return np.asarray(differ)


def _in_time(times: Rows, order: Rows) -> Rows:
    """Return the rows that have a time, by time and then by their place in the source."""
    rows = np.flatnonzero(times != NO_TIME)
    return rows[np.lexsort((order[rows], times[rows]))]
