"""How groups are put into splits; each strategy gives every sample the number of its split."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.errors import DataError, listing
from tasks.params.split import SplitParams
from tasks.registry import Registry
from tasks.samples.schema import SAMPLE_ID, SPLITS
from tasks.split.groups import resolve_columns

TRAIN, VALIDATION, TEST = range(3)
N_QUANTILE_BINS = 10

SplitNumbers = NDArray[np.int8]
Strata = NDArray[np.int64]


@dataclass(frozen=True)
class Grouped:
    """What a strategy goes by.

    Attributes:
        samples: The samples table.
        group: ``(n_samples,)`` the name of each sample's group.
        stratum: ``(n_samples,)`` number of the class of each sample's target.
    """

    samples: pa.Table
    group: NDArray[np.str_]
    stratum: Strata


Strategy = Callable[[Grouped, SplitParams, int], SplitNumbers]
strategies: Registry[Strategy] = Registry("split strategy")


@strategies.register("hashed")
def hashed(grouped: Grouped, params: SplitParams, seed: int) -> SplitNumbers:
    """Go by the hash of the group alone, so that samples added later move no other."""
    names, of_sample = np.unique(grouped.group, return_inverse=True)
    fractions = params.fractions
    borders = np.cumsum([fractions.train, fractions.validation])
    split = np.searchsorted(borders, hashed_fractions(names, seed), side="right")
    return np.asarray(split[of_sample], dtype=np.int8)


@strategies.register("stratified")
def stratified(grouped: Grouped, params: SplitParams, seed: int) -> SplitNumbers:
    """Give each split its part of every class, as closely as whole groups allow."""
    fractions = params.fractions
    parts = (fractions.train, fractions.validation, fractions.test)
    return apportion(grouped.group, grouped.stratum, parts, seed)


@strategies.register("predefined")
def predefined(grouped: Grouped, params: SplitParams, seed: int) -> SplitNumbers:
    """Take the split that a column names; cut validation from train where it names none.

    Raises:
        DataError: A value names no split, or a group lies in several.
    """
    assert params.column is not None
    column = resolve_columns(grouped.samples, [params.column], "split.column")[0]
    split = named_splits(grouped.samples[column], column)
    require_groups_in_one_split(grouped.samples[SAMPLE_ID], grouped.group, split, column)
    if not (split == VALIDATION).any():
        train = np.flatnonzero(split == TRAIN)
        parts = (1 - params.validation_fraction, params.validation_fraction)
        split[train] = apportion(grouped.group[train], grouped.stratum[train], parts, seed)
    return split


def hashed_fractions(names: Sequence[str] | NDArray[np.str_], seed: int) -> NDArray[np.float64]:
    """Map each name to a number from 0 to 1, evenly spread and fixed by the seed."""
    digests = (hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in names)
    numbers = [int.from_bytes(digest[:8], "big") / 2**64 for digest in digests]
    return np.array(numbers, dtype=np.float64)


def apportion(
    group: NDArray[np.str_], stratum: Strata, parts: Sequence[float], seed: int
) -> SplitNumbers:
    """Share groups out so that each split gets its part of every class and of all samples.

    Groups are taken from the largest to the smallest, equal ones in the order of their hash. Each
    goes where its classes are furthest behind their part: to the split with the least sum of
    n·(2·have + n)/due over its classes and over all samples, n being what the group brings. For
    groups of one sample that is the divisor method of Sainte-Laguë, whose seats are never more than
    about one off an exact share.

    Args:
        group: ``(n_samples,)`` names of groups.
        stratum: ``(n_samples,)`` class numbers.
        parts: The share of each split; they sum to 1.
        seed: Decides the order of equal groups.

    Returns:
        ``(n_samples,)`` positions in ``parts``.
    """
    names, of_sample = np.unique(group, return_inverse=True)
    due = np.outer(parts, np.bincount(stratum)).tolist()
    due_in_all = [part * len(group) for part in parts]
    have = [[0] * len(row) for row in due]
    have_in_all = [0] * len(parts)

    classes = _class_counts(of_sample, stratum, len(names))
    sizes = np.bincount(of_sample, minlength=len(names))
    order = np.lexsort((names, hashed_fractions(names, seed), -sizes))
    chosen = np.zeros(len(names), dtype=np.int8)
    for g in order.tolist():
        brings, size = classes[g], int(sizes[g])
        costs = [
            size * (2 * have_in_all[s] + size) / due_in_all[s]
            + sum(n * (2 * have[s][c] + n) / due[s][c] for c, n in brings)
            for s in range(len(parts))
        ]
        best = costs.index(min(costs))
        chosen[g] = best
        have_in_all[best] += size
        for c, n in brings:
            have[best][c] += n
    return np.asarray(chosen[of_sample])


def _class_counts(
    of_sample: NDArray[np.int64], stratum: Strata, n_groups: int
) -> list[list[tuple[int, int]]]:
    """Return by group the classes it has and how many samples of each."""
    pairs, counts = np.unique(np.stack([of_sample, stratum], axis=1), axis=0, return_counts=True)
    by_group: list[list[tuple[int, int]]] = [[] for _ in range(n_groups)]
    for (g, c), n in zip(pairs.tolist(), counts.tolist(), strict=True):
        by_group[g].append((c, n))
    return by_group


def strata(target: pa.ChunkedArray) -> Strata:
    """Number the classes of a target; a number is put into bins of equally many samples.

    >>> strata(pa.chunked_array([["b", "a", "b"]])).tolist()
    [1, 0, 1]
    """
    if not pa.types.is_floating(target.type):
        encoded = target.combine_chunks().dictionary_encode()
        place = {name: i for i, name in enumerate(sorted(encoded.dictionary.to_pylist()))}
        renumbered = np.array([place[name] for name in encoded.dictionary.to_pylist()], dtype=int)
        return np.asarray(renumbered[encoded.indices.to_numpy()], dtype=np.int64)
    numbers = target.to_numpy()
    inner = np.quantile(numbers, np.linspace(0, 1, N_QUANTILE_BINS + 1)[1:-1])
    _, bins = np.unique(np.searchsorted(inner, numbers, side="left"), return_inverse=True)
    return bins.astype(np.int64)


_NAMES = {
    "train": TRAIN, "training": TRAIN,
    "validation": VALIDATION, "val": VALIDATION, "valid": VALIDATION, "dev": VALIDATION,
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
    codes = names.combine_chunks().dictionary_encode()
    lookup = np.array([known[name] for name in codes.dictionary.to_pylist()], dtype=np.int8)
    return np.asarray(lookup[codes.indices.to_numpy()])


def require_groups_in_one_split(
    ids: pa.ChunkedArray, group: NDArray[np.str_], split: SplitNumbers, column: str
) -> None:
    """Fail where the column tears a group apart; nothing is moved in silence.

    Raises:
        DataError: With the number of such groups, and two samples of the first.
    """
    names, of_sample = np.unique(group, return_inverse=True)
    is_in = np.zeros((len(names), len(SPLITS)), dtype=bool)
    is_in[of_sample, split] = True
    torn = is_in.sum(axis=1) > 1
    if not torn.any():
        return
    one = int(np.flatnonzero(torn[of_sample])[0])
    other = int(np.flatnonzero((of_sample == of_sample[one]) & (split != split[one]))[0])
    raise DataError(
        f"{column}: expected each group of samples in one split, but {int(torn.sum()):,} of "
        f"{len(names):,} groups lie in several (first: sample '{ids[one]}' in {SPLITS[split[one]]} "
        f"and '{ids[other]}' in {SPLITS[split[other]]}, which share a value of split.group_by or "
        "have the same inputs); mend the column, or let strategy stratified split anew"
    )
