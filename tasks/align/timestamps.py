"""Join by time: the nearest record within a tolerance, by binary search in sorted times."""

import heapq
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.align.matching import NOBODY, Match, Outcome, Rows

Direction = Literal["nearest", "backward", "forward"]
NO_TIME = np.iinfo(np.int64).min
"""Stands for the time of a record that has none."""


def microseconds(times: pa.ChunkedArray) -> Rows:
    """Return times as microseconds since 1970, ``NO_TIME`` where there is none."""
    whole = times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64())
    return np.asarray(whole.fill_null(NO_TIME).to_numpy(), dtype=np.int64)


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
        direction: ``backward`` takes only records up to the left time, ``forward`` from it on.
        one_to_one: Use each right record once: the closest pair of all is taken first, and so on.
            A left record whose candidates were all taken is a duplicate match.
        left_order: ``(n_left,)`` each record's place in its source; decides among equal times.
        right_order: ``(n_right,)`` likewise.
    """
    lefts = _in_time(left, left_order)
    rights = _in_time(right, right_order)
    nearest = nearest_rows(left[lefts], right[rights], tolerance, direction)
    chosen = (
        closest_pairs(left[lefts], right[rights], tolerance, direction) if one_to_one else nearest
    )
    partner = np.full(len(left), NOBODY, dtype=np.int64)
    partner[lefts] = np.where(chosen != NOBODY, rights[chosen] if len(rights) else NOBODY, NOBODY)

    left_outcome = np.full(len(left), Outcome.NO_PARTNER, dtype=np.int8)
    left_outcome[left == NO_TIME] = Outcome.NO_TIME
    left_outcome[lefts[(nearest != NOBODY) & (chosen == NOBODY)]] = Outcome.DUPLICATE_MATCH
    left_outcome[partner != NOBODY] = Outcome.MATCHED

    mirrored: dict[Direction, Direction] = {"backward": "forward", "forward": "backward"}
    within_reach = nearest_rows(
        right[rights], left[lefts], tolerance, mirrored.get(direction, direction)
    )
    right_outcome = np.full(len(right), Outcome.NO_PARTNER, dtype=np.int8)
    right_outcome[right == NO_TIME] = Outcome.NO_TIME
    right_outcome[rights[within_reach != NOBODY]] = Outcome.DUPLICATE_MATCH
    right_outcome[partner[partner != NOBODY]] = Outcome.MATCHED
    return Match(partner, left_outcome, right_outcome)


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

    first, second = merged[first_of_pair], merged[second_of_pair]
    chosen_left, chosen_right = np.minimum(first, second), np.maximum(first, second) - len(left)
    partner = np.full(len(left), NOBODY, dtype=np.int64)
    by_right = np.argsort(chosen_right)
    chosen_right[by_right] = _earliest_of_equals(chosen_right[by_right], right)
    by_left = np.lexsort((chosen_right, left[chosen_left]))
    partner[_earliest_of_equals(chosen_left[by_left], left)] = chosen_right[by_left]
    return partner


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
