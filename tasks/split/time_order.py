"""Splits by time: what trains comes before what validates, and that before what tests."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.params.split import SplitFractions
from tasks.split.assignment import ASIDE, TEST, TRAIN, Assignment
from tasks.split.groups import Groups

Times = NDArray[np.int64]
NO_TIME = np.iinfo(np.int64).min


def times_of(values: pa.ChunkedArray) -> Times:
    """Return the times of a column in microseconds, ``NO_TIME`` where there is none."""
    return np.asarray(values.cast(pa.int64()).fill_null(NO_TIME).to_numpy())


def split_by_time(
    times: Times, groups: Groups, fractions: SplitFractions, gap_seconds: float
) -> Assignment:
    """Cut samples in order of time.

    A group goes whole to the split that its last sample falls in, so nothing in train is later than
    where validation begins; groups that end at one time stay together. A sample without a time goes
    with its group, and is set aside where none of its group has one.

    Args:
        times: ``(n_samples,)`` in microseconds.
        groups: Of the samples.
        fractions: The share of each split.
        gap_seconds: Groups of a split that end this near before the next split begins are set
            aside.
    """
    end = np.full(len(groups), NO_TIME)
    np.maximum.at(end, groups.of_sample, times)
    timed = end != NO_TIME
    split = np.full(len(groups), ASIDE, dtype=np.int8)
    split[timed] = cut_in_order(end[timed], groups.sizes[timed], fractions)

    gap = round(gap_seconds * 1e6)
    begins = _beginnings(split, end)
    near = np.zeros(len(groups), dtype=bool)
    for earlier in range(TRAIN, TEST):
        near |= (split == earlier) & (end > begins[earlier + 1] - gap) & (gap > 0)

    start = np.full(len(groups), np.iinfo(np.int64).max)
    there = times != NO_TIME
    np.minimum.at(start, groups.of_sample[there], times[there])
    straddling = (split > TRAIN) & (start < begins[np.maximum(split, TRAIN)])
    made = Assignment.of(split[groups.of_sample])
    no_time = ~timed[groups.of_sample]
    made = replace(made, split=np.where(no_time, np.int8(TRAIN), made.split))
    made = made.without(no_time, "no_time").without(near[groups.of_sample], "in_time_gap")
    return replace(made, n_straddling=int(straddling.sum()))


def cut_in_order(
    end: Times, sizes: NDArray[np.int64], fractions: SplitFractions
) -> NDArray[np.int8]:
    """Put groups into splits in the order of their last time.

    Groups of one time are cut off where the middle of their samples lies.

    >>> parts = SplitFractions(train=0.5, validation=0.25, test=0.25)
    >>> cut_in_order(np.array([30, 10, 20, 10]), np.array([1, 1, 1, 1]), parts).tolist()
    [2, 0, 1, 0]
    """
    _, at = np.unique(end, return_inverse=True)
    weight = np.bincount(at, weights=sizes)
    middle = (np.cumsum(weight) - weight / 2) / max(1.0, weight.sum())
    borders = np.cumsum([fractions.train, fractions.validation])
    return np.asarray(np.searchsorted(borders, middle, side="right").astype(np.int8)[at])


def _beginnings(split: NDArray[np.int8], end: Times) -> Times:
    """Return when each split begins: the first end of a group in it, or in one after it."""
    latest = np.iinfo(np.int64).max
    begins = [int(end[split >= s].min(initial=latest)) for s in range(TEST + 1)]
    return np.array(begins, dtype=np.int64)
