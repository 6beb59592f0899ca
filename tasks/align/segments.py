"""Cut the recordings of a sensor into windows, each of which is a base record."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.align.matching import Rows
from tasks.align.recordings import Readings, SensorRecords
from tasks.align.report import SegmentsReport, SeriesReport
from tasks.align.resampling import Grid, resample
from tasks.align.window_store import WindowStore, shares
from tasks.params.align import Segments
from tasks.samples.progress import progress

LOW_COVERAGE = "low_coverage"
LOW_AGREEMENT = "low_agreement"
MOST_SERIES = 1_000
"""Recordings that a report tells of one by one."""

FAULTS = ("", LOW_COVERAGE, LOW_AGREEMENT)


@dataclass
class Segmenter:
    """Cuts recordings and remembers what came of it.

    Attributes:
        sensor: The recordings.
        settings: How to cut them.
        store: Where windows go; None where the base's windows are no input.
        target: The column that labels a window; None where the target is of another source.
        kind: ``category`` or ``number``: what the target is.
    """

    sensor: SensorRecords
    settings: Segments
    store: WindowStore | None
    target: str | None
    kind: str
    faults: list[NDArray[np.int8]] = field(default_factory=list)
    series: list[SeriesReport] = field(default_factory=list)
    agreement: list[NDArray[np.float64]] = field(default_factory=list)
    coverage: list[NDArray[np.float64]] = field(default_factory=list)

    @property
    def grid(self) -> Grid:
        """What each window looks like."""
        settings = self.settings
        return Grid(settings.n_steps, settings.rate_hz, round(settings.tolerance_seconds * 1e6))

    @property
    def schema(self) -> pa.Schema:
        """The schema of the base records."""
        time = pa.timestamp("us", tz="UTC")
        fields = [
            ("record_id", pa.string()), ("file", pa.string()), ("row", pa.int64()),
            ("series", pa.string()), ("start", time), ("time", time), ("window", pa.string()),
        ]  # fmt: skip
        if self.target is not None:
            kind = pa.float64() if self.kind == "number" else pa.string()
            fields.append((self.target, kind))
        return pa.schema(fields)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the base records, recording by recording in the order of their names."""
        with progress("cutting recordings", total=len(self.sensor.series)) as advance:
            for readings in self.sensor.read():
                yield self._cut(readings)
                advance()

    def report(self) -> SegmentsReport:
        """Say what became of the readings."""
        agreement = np.concatenate([np.zeros(0), *self.agreement])
        n_used = sum(series.n_readings_used for series in self.series)
        return SegmentsReport(
            n_series=len(self.series),
            n_windows=sum(series.n_windows for series in self.series),
            n_readings=self.sensor.n_readings,
            n_readings_used=n_used,
            n_readings_unused=self.sensor.n_readings - n_used,
            n_readings_without_series=self.sensor.n_without_series,
            mean_agreement=float(agreement.mean().round(6)) if len(agreement) else None,
            coverage=shares(np.concatenate(self.coverage)) if self.coverage else None,
            series=tuple(self.series[:MOST_SERIES]),
        )

    @property
    def reasons(self) -> NDArray[np.int8]:
        """``(n_windows,)`` index into ``FAULTS``."""
        return np.concatenate([np.zeros(0, dtype=np.int8), *self.faults])

    def _cut(self, readings: Readings) -> pa.RecordBatch:
        settings, grid, recording = self.settings, self.grid, readings.merged()
        starts = window_starts(
            recording.times, round(settings.every_seconds * 1e6), grid.length, grid.offsets[-1]
        )
        faults = np.zeros(len(starts), dtype=np.int8)
        digests: list[str | None] = [None] * len(starts)
        if self.store is not None:
            digests, coverage, _, n_over_gap, _ = self.store.add(
                resample(recording, starts, grid), settings.min_coverage
            )
            self.coverage.append(coverage)
            faults[[digest is None for digest in digests]] = FAULTS.index(LOW_COVERAGE)
        else:
            n_over_gap = 0
        first = np.searchsorted(readings.times, starts, side="left")
        last = np.searchsorted(readings.times, starts + grid.length, side="left")
        columns = [
            pa.array([f"{readings.series}@{s - readings.times[0]}" for s in starts], pa.string()),
            readings.files.take(pa.array(first)).cast(pa.string()),
            pa.array(readings.rows[first], pa.int64()),
            pa.array([readings.series] * len(starts), pa.string()),
            pa.array(starts, pa.timestamp("us", tz="UTC")),
            pa.array(starts + grid.length, pa.timestamp("us", tz="UTC")),
            pa.array(digests, pa.string()),
        ]
        if readings.labels is not None:
            labels, agreement = label_windows(readings.labels, first, last, settings.label)
            faults[(agreement < settings.min_agreement) & (faults == 0)] = FAULTS.index(
                LOW_AGREEMENT
            )
            self.agreement.append(agreement[np.isfinite(agreement)])
            columns.append(labels)
        self.faults.append(faults)
        self.series.append(
            SeriesReport(
                series=readings.series,
                n_readings=self.sensor.n_of[readings.series],
                n_readings_used=int(in_any_window(first, last, len(readings.times)).sum()),
                n_readings_without_time=readings.n_without_time,
                n_equal_times=len(readings.times) - len(recording.times),
                n_out_of_order=readings.n_out_of_order,
                n_windows=len(starts),
                rate_hz=recording.rate_hz,
                max_gap_seconds=recording.max_gap / 1e6,
                n_steps_over_gap=n_over_gap,
            )
        )
        return pa.record_batch(columns, schema=self.schema)


