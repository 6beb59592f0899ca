"""Cheap features of tables: numbers brought to one scale, categories as marks, gaps as marks."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.samples.schema import TabularColumn

MOST_CATEGORIES = 24
"""The commonest values of a category get a mark each; the others share one."""


def tabular_features(table: pa.Table, columns: Sequence[TabularColumn]) -> NDArray[np.float32]:
    """Return ``(n, d)`` features of rows, all of them finite."""
    blocks = [
        _number(table[c.name]) if c.kind == "number" else _category(table[c.name]) for c in columns
    ]
    return np.concatenate(blocks, axis=1, dtype=np.float32)


def _number(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return the number about its median in units of its spread, and a mark where there is none."""
    values = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    there = np.isfinite(values)
    if not there.any():
        return np.zeros((len(values), 1))
    low, middle, high = np.quantile(values[there], [0.25, 0.5, 0.75])
    spread = (high - low) / 1.349 or float(values[there].std()) or 1.0
    scaled = np.arcsinh(np.where(there, values - middle, 0.0) / spread)
    marks = [] if there.all() else [~there]
    return np.column_stack([scaled, *marks]).astype(np.float64)


def _category(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a mark for each of the commonest values, one for all others, one for none."""
    counts = pc.value_counts(column.drop_null()).to_pylist()
    known = sorted(counts, key=lambda each: (-each["counts"], each["values"]))[:MOST_CATEGORIES]
    values = pa.array([each["values"] for each in known], column.type)
    codes = pc.index_in(column, values, skip_nulls=True).fill_null(len(known)).to_numpy()
    codes = np.where(column.is_null().to_numpy(), len(known) + 1, codes)
    return np.eye(len(known) + 2)[codes]
