"""Readings of a sensor, one recording at a time: sorted, each time once, never all in memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.align.matching import Rows
from tasks.align.timestamps import NO_TIME, microseconds
from tasks.errors import DataError
from tasks.samples.tables import iter_batches, open_table

READ_ROWS = 1_000_000
"""Readings that are held at once, or those of one recording where that is longer."""

SERIES = "series"
TIME = "time"


@dataclass(frozen=True)
class Readings:
    """The readings of one recording that have a time, in order of time.

    Attributes:
        series: Name of the recording.
        times: ``(n,)`` microseconds; equal ones stand side by side, in the order of the file.
        values: ``(n, n_channels)``, NaN where there is none.
        labels: ``(n,)`` the target's readings; None where none was asked for.
        files: ``(n,)`` where each reading came from.
        rows: ``(n,)`` and in which row.
        n_without_time: Readings that were left out.
        n_out_of_order: Readings that are earlier than the one before them in their file.
    """

    series: str
    times: Rows
    values: NDArray[np.float64]
    labels: pa.Array | None
    files: pa.Array
    rows: Rows
    n_without_time: int = 0
    n_out_of_order: int = 0

    def merged(self) -> "Recording":
        """Average the readings of equal times."""
        fresh = np.append(True, np.diff(self.times) != 0) if len(self.times) else np.zeros(0, bool)
        starts = np.flatnonzero(fresh)
        if len(starts) == len(self.times):
            return Recording(self.times, self.values)
        known = np.isfinite(self.values)
        total = np.add.reduceat(np.where(known, self.values, 0.0), starts, axis=0)
        n_known = np.add.reduceat(known.astype(np.int64), starts, axis=0)
        means = np.divide(total, n_known, out=np.full_like(total, np.nan), where=n_known > 0)
        return Recording(self.times[starts], means)


@dataclass(frozen=True)
class Recording:
    """What a sensor read over time.

    Attributes:
        times: ``(n,)`` microseconds, strictly increasing.
        values: ``(n, n_channels)``, NaN where there is none.
    """

    times: Rows
    values: NDArray[np.float64]

    @property
    def period(self) -> float:
        """The usual time from one reading to the next, in microseconds; 0 for fewer than two."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0

    @property
    def rate_hz(self) -> float | None:
        """The usual readings a second, gaps left out; None for fewer than two."""
        apart = np.diff(self.times)
        usual = apart[apart <= 3 * self.period]
        return round(1e6 / float(usual.mean()), 3) if len(usual) else None

    @property
    def max_gap(self) -> int:
        """The longest time from one reading to the next, in microseconds."""
        return int(np.diff(self.times).max()) if len(self.times) > 1 else 0

    def moved(self, clock: Callable[[Rows], Rows]) -> "Recording":
        """Return the recording by another clock."""
        return Recording(clock(self.times), self.values)


