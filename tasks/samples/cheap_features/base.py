"""What cheap features are: a row for each distinct value of an input, and which sample has which.

They are computed without any model, in seconds, and are good enough to find what does not fit: a
label that the inputs contradict, an image beside the wrong text.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ABSENT = -1


@dataclass(frozen=True)
class CheapFeatures:
    """The features of one input.

    Attributes:
        distinct: ``(n_distinct, d)`` float32, finite; a row for each distinct value.
        index: ``(n_samples,)`` the row of each sample's value, -1 where it has none.
        n_fitted: How many distinct values decided what the features mean (means, vocabularies).
        n_unreadable: Distinct media that could not be decoded; their samples count as without one.
    """

    distinct: NDArray[np.float32]
    index: NDArray[np.int64]
    n_fitted: int = 0
    n_unreadable: int = 0

    @property
    def present(self) -> NDArray[np.bool_]:
        """Return ``(n_samples,)`` whether a sample has a value."""
        return np.asarray(self.index != ABSENT)

    def of_samples(self) -> NDArray[np.float32]:
        """Return ``(n_samples, d)``, a row of NaN for each sample without a value."""
        rows = np.full((len(self.index), self.distinct.shape[1]), np.nan, dtype=np.float32)
        rows[self.present] = self.distinct[self.index[self.present]]
        return rows


def without_unreadable(
    rows: NDArray[np.float32], index: NDArray[np.int64], n_fitted: int = 0
) -> CheapFeatures:
    """Return features of which the rows that are not finite are left out, as unreadable.

    Args:
        rows: ``(n_distinct, d)``, a row of NaN for each value that could not be read.
        index: ``(n_samples,)`` the row of each sample, -1 for none.
        n_fitted: As in :class:`CheapFeatures`.
    """
    good = np.isfinite(rows).all(axis=1)
    place = np.where(good, np.cumsum(good) - 1, ABSENT)
    moved = np.append(place, ABSENT)[index]
    return CheapFeatures(rows[good], moved, n_fitted, int((~good).sum()))
