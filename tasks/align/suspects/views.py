"""An input's cheap features made ready for linear models that learn curved things.

Features are reduced to the directions in which values differ most, and lifted by their likeness to
a few hundred of them, so that a ridge regression on the lifted ones is about as good as a kernel
machine at a small part of its cost.

Source:
    Williams and Seeger 2000, Using the Nyström Method to Speed Up Kernel Machines, NeurIPS 13.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.samples.cheap_features.base import CheapFeatures

MOST_FITTED = 4_000
N_DIRECTIONS = 64
MOST_LANDMARKS = 600
LANDMARKS_OF_ALL = 900
"""Landmarks of all inputs of a sample together."""

_LIKENESS = 0.5
"""How fast likeness falls with distance; 1 is the mean squared distance from the middle."""

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """One input, as models see it.

    Attributes:
        name: Of the input.
        reduced: ``(n_distinct, k)``, their squared lengths about one on average.
        lifted: ``(n_distinct, m)``, the mean of each column 0.
        index: ``(n_samples,)`` the row of each sample's value, -1 where it has none.
    """

    name: str
    reduced: Matrix
    lifted: Matrix
    index: NDArray[np.int64]

    def reduced_rows(self, at: NDArray[np.int64]) -> Matrix:
        """Return the reduced features of samples, zeros (the middle) for what is missing."""
        return _rows(self.reduced, self.index[at])

    def lifted_rows(self, at: NDArray[np.int64]) -> Matrix:
        """Return the lifted features of samples, zeros for what is missing, and a mark for that."""
        index = self.index[at]
        missing = (index < 0).astype(np.float32)[:, None]
        return np.concatenate([_rows(self.lifted, index), missing], axis=1)


def _rows(distinct: Matrix, index: NDArray[np.int64]) -> Matrix:
    rows = distinct[index]
    rows[index < 0] = 0
    return rows


def view_of(name: str, features: CheapFeatures, n_inputs: int, seed: int) -> View:
    """Return the view of an input.

    Args:
        name: Of the input.
        features: Its cheap features; at least one value.
        n_inputs: Inputs of a sample, which share the landmarks.
        seed: Fixes what is drawn at random.
    """
    n_landmarks = min(MOST_LANDMARKS, LANDMARKS_OF_ALL // n_inputs)
    smaller = reduced(features.distinct, seed)
    higher = lifted(smaller, n_landmarks, seed)
    return View(name, smaller, higher - higher.mean(axis=0), features.index)


def reduced(rows: Matrix, seed: int) -> Matrix:
    """Return ``(n, k)`` the directions in which rows differ most, of unit variance in all."""
    from sklearn.decomposition import PCA

    sample = rows[:: max(1, len(rows) // MOST_FITTED)]
    n_directions = min(N_DIRECTIONS, rows.shape[1], len(sample) - 1)
    if n_directions < 1 or not np.ptp(sample, axis=0).any():
        return np.zeros((len(rows), 1), dtype=np.float32)
    directions = PCA(n_directions, random_state=seed).fit(sample)
    spread = np.sqrt(directions.explained_variance_.sum())
    return np.asarray(directions.transform(rows) / spread, dtype=np.float32)


def lifted(rows: Matrix, n_landmarks: int, seed: int) -> Matrix:
    """Return ``(n, m)`` rows whose products are about their likenesses."""
    from sklearn.kernel_approximation import Nystroem

    likeness = Nystroem(
        gamma=_LIKENESS, n_components=min(n_landmarks, len(rows)), random_state=seed
    )
    return np.asarray(likeness.fit_transform(rows), dtype=np.float32)
