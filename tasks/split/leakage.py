"""What must hold of any assignment, whatever made it: nothing is on both sides of a border."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.errors import DataError, listing
from tasks.samples.schema import SPLITS
from tasks.split.assignment import ASIDE, TRAIN, Assignment, Mask, SplitNumbers
from tasks.split.groups import Groups
from tasks.split.keys import NOTHING, Keys
from tasks.split.sample_keys import SampleKeys
from tasks.split.target_leaks import TargetLeak
from tasks.split.windows import SensorWindows, overlapping

REASONS = {
    "duplicates": "duplicate_elsewhere",
    "near duplicates": "near_duplicate_elsewhere",
    "groups": "group_elsewhere",
    "windows": "window_elsewhere",
}
"""The reason for setting a training sample aside, by what it shares with a later split."""


@dataclass(frozen=True)
class Leak:
    """Samples of one kind that lie on both sides of a border.

    Attributes:
        kind: One of :data:`REASONS`.
        column: The column of ``group_by``, or the windows; "" for all inputs together.
        n_values: How many values, or groups of samples, lie in several splits.
        rows: ``(n_samples,)`` which samples have them.
        earlier: ``(n_samples,)`` those of them whose value is in a later split too.
        first: Rows of the first example: two samples in different splits.
    """

    kind: str
    column: str
    n_values: int
    rows: Mask
    earlier: Mask
    first: tuple[int, int]


@dataclass(frozen=True)
class SharedMedia:
    """Media of one column that train and a later split both show, with other inputs beside them.

    Attributes:
        column: The column.
        n_media: How many.
        n_later: Samples of validation and test that show them.
        first: Rows of an example: two samples in different splits.
    """

    column: str
    n_media: int
    n_later: int
    first: tuple[int, int]


@dataclass(frozen=True)
class Checked:
    """What the checks of an assignment found.

    Attributes:
        leaks: What lay in several splits.
        published: ``(n_samples,)`` the splits in which it lay, before anything was set aside.
        media: Media that train and a later split share.
        target: Columns that give the target away.
    """

    leaks: Sequence[Leak]
    published: SplitNumbers
    media: Sequence[SharedMedia]
    target: tuple[TargetLeak, ...]


def find_leaks(
    keys: SampleKeys,
    groups: Groups,
    split: SplitNumbers,
    group_by: Sequence[str],
    windows: Sequence[SensorWindows],
) -> list[Leak]:
    """Find everything that lies in several splits, the plainest first.

    Chains are told as groups: samples that share nothing themselves, but are linked by others.
    """
    leaks = []
    if len(torn_groups(groups, split)):
        leaks += _leak("duplicates", "", keys.inputs, split)
        leaks += _leak("near duplicates", "", keys.near_inputs, split)
        for column in group_by:
            leaks += _leak("groups", column, keys.near_values[column], split)
        told = np.logical_or.reduce([leak.rows for leak in leaks] or [np.zeros(len(split), bool)])
        chained = _leak("groups", "", groups.of_sample.astype(np.uint64) + np.uint64(1), split)
        leaks += [leak for leak in chained if (leak.earlier & ~told).any()]
    for own in windows:
        pairs = overlapping(own, split)
        if len(pairs.earlier):
            rows = np.zeros(len(split), dtype=bool)
            rows[pairs.earlier] = True
            both = rows.copy()
            both[pairs.later] = True
            first = (int(pairs.earlier[0]), int(pairs.later[0]))
            leaks.append(Leak("windows", own.name, len(pairs.earlier), both, rows, first))
    return leaks


def _leak(kind: str, column: str, keys: Keys, split: SplitNumbers) -> list[Leak]:
    rows = crossing(keys, split)
    if not rows.any():
        return []
    at = np.flatnonzero(rows)
    _, inverse = np.unique(keys[at], return_inverse=True)
    latest = np.zeros(inverse.max() + 1, dtype=np.int8)
    np.maximum.at(latest, inverse, split[at])
    earlier = np.zeros(len(split), dtype=bool)
    earlier[at] = split[at] < latest[inverse]
    one = int(at[np.flatnonzero(earlier[at])[0]])
    other = int(at[np.flatnonzero((keys[at] == keys[one]) & (split[at] > split[one]))[0]])
    return [Leak(kind, column, len(latest), rows, earlier, (one, other))]


def crossing(keys: Keys, split: SplitNumbers) -> Mask:
    """Return which samples have a key that lies in several splits.

    Samples that are set aside, or have no value, share nothing.
    """
    used = np.flatnonzero((split != ASIDE) & (keys != NOTHING))
    distinct, inverse = np.unique(keys[used], return_inverse=True)
    crosses = np.zeros(len(split), dtype=bool)
    crosses[used] = _in_several(inverse, split[used], len(distinct))[inverse]
    return crosses


def torn_groups(groups: Groups, split: SplitNumbers) -> NDArray[np.int64]:
    """Return the groups that lie in several splits."""
    used = split != ASIDE
    return np.flatnonzero(_in_several(groups.of_sample[used], split[used], len(groups)))


def _in_several(codes: NDArray[np.int64], split: SplitNumbers, n_codes: int) -> Mask:
    is_in = np.zeros((n_codes, len(SPLITS)), dtype=bool)
    is_in[codes, split] = True
    return np.asarray(is_in.sum(axis=1, dtype=np.int8) > 1)


def without_leaks(made: Assignment, leaks: Sequence[Leak]) -> Assignment:
    """Set samples aside that share something with a later split; test stays whole."""
    for leak in leaks:
        made = made.without(leak.earlier, REASONS[leak.kind])
    return made


def require_no_leaks(
    leaks: Sequence[Leak], split: SplitNumbers, names: Callable[[Sequence[int]], list[str]]
) -> None:
    """Fail where something lies on both sides of a border.

    Args:
        leaks: What was found.
        split: Of all samples.
        names: Gives the names of samples by their row.

    Raises:
        DataError: With each kind, its number, an example and what to do.
    """
    if leaks:
        told = "; ".join(describe_leak(leak, split, names) for leak in leaks)
        raise DataError(
            f"split: expected nothing on both sides of a border, found {told}; {remedy_for(leaks)}"
        )


def describe_leak(
    leak: Leak, split: SplitNumbers, names: Callable[[Sequence[int]], list[str]]
) -> str:
    """Say what lies in several splits, with the first two samples of it."""
    one, other = leak.first
    first, second = names([one, other])
    what = {
        "duplicates": "sets of samples with equal inputs",
        "near duplicates": "sets of samples whose inputs are equal or near duplicates",
        "groups": f"groups that share {leak.column}" if leak.column else "groups linked by chains",
        "windows": f"windows of '{leak.column}' that overlap one of another split",
    }[leak.kind]
    return (
        f"{leak.n_values:,} {what} in several splits (first: sample '{first}' in "
        f"{SPLITS[split[one]]} and '{second}' in {SPLITS[split[other]]}; "
        f"{int(leak.earlier.sum()):,} samples share with a later split)"
    )


def remedy_for(leaks: Sequence[Leak]) -> str:
    """Say what a person can do."""
    if all(leak.kind == "windows" for leak in leaks):
        return (
            f"name the recording in split.group_by, as in [{leaks[0].column}.series], cut windows "
            "that do not overlap (align.segments.every_seconds), with strategy by_time set "
            "split.gap_seconds to the length of a window, or set split.on_leak to drop_train or "
            "report"
        )
    return (
        "mend the column, split anew by another strategy, or set split.on_leak: drop_train takes "
        "the training samples out, report goes on and tells it"
    )


def shared_media(
    keys: SampleKeys, columns: Sequence[str], split: SplitNumbers
) -> Iterator[SharedMedia]:
    """Find media, or near duplicates of them, that train and a later split both show."""
    for column in columns:
        for leak in _leak("groups", column, keys.near_values[column], split):
            later = int((leak.rows & (split != TRAIN)).sum())
            yield SharedMedia(column, leak.n_values, later, leak.first)


def require_whole_groups(groups: Groups, split: SplitNumbers) -> None:
    """Fail where a strategy that must keep groups whole tore one.

    Raises:
        DataError: With the number of such groups, and the first.
    """
    torn = torn_groups(groups, split)
    if len(torn):
        raise DataError(
            f"split: expected each group in one split, but {len(torn):,} of {len(groups):,} span "
            f"several (first: '{groups.names[torn[0]]:016x}'); the strategy must give all samples "
            "of a group one split"
        )


def require_filled_splits(groups: Groups, split: SplitNumbers, remedy: str) -> None:
    """Fail where a split has no sample.

    Raises:
        DataError: Naming the empty splits, with what there was to share out.
    """
    n = np.bincount(split[split != ASIDE], minlength=len(SPLITS))
    empty = [name for name, count in zip(SPLITS, n, strict=True) if not count]
    if empty:
        told = ", ".join(f"{name} {count:,}" for name, count in zip(SPLITS, n, strict=True))
        aside = int((split == ASIDE).sum())
        more = f", set aside {aside:,}" if aside else ""
        raise DataError(
            f"split: expected samples in every split, but {' and '.join(empty)} got none of "
            f"{len(split):,} samples in {len(groups):,} groups ({told}{more}); {remedy}"
        )


def remedy_for_empty(strategy: str) -> str:
    """Say what a person can do where a split is empty."""
    advice = {
        "stratified": "add data, or make split.group_by finer",
        "by_time": "add data of other times, change split.fractions, or lessen split.gap_seconds",
        "predefined": "mend the column that split.column names, or lessen "
        "split.validation_fraction",
        "k_fold": "add data, take fewer split.folds, or make split.group_by finer",
        "nested": "add data, take fewer split.folds or inner_folds, or make split.group_by finer",
    }
    finer = "add data, make split.group_by finer, take strategy stratified, or a larger fraction"
    return advice.get(strategy, finer)


def require_something_to_learn(target: pa.ChunkedArray, split: SplitNumbers) -> None:
    """Fail where all training samples have one and the same target.

    Raises:
        DataError: There is nothing to tell apart.
    """
    trained = target.filter(pa.array(split == TRAIN)).unique()
    if len(trained) < 2:
        everywhere = len(target.unique())
        more = "check align.target and the sources"
        if everywhere > 1:
            others = [str(v) for v in target.unique().to_pylist() if v != trained[0].as_py()]
            more = f"elsewhere are {listing(others[:5])}; check what decides the splits"
        raise DataError(
            f"split: expected several targets among the train samples, found only '{trained[0]}' "
            f"({everywhere} in all splits together); {more}"
        )
