"""Predict each sample from the others: folds, and ridge regression for all folds at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

N_FOLDS = 5
STRENGTHS = (1e-3, 1e-2, 1e-1)
"""How strongly ridge regression holds back, in parts of the features' mean power."""

Numbers = NDArray[np.float64]


def folds_of(groups: NDArray[np.int64], seed: int, n_folds: int = N_FOLDS) -> NDArray[np.int64]:
    """Return ``(n,)`` a fold from 0 on for each sample; a group is in one fold."""
    dense = np.unique(groups, return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(int(dense.max(initial=-1)) + 1)
    return np.asarray(order[dense] % n_folds, dtype=np.int64)


def ridge_out_of_fold(
    features: NDArray[np.float32],
    targets: Numbers,
    folds: NDArray[np.int64],
    strengths: Sequence[float] = STRENGTHS,
) -> list[Numbers]:
    """Return, for each strength, ``(n, q)`` predictions of each sample by the other folds.

    Args:
        features: ``(n, d)``.
        targets: ``(n, q)``.
        folds: ``(n,)``.
        strengths: How strongly weights are held back.
    """
    n, d = features.shape
    solve = _by_features if d <= n else _by_samples
    return solve(features, targets, folds, strengths)


def _by_features(
    features: NDArray[np.float32],
    targets: Numbers,
    folds: NDArray[np.int64],
    strengths: Sequence[float],
) -> list[Numbers]:
    from scipy.linalg import cho_factor, cho_solve

    wide = np.concatenate([features, np.ones((len(features), 1), np.float32)], axis=1)
    parts = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    power = [(wide[at].T @ wide[at]).astype(np.float64) for at in parts]
    shared = [wide[at].T.astype(np.float64) @ targets[at] for at in parts]
    all_power, all_shared = sum(power), sum(shared)
    predicted = [np.zeros(targets.shape) for _ in strengths]
    for at, own_power, own_shared in zip(parts, power, shared, strict=True):
        others = all_power - own_power
        level = np.trace(others) / len(others)
        for out, strength in zip(predicted, strengths, strict=True):
            held = others + strength * level * np.eye(len(others))
            out[at] = wide[at] @ cho_solve(cho_factor(held), all_shared - own_shared)
    return predicted


def _by_samples(
    features: NDArray[np.float32],
    targets: Numbers,
    folds: NDArray[np.int64],
    strengths: Sequence[float],
) -> list[Numbers]:
    """Do the same where there are fewer samples than features."""
    from scipy.linalg import cho_factor, cho_solve

    likeness = (features @ features.T).astype(np.float64) + 1.0
    predicted = [np.zeros(targets.shape) for _ in strengths]
    for fold in np.unique(folds):
        own, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if not len(others):
            continue
        among = likeness[np.ix_(others, others)]
        level = np.trace(among) / features.shape[1]
        for out, strength in zip(predicted, strengths, strict=True):
            held = among + strength * level * np.eye(len(others))
            out[own] = likeness[np.ix_(own, others)] @ cho_solve(cho_factor(held), targets[others])
    return predicted
