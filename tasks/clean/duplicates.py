"""Find records that say the same thing under different names."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def row_digests(batch: pa.RecordBatch, columns: Sequence[str]) -> NDArray[np.uint64]:
    """Return a 64-bit digest of each row's values in some columns."""
    values = [_comparable(batch.column(name)).to_pylist() for name in columns]
    digests = (hashlib.sha256(repr(row).encode()).digest()[:8] for row in zip(*values, strict=True))
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def first_of_same(digests: NDArray[np.uint64]) -> dict[int, int]:
    """Return, for the place of each row that repeats an earlier one, the place of the first.

    >>> first_of_same(np.array([5, 7, 5], dtype=np.uint64))
    {2: 0}
    """
    in_order = np.sort(digests)
    repeated = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
    del in_order
    if len(repeated) == 0:
        return {}
    first: dict[int, int] = {}
    found: dict[int, int] = {}
    for place in np.flatnonzero(np.isin(digests, repeated)).tolist():
        earlier = first.setdefault(int(digests[place]), place)
        if earlier != place:
            found[place] = earlier
    return found


def _comparable(column: pa.Array) -> pa.Array:
    """Return moments as plain numbers, which are much quicker to turn into Python's own."""
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