class SensorRecords:
    """The records of a sensor source, read recording by recording."""

    def __init__(
        self, path: Path, channels: tuple[str, ...], label: str | None = None, pooled: bool = False
    ) -> None:
        """Look which rows of the table belong to which recording.

        Args:
            path: The records.
            channels: The numbers to read, in their order.
            label: Another column to read.
            pooled: Whether all readings are one recording, named "".
        """
        self.path, self.channels, self.label, self.pooled = path, channels, label, pooled
        codes: dict[str | None, int] = {}
        parts = []
        for batch in iter_batches(path, [SERIES], rows=READ_ROWS // 8):
            encoded = batch.column(0).dictionary_encode()
            own = [codes.setdefault(name, len(codes)) for name in encoded.dictionary.to_pylist()]
            if encoded.null_count:
                own.append(codes.setdefault(None, len(codes)))
            at = encoded.indices.fill_null(len(own) - 1).to_numpy(zero_copy_only=False)
            parts.append(np.asarray(own, dtype=np.int32)[at])
        self._codes = np.concatenate([np.zeros(0, dtype=np.int32), *parts])
        self._code_of = codes
        counts = np.bincount(self._codes, minlength=len(codes))
        self.n_readings = len(self._codes)
        self.n_of = {name: int(counts[code]) for name, code in codes.items() if name is not None}
        self.n_without_series = int(counts[codes[None]]) if None in codes else 0
        if pooled:
            self.n_of, self.n_without_series = {"": self.n_readings}, 0
        groups = open_table(path).metadata
        sizes = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
        self._ends = np.cumsum(np.asarray([0, *sizes], dtype=np.int64))

    @property
    def series(self) -> list[str]:
        """Names of the recordings, sorted."""
        return sorted(self.n_of)

    def read(self, names: Iterable[str] | None = None) -> Iterator[Readings]:
        """Yield recordings in the order of their names; names that are not there are left out.

        Recordings next to each other are read together as long as they fit ``READ_ROWS``, so that
        a table in which many are interleaved is not gone through once for each.
        """
        wanted = self.series if names is None else sorted(set(names) & self.n_of.keys())
        together: list[str] = []
        n_together = 0
        for name in wanted:
            if together and n_together + self.n_of[name] > READ_ROWS:
                yield from self._read_together(together)
                together, n_together = [], 0
            together.append(name)
            n_together += self.n_of[name]
        if together:
            yield from self._read_together(together)

    def _read_together(self, names: list[str]) -> Iterator[Readings]:
        if self.pooled:
            yield self._readings("", self._rows_of(np.arange(self.n_readings)))
            return
        codes = np.asarray([self._code_of[name] for name in names], dtype=np.int32)
        at = np.flatnonzero(np.isin(self._codes, codes))
        table, own = self._rows_of(at), self._codes[at]
        by_code = np.argsort(own, kind="stable")
        edges = np.searchsorted(own[by_code], [codes, codes + 1])
        for name, first, last in zip(names, *edges, strict=True):
            yield self._readings(name, table.take(by_code[first:last]))

    def _rows_of(self, at: Rows) -> pa.Table:
        """Read rows, from those parts of the file that hold any of them."""
        columns = list(dict.fromkeys([TIME, "file", "row", *self.channels, *self._label_column]))
        file = open_table(self.path)
        parts = [file.schema_arrow.empty_table().select(columns)]
        for group in np.unique(np.searchsorted(self._ends, at, side="right") - 1).tolist():
            first, last = self._ends[group : group + 2]
            try:
                read = file.read_row_group(group, columns=columns)
            except OSError as fault:
                raise DataError(f"{self.path}: damaged ({fault}); run its stage again") from None
            within = at[np.searchsorted(at, first) : np.searchsorted(at, last)] - first
            parts.append(read if len(within) == read.num_rows else read.take(within))
        return pa.concat_tables(parts).select(columns)

    @property
    def _label_column(self) -> tuple[str, ...]:
        return () if self.label is None else (self.label,)

    def _readings(self, name: str, table: pa.Table) -> Readings:
        times = microseconds(table[TIME])
        rows = table["row"].to_numpy()
        files = table["file"].combine_chunks().dictionary_encode()
        in_source = np.lexsort((rows, _ranks(files)))
        timed = in_source[times[in_source] != NO_TIME]
        in_time = timed[np.argsort(times[timed], kind="stable")]
        values = np.empty((len(in_time), len(self.channels)))
        for i, channel in enumerate(self.channels):
            column = table[channel].to_numpy()[in_time]
            values[:, i] = np.where(np.isfinite(column), column, np.nan)
        return Readings(
            series=name,
            times=times[in_time],
            values=values,
            labels=None
            if self.label is None
            else table[self.label].combine_chunks().take(pa.array(in_time)),
            files=files.take(pa.array(in_time)),
            rows=rows[in_time],
            n_without_time=len(times) - len(in_time),
            n_out_of_order=int((np.diff(times[timed]) < 0).sum()),
        )


def _ranks(encoded: pa.DictionaryArray) -> Rows:
    """Return the place of each value in the order of all."""
    names = encoded.dictionary.to_pylist()
    rank = np.empty(len(names), dtype=np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return np.asarray(rank[encoded.indices.to_numpy(zero_copy_only=False)])
