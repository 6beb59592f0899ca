"""Windows of one recording that overlap across a border: the same readings on both sides."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.samples.schema import SPLITS, SampleSchema
from tasks.split.assignment import SplitNumbers

NONE = -1


@dataclass(frozen=True)
class SensorWindows:
    """The windows of one sensor.

    Attributes:
        name: Of the source.
        series: ``(n_samples,)`` number of the recording; -1 where there is no window.
        start: ``(n_samples,)`` in the order of time; equal times have equal numbers.
        end: ``(n_samples,)`` likewise, comparable with ``start``.
    """

    name: str
    series: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


@dataclass(frozen=True)
class Overlaps:
    """Pairs of windows that overlap across a border.

    Attributes:
        earlier: ``(n_pairs,)`` rows of train, or of validation where the other is of test.
        later: ``(n_pairs,)`` a row that each overlaps.
    """

    earlier: NDArray[np.int64]
    later: NDArray[np.int64]


def window_columns(schema: pa.Schema) -> dict[str, tuple[str, str, str]]:
    """Return by sensor the columns with the series, the start and the end of its windows.

    Only windows that are inputs count, and only where a start is known.
    """
    read = {s.column for s in SampleSchema.of(schema).inputs if s.modality == "timeseries"}
    found = {}
    for column in sorted(read):
        sensor = column.rsplit(".", 1)[0]
        names = (f"{sensor}.series", f"{sensor}.start", f"{sensor}.time")
        if set(names) <= set(schema.names):
            found[sensor] = names
    return found


def windows_of(
    name: str, series: pa.ChunkedArray, start: pa.ChunkedArray, end: pa.ChunkedArray
) -> SensorWindows:
    """Return the windows of a sensor from its columns."""
    coded = series.combine_chunks().dictionary_encode().indices.fill_null(NONE)
    codes = np.asarray(coded.to_numpy(zero_copy_only=False), dtype=np.int64)
    begin, finish = _instants(start), _instants(end)
    there = start.is_valid().to_numpy() & end.is_valid().to_numpy()
    _, ranks = np.unique(np.concatenate([begin, finish]), return_inverse=True)
    ranks = ranks.astype(np.int64)
    return SensorWindows(
        name, np.where(there, codes, NONE), ranks[: len(begin)], ranks[len(begin) :]
    )


def _instants(values: pa.ChunkedArray) -> NDArray[np.float64] | NDArray[np.int64]:
    if pa.types.is_floating(values.type):
        return np.asarray(values.fill_null(0.0).to_numpy())
    return np.asarray(values.cast(pa.int64()).fill_null(0).to_numpy())


def overlapping(windows: SensorWindows, split: SplitNumbers) -> Overlaps:
    """Find windows that overlap one of a later split in the same recording.

    Windows that only touch do not overlap.
    """
    pairs = [
        _overlaps(windows, split == earlier, split == later)
        for earlier, later in combinations(range(len(SPLITS)), 2)
    ]
    rows = np.concatenate([own for own, _ in pairs])
    others = np.concatenate([other for _, other in pairs])
    earlier_rows, first = np.unique(rows, return_index=True)
    return Overlaps(earlier_rows, others[first])


def _overlaps(
    windows: SensorWindows, own: NDArray[np.bool_], other: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    there = windows.series != NONE
    own_rows, other_rows = np.flatnonzero(own & there), np.flatnonzero(other & there)
    if not len(own_rows) or not len(other_rows):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    # A number for each place of each recording: recordings lie behind one another on one line.
    length = int(max(windows.start.max(), windows.end.max())) + 1
    begins, ends = (windows.series * length + at for at in (windows.start, windows.end))
    order = np.argsort(begins[other_rows], kind="stable")
    other_rows = other_rows[order]
    furthest = np.maximum.accumulate(ends[other_rows])
    reaching = other_rows[_argmax_so_far(ends[other_rows])]
    # Of the others that begin before this one ends, the one that reaches furthest.
    last = np.searchsorted(begins[other_rows], ends[own_rows], side="left") - 1
    overlaps = (last >= 0) & (furthest[last] > begins[own_rows])
    return own_rows[overlaps], reaching[last[overlaps]]


def _argmax_so_far(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the largest value up to each place stands."""
    is_new = values >= np.maximum.accumulate(values)
    return np.maximum.accumulate(np.where(is_new, np.arange(len(values)), 0))
