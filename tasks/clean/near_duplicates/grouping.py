"""Group values that are near one another without comparing all pairs.

Values that may be near share a *key* in at least one of several tables (Hamming distance by the
pigeonhole principle, Jaccard similarity by bands of a signature). Only pairs that share a key are
compared, and only until both are known to be in one group, so a cluster of a million copies costs
about as much as a million strangers.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Places = NDArray[np.int64]
Near = Callable[[Places, Places], NDArray[np.bool_]]

PAIRS_AT_ONCE = 2**16
ITEMS_AT_ONCE = 2**17
MOST_ALIKE = 1024
ROUNDS = 64
MOST_AGREEING, MOST_TABLES = 5, 210
SAMPLED_CODES = 20_000
CHANCE_PARTNERS = 40.0


@dataclass(frozen=True)
class Grouping:
    """Which values belong together.

    Attributes:
        labels: ``(n,)`` the same number for values of one group.
        n_compared: Pairs that were looked at.
        n_skipped: Pairs that share a key but were not looked at, since too many share it.
    """

    labels: NDArray[np.int64]
    n_compared: int
    n_skipped: int


def grouped(
    tables: Iterable[NDArray[np.uint64]], owners: Places, near: Near, most_alike: int = MOST_ALIKE
) -> Grouping:
    """Group owners whose items share a key and are near.

    Up to ``most_alike`` items with one key are all compared with one another. Where more share it,
    all are compared with the first of them, those that are not near it with the first that is left,
    and so on for 64 rounds; the pairs that then are left are counted.

    Args:
        tables: Keys of all items, ``(n_items,)`` each; made one after the other.
        owners: ``(n_items,)`` the value that an item stands for, from 0 on. The first items are the
            values themselves, in order; the others are forms of them (mirrored, cropped).
        near: Tells for the places of some pairs of items which are near.
        most_alike: Items with one key that are all compared with one another, at most.

    Source:
        Norouzi, Punjani, Fleet 2012, "Fast search in Hamming space with multi-index hashing".
    """
    n = int(owners.max(initial=-1)) + 1
    search = _Search(owners, near, n, most_alike)
    for keys in tables:
        search.compare(keys)
    return Grouping(search.labels, search.n_compared, search.n_skipped)


class _Search:
    def __init__(self, owners: Places, near: Near, n: int, most_alike: int) -> None:
        self._owners, self._near, self._n, self._most_alike = owners, near, n, most_alike
        self.labels = np.arange(n, dtype=np.int64)
        self.n_compared = self.n_skipped = 0

    def compare(self, keys: NDArray[np.uint64]) -> None:
        """Compare items with equal keys, and join the groups of those that are near."""
        order = np.argsort(keys, kind="stable").astype(np.int64, copy=False)
        in_order = keys[order]
        first = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]])[: len(order)]
        sizes = np.diff(np.r_[first, len(order)])
        few = (sizes > 1) & (sizes <= self._most_alike)
        # Items are in order within a run, so that the values themselves come before their forms.
        own = order < self._n
        for some in _in_parts(sizes[few]):
            for left, right in _pairs_in_runs(first[few][some], sizes[few][some], own):
                self._join(order[left], order[right])
        many = sizes > self._most_alike
        if many.any():
            runs = np.repeat(np.arange(many.sum()), sizes[many])
            self._compare_with_leaders(order[np.repeat(many, sizes)], runs)

    def _compare_with_leaders(self, items: Places, runs: Places) -> None:
        """Compare the items of long runs with the first of each run, again and again."""
        for _ in range(ROUNDS):
            if len(items) == 0:
                return
            first = np.flatnonzero(np.r_[True, runs[1:] != runs[:-1]])
            sizes = np.diff(np.r_[first, len(items)])
            leaders = np.repeat(items[first], sizes)
            self._join(leaders, items)
            left = (self._label(leaders) != self._label(items)) & (leaders < self._n)
            items, runs = items[left], runs[left]
        n_items, n_own = np.bincount(runs), np.bincount(runs, items < self._n)
        self.n_skipped += int((n_own * (n_items - n_own) + n_own * (n_own - 1) / 2).sum())

    def _join(self, left: Places, right: Places) -> None:
        for at in range(0, len(left), PAIRS_AT_ONCE):
            a, b = left[at : at + PAIRS_AT_ONCE], right[at : at + PAIRS_AT_ONCE]
            useful = self._label(a) != self._label(b)
            a, b = a[useful], b[useful]
            if len(a) == 0:
                continue
            near = self._near(a, b)
            self.n_compared += len(a)
            if near.any():
                self.labels = _merged(self.labels, self._owners[a[near]], self._owners[b[near]])

    def _label(self, items: Places) -> Places:
        return np.asarray(self.labels[self._owners[items]])


def _in_parts(sizes: Places) -> Iterator[slice]:
    """Yield runs a part at a time, so that memory holds the pairs of a part alone."""
    total = np.cumsum(sizes)
    ends = np.searchsorted(total, np.arange(ITEMS_AT_ONCE, total[-1:].sum() + 1, ITEMS_AT_ONCE))
    for start, end in pairwise([0, *np.unique(ends + 1).tolist(), len(sizes)]):
        if end > start:
            yield slice(start, end)


def _pairs_in_runs(
    first: Places, sizes: Places, own: NDArray[np.bool_]
) -> Iterator[tuple[Places, Places]]:
    """Yield the places of the pairs within runs, those with the same distance together.

    Args:
        first: Where each run starts.
        sizes: How long each is.
        own: Places that may be the first of a pair.
    """
    distance = 1
    last = first + sizes
    places = _spread(first, sizes)
    ends = np.repeat(last, sizes)
    places, ends = places[own[places]], ends[own[places]]
    while len(places):
        inside = places + distance < ends
        places, ends = places[inside], ends[inside]
        for at in range(0, len(places), PAIRS_AT_ONCE):
            some = places[at : at + PAIRS_AT_ONCE]
            yield some, some + distance
        distance += 1


def _spread(first: Places, sizes: Places) -> Places:
    """Return the places of all members of runs, one run after the other."""
    starts = np.cumsum(sizes) - sizes
    offsets = np.repeat(first - starts, sizes)
    return np.asarray(np.arange(int(sizes.sum()), dtype=np.int64) + offsets)


def _merged(labels: NDArray[np.int64], left: Places, right: Places) -> NDArray[np.int64]:
    """Return labels where the groups of each pair are one, called as the lowest of them."""
    touched, places = np.unique(np.r_[labels[left], labels[right]], return_inverse=True)
    n = len(touched)
    edges = coo_array((np.ones(len(left), np.int8), np.split(places, 2)), shape=(n, n))
    _, component = connected_components(edges, directed=False)
    lowest = np.full(component.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(lowest, component, touched)
    renamed = np.arange(len(labels), dtype=np.int64)
    renamed[touched] = lowest[component]
    return np.asarray(renamed[labels], dtype=np.int64)


def hamming_tables(codes: NDArray[np.uint64], distance: int) -> Iterator[NDArray[np.uint64]]:
    """Yield keys, of which codes that differ in few bits share at least one.

    A code is cut into ``distance + k`` parts. Two codes within the distance agree in at least ``k``
    parts, so each choice of ``k`` parts makes a table; ``k`` is two, or more where too many codes
    would share a key.

    Args:
        codes: ``(n,)`` of 64 bits each.
        distance: The most bits in which two codes may differ, 0 to 16.

    >>> codes = np.array([0b1111, 0b1101], dtype=np.uint64)
    >>> any(keys[0] == keys[1] for keys in hamming_tables(codes, 1))
    True
    """
    some = codes[:: max(1, len(codes) // SAMPLED_CODES)]
    masks = _masks(distance, 2)
    for agreeing in range(3, MOST_AGREEING + 1):
        too_many = comb(distance + agreeing, agreeing) > MOST_TABLES
        if too_many or not _crowded(some, masks, len(codes)):
            break
        masks = _masks(distance, agreeing)
    for mask in masks:
        yield codes & mask


def _masks(distance: int, agreeing: int) -> list[np.uint64]:
    edges = np.linspace(0, 64, distance + agreeing + 1).round().astype(int).tolist()
    parts = [(1 << high) - (1 << low) for low, high in pairwise(edges)]
    return [np.uint64(sum(chosen)) for chosen in combinations(parts, agreeing)]


def _crowded(some: NDArray[np.uint64], masks: list[np.uint64], n: int) -> bool:
    """Tell by some codes whether many of all ``n`` would share keys."""
    partners = 0.0
    for mask in masks:
        _, counts = np.unique(some & mask, return_counts=True)
        if counts.max(initial=0) * n > MOST_ALIKE * len(some):
            return True
        partners += (counts * (counts - 1)).sum() * n / max(1, len(some)) ** 2
    return partners > CHANCE_PARTNERS * len(masks)


def hamming_grouping(codes: NDArray[np.uint64], distance: int) -> Grouping:
    """Group 64-bit codes that differ in at most some bits, directly or over others."""
    distinct, owners = np.unique(codes, return_inverse=True)

    def near(left: Places, right: Places) -> NDArray[np.bool_]:
        return np.asarray(np.bitwise_count(distinct[left] ^ distinct[right]) <= distance)

    found = grouped(hamming_tables(distinct, distance), np.arange(len(distinct)), near)
    return Grouping(found.labels[owners], found.n_compared, found.n_skipped)


def members(labels: NDArray[np.int64]) -> list[Places]:
    """Return the places of the members of each group of two or more.

    >>> [group.tolist() for group in members(np.array([0, 1, 0, 3]))]
    [[0, 2]]
    """
    order = np.argsort(labels, kind="stable")
    first = np.flatnonzero(np.diff(labels[order], prepend=-1))
    return [group for group in np.split(order, first[1:]) if len(group) > 1] if len(order) else []
