"""How sure a figure is: a bootstrap that redraws whole groups.

Rows that share a group (one image, one patient) are no independent witnesses, so groups are drawn,
not rows. Models that are compared are reweighted by the same draws, which makes the comparison
paired and its interval as narrow as the data allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

CELLS_AT_ONCE = 2_000_000
"""Weights held in memory at a time: 16 MB."""

LEAST_DEFINED = 0.9
"""A metric that has a value in fewer of the resamples than this gets no interval."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: The figure on the rows themselves; None where it is undefined.
        low: Lower end of the interval; None where there is none.
        high: Upper end.
        n: Rows it rests on.
        n_groups: Groups those rows are in.
        undefined: Why there is no value, or no interval; "" where both are there.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_groups: int
    undefined: str = ""

    @property
    def beyond_chance(self) -> bool:
        """Whether the whole interval lies above zero, for a lead of one model over another."""
        return self.low is not None and self.low > 0

    @classmethod
    def without_value(cls, reason: str, n: int, n_groups: int) -> "Estimate":
        """Return an estimate that says why it has no value."""
        return cls(None, None, None, n, n_groups, reason)


@dataclass(frozen=True)
class Resampling:
    """How rows are redrawn: which group each is in, how often, from which seed.

    Attributes:
        groups: ``(n_rows,)`` group indices from 0, without gaps.
        n_resamples: How often.
        confidence: Of the interval, such as 0.95.
        seed: Fixes the draws; equal for everything that is to be compared.
    """

    groups: NDArray[np.int64]
    n_resamples: int
    confidence: float
    seed: int

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.groups)

    @property
    def n_groups(self) -> int:
        """How many groups the rows are in."""
        return int(self.groups.max()) + 1 if len(self.groups) else 0


def group_indices(groups: Sequence[str] | NDArray[np.object_]) -> NDArray[np.int64]:
    """Number groups from 0 in the order of their names.

    >>> group_indices(["b", "a", "b"]).tolist()
    [1, 0, 1]
    """
    if len(groups) == 0:
        return np.zeros(0, dtype=np.int64)
    _, indices = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    return np.asarray(indices, dtype=np.int64)


def resampled_sums(
    statistics: Sequence[csr_matrix], resampling: Resampling
) -> list[NDArray[np.float64]]:
    """Return the sums of each statistics matrix in every resample, the same draws for all.

    Args:
        statistics: Matrices of ``(n_rows, n_statistics)``, one for each model.
        resampling: How rows are redrawn; there is at least one row.

    Returns:
        For each matrix ``(n_resamples, n_statistics)``.
    """
    n_groups = resampling.n_groups
    membership = csr_matrix(
        (np.ones(resampling.n_rows), (resampling.groups, np.arange(resampling.n_rows)))
    )
    by_group = [(membership @ matrix).T.tocsr() for matrix in statistics]
    random = np.random.default_rng(resampling.seed)
    at_once = max(1, CELLS_AT_ONCE // n_groups)
    chunks: list[list[NDArray[np.float64]]] = [[] for _ in statistics]
    for start in range(0, resampling.n_resamples, at_once):
        n_draws = min(at_once, resampling.n_resamples - start)
        weights = _draw_weights(random, n_groups, n_draws)
        for into, matrix in zip(chunks, by_group, strict=True):
            into.append((matrix @ weights).T)
    return [np.concatenate(parts) for parts in chunks]


def _draw_weights(random: np.random.Generator, n_groups: int, n_draws: int) -> NDArray[np.float64]:
    """Return ``(n_groups, n_draws)``: how often each group was drawn, with replacement."""
    drawn = random.integers(n_groups, size=(n_draws, n_groups))
    drawn *= n_draws
    drawn += np.arange(n_draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_groups * n_draws)
    return counts.reshape(n_groups, n_draws).astype(np.float64)


def percentile_interval(
    values: NDArray[np.float64], confidence: float
) -> tuple[float, float] | None:
    """Return the middle part of resampled values, or None where too few of them are defined."""
    defined = values[np.isfinite(values)]
    if len(defined) < LEAST_DEFINED * len(values) or not len(defined):
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def exact_end(n_groups: int, confidence: float) -> float:
    """Return how low a proportion may be of which no miss was seen in so many independent tries.

    A bootstrap of hits alone sees no spread at all; this is the Clopper-Pearson end, which does.

    >>> round(exact_end(3, 0.95), 3)
    0.292
    """
    return float(((1 - confidence) / 2) ** (1 / n_groups))


def estimate(
    value: float,
    resampled: NDArray[np.float64],
    resampling: Resampling,
    *,
    reason: str = "",
    proportion: bool = False,
) -> Estimate:
    """Return a figure with its interval, or the reason why it has none.

    Args:
        value: The figure on the rows themselves; NaN where it is undefined.
        resampled: ``(n_resamples,)`` the same figure in each resample.
        resampling: How it was redrawn.
        reason: Why the figure is undefined, where it is.
        proportion: Whether it is a part of independent tries, which cannot be surely 0 or 1.
    """
    n, n_groups = resampling.n_rows, resampling.n_groups
    if reason or not np.isfinite(value):
        return Estimate.without_value(reason or "not a number on these rows", n, n_groups)
    ends = percentile_interval(resampled, resampling.confidence)
    if ends is None:
        return Estimate(float(value), None, None, n, n_groups, "no value in many resamples")
    # A mean over classes is redrawn without its rarest ones, and may then never come down to it.
    low, high = min(ends[0], float(value)), max(ends[1], float(value))
    if proportion and low == high == 1.0:
        low = exact_end(n_groups, resampling.confidence)
    if proportion and low == high == 0.0:
        high = 1.0 - exact_end(n_groups, resampling.confidence)
    return Estimate(float(value), low, high, n, n_groups)
