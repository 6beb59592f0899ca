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


def first_of_same(digests: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return, for each row, the place of the first row that is the same.

    >>> first_of_same(np.array([5, 7, 5], dtype=np.uint64)).tolist()
    [0, 1, 0]
    """
    _, first, which = np.unique(digests, return_index=True, return_inverse=True)
    return np.asarray(first[which], dtype=np.int64)


def _comparable(column: pa.Array) -> pa.Array:
    """Return moments as plain numbers, which are much quicker to turn into Python's own."""
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
