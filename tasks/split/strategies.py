"""How groups are put into splits; each strategy says where every sample goes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.errors import DataError, listing
from tasks.params.split import SplitParams
from tasks.registry import Registry
from tasks.split.assignment import (
    TEST,
    TRAIN,
    VALIDATION,
    Assignment,
    FoldNumbers,
    SplitNumbers,
)
from tasks.split.groups import Groups
from tasks.split.keys import hashed_fractions
from tasks.split.labels import SampleLabels
from tasks.split.stratifying import apportion
from tasks.split.time_order import Times, split_by_time


@dataclass(frozen=True)
class Splittable:
    """What a strategy goes by.

    Attributes:
        groups: Of the samples.
        labels: What the splits are to be alike in.
        named: The values of ``split.column``, for ``predefined``.
        column: Its full name.
        times: The values of ``split.time_column``, for ``by_time``.
    """

    groups: Groups
    labels: SampleLabels
    named: pa.ChunkedArray | None = None
    column: str = ""
    times: Times | None = None


Strategy = Callable[[Splittable, SplitParams, int], Assignment]
strategies: Registry[Strategy] = Registry("split strategy")


@strategies.register("random")
def random(samples: Splittable, params: SplitParams, seed: int) -> Assignment:
    """Go by the hash of the group alone, so that samples added later move no other."""
    borders = np.cumsum([params.fractions.train, params.fractions.validation])
    drawn = hashed_fractions(samples.groups.names, f"{seed}")
    split = np.searchsorted(borders, drawn, side="right")
    return Assignment.of(split[samples.groups.of_sample])


strategies.register("grouped")(random)


@strategies.register("stratified")
def stratified(samples: Splittable, params: SplitParams, seed: int) -> Assignment:
    """Give each split its part of every label, as closely as whole groups allow."""
    fractions = params.fractions
    parts = (fractions.train, fractions.validation, fractions.test)
    return Assignment.of(apportion(samples.groups, samples.labels, parts, f"{seed}"))


@strategies.register("by_time")
def by_time(samples: Splittable, params: SplitParams, seed: int) -> Assignment:
    """Train before validation before test."""
    assert samples.times is not None
    return split_by_time(samples.times, samples.groups, params.fractions, params.gap_seconds)


@strategies.register("predefined")
def predefined(samples: Splittable, params: SplitParams, seed: int) -> Assignment:
    """Take the split that a column names.

    Raises:
        DataError: A value names no split.
    """
    assert samples.named is not None
    return Assignment.of(named_splits(samples.named, samples.column))


@strategies.register("k_fold")
def k_fold(samples: Splittable, params: SplitParams, seed: int) -> Assignment:
    """Test on one fold, validate on the next, train on the rest."""
    fold = _folds(samples, params, params.folds, f"{seed}:fold")
    split = np.full(len(fold), TRAIN)
    split[fold == (params.fold + 1) % params.folds] = VALIDATION
    split[fold == params.fold] = TEST
    return Assignment.of(split, fold)


@strategies.register("nested")
def nested(samples: Splittable, params: SplitParams, seed: int) -> Assignment:
    """Test on one fold, validate on an inner fold of the rest, train on the rest of that."""
    fold = _folds(samples, params, params.folds, f"{seed}:fold")
    rest = np.flatnonzero(fold != params.fold)
    inside = Splittable(samples.groups.of(rest), samples.labels.of(rest, len(fold)))
    inner = np.full(len(fold), -1, dtype=np.int16)
    inner[rest] = _folds(inside, params, params.inner_folds, f"{seed}:inner fold")
    split = np.full(len(fold), TRAIN)
    split[inner == params.inner_fold] = VALIDATION
    split[fold == params.fold] = TEST
    return Assignment.of(split, fold, inner)


def _folds(samples: Splittable, params: SplitParams, n: int, purpose: str) -> FoldNumbers:
    """Put each sample into one of ``n`` folds: by the hash of its group, or stratified."""
    if params.stratify_by:
        return apportion(samples.groups, samples.labels, [1 / n] * n, purpose)
    drawn = hashed_fractions(samples.groups.names, purpose)
    return np.asarray((drawn * n).astype(np.int16)[samples.groups.of_sample])


def with_validation(
    made: Assignment, samples: Splittable, params: SplitParams, seed: int
) -> Assignment:
    """Cut validation from train by whole groups, where the data names none."""
    split = made.split.copy()
    if (split == VALIDATION).any():
        return made
    train = np.flatnonzero(split == TRAIN)
    if not len(train):
        return made  # which is refused for that
    parts = (1 - params.validation_fraction, params.validation_fraction)
    labels = samples.labels.of(train, len(split))
    split[train] = apportion(samples.groups.of(train), labels, parts, f"{seed}")
    return Assignment(split, made.reason)


_NAMES = {
    "train": TRAIN, "training": TRAIN,
    "validation": VALIDATION, "val": VALIDATION, "valid": VALIDATION, "validate": VALIDATION,
    "dev": VALIDATION,
    "test": TEST, "testing": TEST,
}  # fmt: skip


def named_splits(values: pa.ChunkedArray, column: str) -> SplitNumbers:
    """Read the split that each value names, in upper or lower case.

    Raises:
        DataError: Some values name no split.
    """
    names = values.cast(pa.string())
    distinct = names.unique().to_pylist()
    known = {
        name: _NAMES[name.strip().lower()]
        for name in distinct
        if name is not None and name.strip().lower() in _NAMES
    }
    unknown = sorted("(no value)" if n is None else n for n in distinct if n not in known)
    if unknown:
        n_unknown = len(names) - int(
            pc.sum(pc.is_in(names, pa.array(list(known), pa.string()))).as_py() or 0
        )
        raise DataError(
            f"{column}: expected train, validation (or val, valid, dev) or test, but {n_unknown:,} "
            f"of {len(names):,} samples have {listing(unknown)}; found were "
            f"{listing(sorted(known)) or 'none of these'}; mend the column, or name another in "
            "split.column"
        )
    coded = names.combine_chunks().dictionary_encode()
    lookup = np.array([known[name] for name in coded.dictionary.to_pylist()], dtype=np.int8)
    return np.asarray(lookup[coded.indices.to_numpy()])


def few_shot(
    made: Assignment, ids: NDArray[np.uint64], labels: SampleLabels, n_per_label: int, seed: int
) -> Assignment:
    """Keep some training samples of each label, those with the lowest hash; the rest is unused.

    A sample that has several labels counts for each.
    """
    drawn = hashed_fractions(ids, f"{seed}:few shot")
    train = made.split[labels.rows] == TRAIN
    rows, label = labels.rows[train], labels.labels[train]
    order = np.lexsort((drawn[rows], label))
    first = np.searchsorted(label[order], label[order], side="left")
    chosen = np.zeros(len(made.split), dtype=bool)
    chosen[rows[order[np.arange(len(order)) - first < n_per_label]]] = True
    return made.without((made.split == TRAIN) & ~chosen, "few_shot")