def window_starts(times: Rows, every: int, length: int, reach: int) -> Rows:
    """Return when windows start: every so often from the first reading, wherever one has readings.

    Args:
        times: ``(n,)`` microseconds, sorted.
        every: Microseconds from one start to the next.
        length: Microseconds from a window's start to its end.
        reach: Microseconds from a window's start to its last step, which is no later than the last
            reading.

    >>> window_starts(np.array([0, 2, 4, 6, 100, 103]), every=2, length=4, reach=3).tolist()
    [0, 2, 4, 6, 98, 100]
    """
    if not len(times):
        return np.zeros(0, dtype=np.int64)
    since = times - times[0]
    latest = np.unique(since // every)
    # Each reading lies in the windows that start up to a length before it; no start twice.
    earliest = np.maximum(latest - (-(-length // every) - 1), np.r_[0, latest[:-1] + 1])
    n_starts = latest - earliest + 1
    within = np.arange(int(n_starts.sum())) - np.repeat(np.cumsum(n_starts) - n_starts, n_starts)
    found = (np.repeat(earliest, n_starts) + within) * every
    first = np.searchsorted(since, found, side="left")
    reached = since[first.clip(max=len(since) - 1)] < found + length
    return np.asarray((found + times[0])[reached & (found + reach <= since[-1])], dtype=np.int64)


def label_windows(
    labels: pa.Array, first: Rows, last: Rows, how: str
) -> tuple[pa.Array, NDArray[np.float64]]:
    """Label each window by its readings.

    Args:
        labels: ``(n_readings,)`` text or numbers, in order of time.
        first: ``(n_windows,)`` the first reading of each window.
        last: ``(n_windows,)`` one past its last.
        how: ``majority``, ``last`` or ``mean``.

    Returns:
        ``(n_windows,)`` labels, null where no reading has one, and the part of the readings with a
        label that agree with it (NaN for numbers, and where there is none).
    """
    if pa.types.is_floating(labels.type):
        values = labels.to_numpy(zero_copy_only=False)
        known = np.isfinite(values)
        agreement = np.full(len(first), np.nan)
        if how == "last":
            at = _last_known(known, last)
            there = at >= first
            return pa.array(np.where(there, values[at.clip(0)], 0.0), mask=~there), agreement
        middle = values[known].mean() if known.any() else 0.0
        total = _running(np.where(known, values - middle, 0.0))
        n = _running(known.astype(np.int64))
        n_known = n[last] - n[first]
        means = (total[last] - total[first]) / np.maximum(n_known, 1) + middle
        return pa.array(means, mask=n_known == 0), agreement

    encoded = labels.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    n = _running((codes >= 0).astype(np.int64))
    n_known = n[last] - n[first]
    chosen, votes = np.full(len(first), -1), np.zeros(len(first), dtype=np.int64)
    if how == "last":
        at = _last_known(codes >= 0, last)
        there = at >= first
        chosen = np.where(there, codes[at.clip(0)] if len(codes) else -1, -1)
    for code in sorted(range(len(names)), key=names.__getitem__):  # of equally many, the first name
        of_class = _running((codes == code).astype(np.int64))
        own = of_class[last] - of_class[first]
        if how == "last":
            votes = np.where(chosen == code, own, votes)
        else:
            chosen, votes = np.where(own > votes, code, chosen), np.maximum(votes, own)
    agreement = np.where(n_known > 0, votes / np.maximum(n_known, 1), np.nan)
    text = encoded.dictionary.take(pa.array(chosen, mask=chosen < 0)).cast(pa.string())
    return text, agreement


def in_any_window(first: Rows, last: Rows, n_readings: int) -> NDArray[np.bool_]:
    """Return ``(n_readings,)`` whether a reading lies in a window."""
    steps = np.zeros(n_readings + 1, dtype=np.int64)
    np.add.at(steps, first, 1)
    np.add.at(steps, last, -1)
    return np.asarray(np.cumsum(steps)[:n_readings] > 0)


def _running(values: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([np.zeros(1, dtype=values.dtype), np.cumsum(values)])


def _last_known(known: NDArray[np.bool_], last: Rows) -> Rows:
    """Return the last reading with a label before each of some readings, or -1."""
    latest = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    return np.append(latest, -1)[last - 1]
