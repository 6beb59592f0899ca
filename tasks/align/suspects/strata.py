"""Inputs of few values, such as a handful of questions: one model for each value.

A sum of what the question says and what the image says answers nothing; within one question the
image alone does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.align.suspects.equality import Codes, combined_codes
from tasks.align.suspects.views import View

SAMPLES_OF_A_VALUE = 30
MOST_VALUES = 500


@dataclass(frozen=True)
class Strata:
    """Samples by the values of their inputs of few values.

    Attributes:
        code: ``(n,)`` from 0 on; all 0 where there is no such input.
        by: Names of these inputs.
        views: The other inputs.
    """

    code: NDArray[np.int64]
    by: tuple[str, ...]
    views: tuple[View, ...]

    def parts(self) -> list[NDArray[np.int64]]:
        """Return the places of the samples of each value."""
        order = np.argsort(self.code, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.code))[:-1])


def strata_of(views: Sequence[View], codes: Sequence[Codes]) -> Strata:
    """Find the inputs that have few values, together still few.

    Args:
        views: The inputs.
        codes: Of each, ``(n,)`` a number for each distinct value, -1 where it is missing.
    """
    n = len(codes[0])
    code = np.zeros(n, dtype=np.int64)
    by: list[int] = []
    n_values = [len(np.unique(each)) for each in codes]
    for place in np.argsort(n_values, kind="stable"):
        finer = combined_codes([code, codes[place] + 1])
        most = min(MOST_VALUES, n // SAMPLES_OF_A_VALUE)
        if n_values[place] < 2 or finer.max(initial=0) + 1 > most or len(by) + 1 == len(views):
            continue
        code, by = finer, [*by, int(place)]
    return Strata(
        code=code,
        by=tuple(views[place].name for place in by),
        views=tuple(view for place, view in enumerate(views) if place not in by),
    )
