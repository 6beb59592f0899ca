"""What joining two sources gives: each left record's partner, or the reason why it has none."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pyarrow as pa
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
class Between:
    """Two records on either side of a time, and where between them it lies.

    Attributes:
        before: ``(n,)`` row of the record before, or -1.
        after: ``(n,)`` row of the record after, or -1.
        share: ``(n,)`` 0 at the record before, 1 at the one after.
    """

    before: Rows
    after: Rows
    share: NDArray[np.float64]

    def at(self, rows: Rows) -> "Between":
        """Return those of some rows."""
        return Between(self.before[rows], self.after[rows], self.share[rows])

    def through(self, rows: Rows) -> "Between":
        """Return those that rows of another table lead to; -1 leads to none."""
        before, after = np.append(self.before, NOBODY), np.append(self.after, NOBODY)
        return Between(before[rows], after[rows], np.append(self.share, 0.0)[rows])

    def read(self, before: pa.ChunkedArray, after: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the numbers on the line between two columns ``(n,)``, null where one is."""
        first, last = before.to_numpy(), after.to_numpy()
        read = first * (1 - self.share) + last * self.share
        return pa.chunked_array([pa.array(read, mask=~np.isfinite(read))])


@dataclass(frozen=True)
class Match:
    """The result of one join.

    Attributes:
        partner: ``(n_left,)`` row of the right table, or -1.
        left: ``(n_left,)`` outcome of each left record.
        right: ``(n_right,)`` outcome of each right record.
        between: The two right records whose numbers a left one reads between, where it does.
    """

    partner: Rows
    left: NDArray[np.int8]
    right: NDArray[np.int8]
    between: "Between | None" = None

    @property
    def matched(self) -> NDArray[np.bool_]:
        """Which left records have a partner."""
        return np.asarray(self.partner != NOBODY)

    @property
    def n_rows_reused(self) -> int:
        """Left records whose partner is also that of an earlier one."""
        return int(self.matched.sum() - (self.right == Outcome.MATCHED).sum())
