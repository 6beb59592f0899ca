"""Find records that say the same thing under different names."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.clean.columns import scattered

_NULL = np.uint64(0x5CA1AB1E0DDBA11)


def row_digests(batch: pa.RecordBatch, columns: Sequence[str]) -> NDArray[np.uint64]:
    """Return a 64-bit digest of each row's values in some columns."""
    digests = np.zeros(batch.num_rows, np.uint64)
    for place, name in enumerate(columns, start=1):
        digests += scattered(_digests(batch.column(name)) * np.uint64(2 * place + 1))
    return digests


def _digests(column: pa.Array) -> NDArray[np.uint64]:
    """Return a 64-bit digest of each value; equal values of a column have equal ones."""
    if pa.types.is_string(column.type):
        encoded = column.dictionary_encode()
        texts = encoded.dictionary.cast(pa.binary()).to_pylist()
        of_each = b"".join([hashlib.sha256(text).digest()[:8] for text in texts])
        known = np.append(np.frombuffer(of_each, np.uint64), _NULL)
        places = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
        return np.asarray(known[places], np.uint64)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values = column.fill_null(0).to_numpy(zero_copy_only=False) + 0  # minus zero becomes zero
    nulls = column.is_null().to_numpy(zero_copy_only=False)
    return np.where(nulls, _NULL, scattered(values.view(np.uint64)))


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
