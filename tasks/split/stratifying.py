"""Share groups out so that each split gets its part of every label, and few move as data grows.

Three steps. Groups that bring the same labels are of one kind, and each split gets its part of
every kind, rounded down. What is left over is shared out from the rarest label to the commonest:
each group goes where its hash would put it if there is room for all its labels, or else where they
are missed most. Last, groups are moved as long as that brings the splits nearer to their parts.

Within a kind, groups are taken in the order of their hash. So most samples are where their hash
alone would have them, and samples that are added move only those near a border.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.split.groups import Groups
from tasks.split.keys import Keys, hashed_fractions, mixed
from tasks.split.labels import SampleLabels

Parts = NDArray[np.int16]
"""``(n,)`` which part each group, or each sample, is in."""

MOST_MOVES_LOOKED_AT = 1_000_000
MOST_ROUNDS = 6


@dataclass(frozen=True)
class Kinds:
    """Groups by what they bring.

    Attributes:
        of_group: ``(n_groups,)`` the kind of each.
        n_groups: ``(n_kinds,)``.
        marks: ``(n_kinds,)`` a number for what a kind brings, the same in any data.
        starts: ``(n_kinds + 1,)`` where the labels of a kind start.
        labels: ``(n_brought,)`` labels of a kind; the first is the one that all samples have.
        counts: ``(n_brought,)`` samples with that label.
    """

    of_group: NDArray[np.int32]
    n_groups: NDArray[np.int64]
    marks: Keys
    starts: NDArray[np.int64]
    labels: NDArray[np.int64]
    counts: NDArray[np.int64]

    def brought(self, kind: int) -> list[tuple[int, int]]:
        """Return the labels of a kind, each with its number of samples."""
        own = slice(self.starts[kind], self.starts[kind + 1])
        return list(zip(self.labels[own].tolist(), self.counts[own].tolist(), strict=True))


def apportion(groups: Groups, labels: SampleLabels, parts: Sequence[float], purpose: str) -> Parts:
    """Share groups out so that each part gets its share of every label and of all samples.

    Args:
        groups: Of the samples.
        labels: Of the samples.
        parts: The share of each part; they sum to 1.
        purpose: Decides where the hash of a group would put it.

    Returns:
        ``(n_samples,)`` positions in ``parts``.

    Source:
        The order from rare to common, and going where a label is missed most, are those of
        Sechidis, Tsoumakas, Vlahavas 2011, doi:10.1007/978-3-642-23808-6_10; that labels come
        together is weighed as a sum over them, where Szymański and Kajdanowicz 2017, PMLR 74, weigh
        pairs.
    """
    kinds = find_kinds(groups, labels)
    share = np.asarray(parts, dtype=np.float64)
    drawn = hashed_fractions(groups.names, purpose)
    by_hash = np.searchsorted(np.cumsum(share)[:-1], drawn, side="right").astype(np.int32)
    n_by_hash = np.bincount(
        kinds.of_group * len(share) + by_hash, minlength=len(kinds.n_groups) * len(share)
    ).reshape(-1, len(share))
    n_of_kind = _Sharing(kinds, share, n_by_hash).counts()
    return taken_by_hash(kinds, n_of_kind, drawn)[groups.of_sample]


def find_kinds(groups: Groups, labels: SampleLabels) -> Kinds:
    """Put groups that bring the same numbers of the same labels together."""
    width, sizes = len(labels.names) + 1, groups.sizes
    pairs, counts = np.unique(
        groups.of_sample[labels.rows].astype(np.int64) * width + labels.labels + 1,
        return_counts=True,
    )
    brought = _marks(sizes, np.zeros(1, dtype=np.int64))  # label 0 is the one that all have
    np.add.at(brought, pairs // width, _marks(counts, pairs % width))
    marks, example, of_group, n_groups = np.unique(
        brought, return_index=True, return_inverse=True, return_counts=True
    )
    first = np.searchsorted(pairs, example * width)
    n_brought = np.searchsorted(pairs, (example + 1) * width) - first
    starts = np.concatenate([[0], np.cumsum(n_brought + 1)])
    at = np.arange(n_brought.sum()) + np.repeat(first - np.cumsum(n_brought) + n_brought, n_brought)
    kind_labels = np.insert(pairs[at] % width, starts[:-1] - np.arange(len(example)), 0)
    kind_counts = np.insert(counts[at], starts[:-1] - np.arange(len(example)), sizes[example])
    return Kinds(of_group.astype(np.int32), n_groups, marks, starts, kind_labels, kind_counts)


def _marks(counts: NDArray[np.int64], labels: NDArray[np.int64]) -> Keys:
    """Return a number for each pair of a label and how many samples have it."""
    return mixed((labels.astype(np.uint64) << np.uint64(32)) + counts.astype(np.uint64))


class _Sharing:
    """How many groups of each kind go to each part."""

    def __init__(
        self, kinds: Kinds, share: NDArray[np.float64], n_by_hash: NDArray[np.int64]
    ) -> None:
        self._kinds, self._n_parts = kinds, len(share)
        self._taken = np.floor(kinds.n_groups[:, None] * share + 1e-9).astype(np.int64)
        self._wanted_more = n_by_hash - self._taken

        n_labels = int(kinds.labels.max()) + 1
        of_brought = np.repeat(np.arange(len(kinds.n_groups)), np.diff(kinds.starts))
        self._frequency = np.bincount(
            kinds.labels, weights=kinds.counts * kinds.n_groups[of_brought], minlength=n_labels
        )
        # Labels without samples have no kind that brings them, so nothing is divided by their 0.
        self._due = (self._frequency[:, None] * share).tolist()
        have = [
            np.bincount(
                kinds.labels, weights=kinds.counts * self._taken[of_brought, p], minlength=n_labels
            )
            for p in range(self._n_parts)
        ]
        self._have = np.stack(have, axis=1).tolist()

    def counts(self) -> NDArray[np.int64]:
        """Return ``(n_kinds, n_parts)`` how many groups of a kind a part gets."""
        waiting = self._kinds.n_groups - self._taken.sum(axis=1)
        order = self._from_rare_to_common(np.flatnonzero(waiting)).tolist()
        for kind in order:
            brought = self._kinds.brought(kind)
            for _ in range(waiting[kind]):
                self._move(kind, brought, to=self._place(kind, brought))
        for _ in range(max(1, min(MOST_ROUNDS, MOST_MOVES_LOOKED_AT // max(1, len(order))))):
            n_improved = sum(self._improve(kind) for kind in reversed(order))
            if not n_improved:
                break
        return self._taken

    def _from_rare_to_common(self, kinds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Order kinds by how rare their rarest label is, larger groups first."""
        rarest = np.minimum.reduceat(self._frequency[self._kinds.labels], self._kinds.starts[:-1])
        size = self._kinds.counts[self._kinds.starts[:-1]]
        order = np.lexsort((self._kinds.marks[kinds], -size[kinds], rarest[kinds]))
        return kinds[order]

    def _place(self, kind: int, brought: list[tuple[int, int]]) -> int:
        """Return where a group goes: where its hash says if there is room, else the best part."""
        wish = int(self._wanted_more[kind].argmax())
        fits = all(self._have[c][wish] + n / 2 <= self._due[c][wish] for c, n in brought)
        return wish if fits else self._best(brought)[1]

    def _best(self, brought: list[tuple[int, int]]) -> tuple[float, int]:
        """Return the least cost of one group more, and the part where it is that."""
        have, due = self._have, self._due
        return min(
            (sum(n * (2 * have[c][p] + n) / due[c][p] for c, n in brought), p)
            for p in range(self._n_parts)
        )

    def _improve(self, kind: int) -> bool:
        """Move groups of a kind as long as the splits come nearer to their parts."""
        brought, moved = self._kinds.brought(kind), False
        have, due, taken = self._have, self._due, self._taken[kind]
        while True:
            cost, best = self._best(brought)
            gain, worst = max(
                (sum(n * (2 * have[c][p] - n) / due[c][p] for c, n in brought), p)
                for p in range(self._n_parts)
                if taken[p]
            )
            if worst == best or cost >= gain - 1e-9:
                return moved
            self._move(kind, brought, to=best, away_from=worst)
            moved = True

    def _move(
        self, kind: int, brought: list[tuple[int, int]], to: int, away_from: int | None = None
    ) -> None:
        self._taken[kind, to] += 1
        self._wanted_more[kind, to] -= 1
        if away_from is not None:
            self._taken[kind, away_from] -= 1
        for label, n in brought:
            self._have[label][to] += n
            if away_from is not None:
                self._have[label][away_from] -= n


def taken_by_hash(kinds: Kinds, n_of_kind: NDArray[np.int64], drawn: NDArray[np.float64]) -> Parts:
    """Give each group its part: the lowest hashes of a kind to the first part, and so on."""
    n_kinds, n_parts = n_of_kind.shape
    part_of = np.empty(len(drawn), dtype=np.int16)
    part_of[np.lexsort((drawn, kinds.of_group))] = np.repeat(
        np.tile(np.arange(n_parts, dtype=np.int16), n_kinds), n_of_kind.ravel()
    )
    return part_of
