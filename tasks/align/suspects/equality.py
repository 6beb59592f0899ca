"""Which samples have the very same inputs: by a number for each value, in a few bytes a sample."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.samples.schema import InputSpec
from tasks.samples.tables import iter_batches, open_table

Codes = NDArray[np.int64]
UNKNOWN = -1
_ROWS = 65_536
_MIX = np.uint64(0x9E3779B97F4A7C15)


def input_codes(samples: Path, spec: InputSpec) -> Codes:
    """Return ``(n_samples,)`` a number for each distinct value of an input, -1 where it is missing.

    Numbers are hashes of 63 bits, so that the table is read a batch at a time and no value is kept;
    among a million values, two share one by chance less than once in ten million tables.
    """
    columns = [c.name for c in spec.columns] or [spec.column]
    codes = np.empty(open_table(samples).metadata.num_rows, dtype=np.int64)
    start = 0
    for batch in iter_batches(samples, columns, _ROWS):
        hashes = np.zeros(batch.num_rows, dtype=np.uint64)
        known = np.zeros(batch.num_rows, dtype=bool)
        for column in columns:
            own, there = _hashes(batch[column])
            # A missing cell is a value as good as any other, if the row has one at all.
            hashes = (hashes ^ own) * _MIX + (hashes >> np.uint64(29))
            known |= there
        codes[start : start + len(known)] = np.where(
            known, (hashes >> np.uint64(1)).astype(np.int64), UNKNOWN
        )
        start += len(known)
    return codes


def _hashes(values: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    from pandas.util import hash_array

    there = values.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_floating(values.type):
        numbers = values.fill_null(np.nan).to_numpy(zero_copy_only=False)
        return hash_array(numbers + 0.0), there & np.isfinite(numbers)  # -0 is 0
    encoded = values.dictionary_encode()
    of_each = hash_array(encoded.dictionary.to_numpy(zero_copy_only=False), categorize=False)
    place = encoded.indices.fill_null(len(of_each)).to_numpy(zero_copy_only=False)
    return np.append(of_each, np.uint64(0))[place], there


def combined_codes(codes: Sequence[Codes]) -> Codes:
    """Return one number, from 0 on, for each distinct combination of numbers.

    >>> combined_codes([np.array([0, 0, 1, 0]), np.array([5, 6, 5, 5])]).tolist()
    [0, 1, 2, 0]
    """
    joint = _dense(codes[0])
    for each in codes[1:]:
        dense = _dense(each)
        joint = _dense(joint * (int(dense.max(initial=0)) + 1) + dense)
    return joint


def _dense(codes: Codes) -> Codes:
    return np.asarray(np.unique(codes, return_inverse=True)[1], dtype=np.int64)


def same_inputs(codes: Sequence[Codes]) -> Codes:
    """Return a number for each distinct combination of inputs, -1 for a sample that lacks one.

    What is missing is unknown, so two samples that lack the same input need not be alike.
    """
    complete = np.logical_and.reduce([each != UNKNOWN for each in codes])
    return np.where(complete, combined_codes(codes), UNKNOWN)
