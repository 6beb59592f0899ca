"""What splits are made alike in: classes, labels of which a cell has several, bins of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

N_QUANTILE_BINS = 10
SEPARATOR = ";"


@dataclass(frozen=True)
class SampleLabels:
    """Labels of samples; a sample may have several, or none.

    Attributes:
        columns: ``(n_labels,)`` the column of each.
        names: ``(n_labels,)`` what it is called there.
        rows: ``(n_pairs,)`` which sample has it.
        labels: ``(n_pairs,)`` which label it has.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    rows: NDArray[np.int32]
    labels: NDArray[np.int32]

    def of(self, rows: NDArray[np.int64], n_samples: int) -> "SampleLabels":
        """Return the labels of some of the samples, which are numbered anew."""
        place = np.full(n_samples, -1, dtype=np.int32)
        place[rows] = np.arange(len(rows))
        kept = place[self.rows] >= 0
        return SampleLabels(self.columns, self.names, place[self.rows[kept]], self.labels[kept])


def labels_of(columns: Sequence[tuple[str, pa.ChunkedArray, bool]]) -> SampleLabels:
    """Return the labels of samples by some of their columns.

    A category is one label, a number the label of its tenth; no value is a label too.

    >>> columns = [("n.tags", pa.chunked_array([["b; a", None]]), True)]
    >>> found = labels_of(columns)
    >>> found.names, found.rows.tolist(), found.labels.tolist()
    (('a', 'b', '(no value)'), [0, 0, 1], [1, 0, 2])

    Args:
        columns: Of each column its name, its values, and whether a cell holds several labels.
    """
    nothing = np.zeros(0, dtype=np.int32)
    if not columns:
        return SampleLabels((), (), nothing, nothing)
    parts = [_column_labels(*column) for column in columns]
    starts = accumulate([len(part.names) for part in parts], initial=0)
    return SampleLabels(
        tuple(column for part in parts for column in part.columns),
        tuple(name for part in parts for name in part.names),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.labels + start for part, start in zip(parts, starts, strict=False)]),
    )


def _column_labels(name: str, values: pa.ChunkedArray, several: bool) -> SampleLabels:
    if pa.types.is_floating(values.type):
        codes, told = _number_bins(values)
        rows = np.arange(len(values), dtype=np.int32)
    else:
        rows, codes, told = _categories(values, several)
    return SampleLabels((name,) * len(told), tuple(told), rows, codes)


def _categories(
    values: pa.ChunkedArray, several: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32], list[str]]:
    """Return the pairs of row and label of a text column, and the labels in order of their name."""
    cells = values.cast(pa.string()).combine_chunks()
    rows = np.arange(len(cells), dtype=np.int32)
    if several:
        lists = pc.split_pattern(cells, SEPARATOR)
        rows = pc.list_parent_indices(lists).to_numpy().astype(np.int32)
        nothing = np.flatnonzero(cells.is_null().to_numpy(zero_copy_only=False)).astype(np.int32)
        flat = pc.utf8_trim_whitespace(pc.list_flatten(lists))
        kept = pc.not_equal(flat, "").to_numpy(zero_copy_only=False)
        rows = np.concatenate([rows[kept], nothing])
        cells = pa.concat_arrays([flat.filter(pa.array(kept)), pa.nulls(len(nothing), pa.string())])
    coded = cells.dictionary_encode(null_encoding="encode")
    names = coded.dictionary.to_pylist()
    in_order = sorted(range(len(names)), key=lambda i: (names[i] is None, names[i] or ""))
    place = np.empty(len(names), dtype=np.int32)
    place[in_order] = np.arange(len(names), dtype=np.int32)
    codes = place[coded.indices.to_numpy(zero_copy_only=False)]
    return rows, codes, ["(no value)" if names[i] is None else names[i] for i in in_order]


def _number_bins(values: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    """Put numbers into bins of equally many samples, what has no value into one of its own."""
    numbers = values.cast(pa.float64()).fill_null(np.nan).to_numpy()
    there = np.isfinite(numbers)
    known = numbers[there]
    inner = np.quantile(known, np.linspace(0, 1, N_QUANTILE_BINS + 1)[1:-1]) if len(known) else []
    found = np.where(there, np.searchsorted(inner, numbers, side="left"), N_QUANTILE_BINS)
    bins, codes = np.unique(found, return_inverse=True)
    told = []
    for code, bin_ in enumerate(bins):
        own = numbers[codes == code]
        missing = bin_ == N_QUANTILE_BINS
        told.append("(no value)" if missing else f"{own.min():g} to {own.max():g}")
    return codes.astype(np.int32), told
