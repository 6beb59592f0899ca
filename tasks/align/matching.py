"""What joining two sources gives: each left record's partner, or the reason why it has none."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
NOBODY = -1


class Outcome(IntEnum):
    """What became of a record in one join; the name in lower case is its reason code."""

    MATCHED = 0
    NO_KEY = 1
    NO_TIME = 2
    NO_PARTNER = 3
    DUPLICATE_MATCH = 4
    AMBIGUOUS_KEY = 5
    LOW_COVERAGE = 6

    @property
    def reason(self) -> str:
        """The code that tables and reports carry."""
        return self.name.lower()


@dataclass(frozen=True)
class Match:
    """The result of one join.

    Attributes:
        partner: ``(n_left,)`` row of the right table, or -1.
        left: ``(n_left,)`` outcome of each left record.
        right: ``(n_right,)`` outcome of each right record.
    """

    partner: Rows
    left: NDArray[np.int8]
    right: NDArray[np.int8]

    @property
    def matched(self) -> NDArray[np.bool_]:
        """Which left records have a partner."""
        return np.asarray(self.partner != NOBODY)

    @property
    def n_rows_reused(self) -> int:
        """Left records whose partner is also that of an earlier one."""
        return int(self.matched.sum() - (self.right == Outcome.MATCHED).sum())
