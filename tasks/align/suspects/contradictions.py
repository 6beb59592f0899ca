"""Samples that have the very same inputs, and targets that differ."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.align.suspects.equality import Codes
from tasks.align.suspects.report import ContradictionFindings
from tasks.samples.wording import short

MOST_CONTRADICTING = 0.2
"""Where more samples than this contradict another, the inputs do not determine the target."""

DIFFERENT_NUMBERS = 0.5
"""Numbers differ where they are further apart than this part of the target's middle half."""


@dataclass(frozen=True)
class Contradictions:
    """Contradicting samples.

    Attributes:
        at: ``(n,)`` their places.
        group: ``(n,)`` those with equal inputs share a number.
        score: ``(n,)`` the part of its group that says something else.
        minority: ``(n,)`` whether another target is commoner in the group, or as common.
        detail: What each group says.
        findings: Counts.
    """

    at: NDArray[np.int64]
    group: NDArray[np.int64]
    score: NDArray[np.float64]
    minority: NDArray[np.bool_]
    detail: list[str]
    findings: ContradictionFindings


def find_contradictions(same: Codes, targets: pa.Array) -> Contradictions:
    """Find samples with equal inputs and different targets.

    Args:
        same: ``(n_samples,)`` equal for equal inputs, -1 for a sample that lacks one.
        targets: ``(n_samples,)`` text or numbers.
    """
    encoded = targets.dictionary_encode()
    target = np.asarray(encoded.indices, dtype=np.int64)
    known = np.flatnonzero(same >= 0)
    size = np.bincount(same[known], minlength=1)
    shared = known[size[same[known]] > 1]
    if pa.types.is_floating(targets.type):
        differs = _numbers_differ(same[shared], np.asarray(targets)[shared], np.asarray(targets))
    else:
        differs = _classes_differ(same[shared], target[shared])
    at = shared[differs]
    group = same[at]
    n_same, commonest, n_commonest, told = _votes(group, target[at], encoded.dictionary)
    score = 1 - n_same / size[group]
    minority = (target[at] != commonest) | (n_commonest * 2 <= size[group])
    trusted = len(at) <= MOST_CONTRADICTING * max(1, len(same))
    findings = ContradictionFindings(
        n_groups=len(np.unique(group)),
        n_samples=len(at),
        trusted=trusted,
        n_flagged=len(at) if trusted else 0,
    )
    if not trusted:
        none = np.zeros(0, dtype=np.int64)
        return Contradictions(none, none, none.astype(float), none.astype(bool), [], findings)
    return Contradictions(at, group, score, minority, told, findings)


def _classes_differ(group: Codes, target: Codes) -> NDArray[np.bool_]:
    pairs = np.unique(np.column_stack([group, target]), axis=0)
    n_targets = np.bincount(pairs[:, 0], minlength=1)
    return np.asarray(n_targets[group] > 1, dtype=bool)


def _numbers_differ(
    group: Codes, values: NDArray[np.float64], every: NDArray[np.float64]
) -> NDArray[np.bool_]:
    if not len(group):
        return np.zeros(0, dtype=bool)
    low, high = np.quantile(every, [0.25, 0.75])
    dense = np.unique(group, return_inverse=True)[1]
    smallest, largest = np.full(dense.max() + 1, np.inf), np.full(dense.max() + 1, -np.inf)
    np.minimum.at(smallest, dense, values)
    np.maximum.at(largest, dense, values)
    return np.asarray((largest - smallest)[dense] > DIFFERENT_NUMBERS * (high - low))


def _votes(group: Codes, target: Codes, names: pa.Array) -> tuple[Codes, Codes, Codes, list[str]]:
    """Return, for each sample: votes for its target, the winner, votes for it, and words."""
    if not len(group):
        return group, group, group, []
    pairs, place, votes = np.unique(
        np.column_stack([group, target]), axis=0, return_inverse=True, return_counts=True
    )
    order = np.lexsort((pairs[:, 1], -votes, pairs[:, 0]))  # the winner of each group first
    groups, first, within = np.unique(pairs[order, 0], return_index=True, return_inverse=True)
    winner, n_winner = pairs[order, 1][first], votes[order][first]
    words: list[list[str]] = [[] for _ in groups]
    for slot, code, n in zip(within, pairs[order, 1], votes[order], strict=True):
        if len(words[slot]) < 4:
            words[slot].append(f"'{short(str(names[int(code)].as_py()), 30)}' {n:,}×")
    slot_of = np.searchsorted(groups, group)
    told = [f"samples with these very inputs say {', '.join(words[slot])}" for slot in slot_of]
    return votes[place.ravel()], winner[slot_of], n_winner[slot_of], told
