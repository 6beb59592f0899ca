"""The first pass over a source: what its columns hold, in the form that they will be kept in."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.clean.columns import AnyColumn, column_of, microseconds
from tasks.clean.sensors import Readings, SensorSurvey, by_series
from tasks.clean.texts import mended
from tasks.params.clean import CHECKS, CleanParams
from tasks.params.collect import AnySource, SensorSource
from tasks.samples.tables import iter_batches


def survey(
    source: AnySource, collected: Path, limits: CleanParams
) -> tuple[dict[str, AnyColumn], SensorSurvey | None]:
    """Return what the columns of a source hold, and how the readings of a sensor follow.

    Args:
        source: The source as it is declared.
        collected: The table that collect wrote.
        limits: What is mended on the way, and how long a sensor's value may stay the same.
    """
    fixes = fixes_of(limits)
    columns = {name: column_of(name, kind) for name, kind in source.columns.items()}
    sensor = SensorSurvey(limits.max_constant_seconds) if isinstance(source, SensorSource) else None
    start = 0
    for batch in iter_batches(collected, columns=list(source.columns)):
        for name, kind in source.columns.items():
            values = batch.column(name)
            if kind in ("category", "labels"):
                values = mended(values, kind, fixes).column
            columns[name].add(values)
        if sensor is not None and isinstance(source, SensorSource):
            for series, readings in readings_of(source, batch, start):
                sensor.add(series, readings)
        start += batch.num_rows
    if sensor is not None:
        sensor.finish()
    return columns, sensor


def fixes_of(limits: CleanParams) -> frozenset[str]:
    """Return the checks whose finds are mended."""
    return frozenset(check for check in CHECKS if limits.action(check) == "fix")


def readings_of(
    source: SensorSource, batch: pa.RecordBatch, start: int
) -> Iterator[tuple[str, Readings]]:
    """Yield the readings of each recording in a batch; those without a time are left out.

    Args:
        source: The source as it is declared.
        batch: Some of its records.
        start: Place of the first of them in the table.
    """
    timed = np.flatnonzero(batch.column("time").is_valid().to_numpy(zero_copy_only=False))
    if len(timed) == 0:
        return
    if len(timed) < batch.num_rows:
        batch = batch.take(pa.array(timed))
    series = batch.column("series").dictionary_encode(null_encoding="encode")
    values: dict[str, NDArray[np.float64]] = {
        name: batch.column(name).to_numpy(zero_copy_only=False) for name in source.channels
    }
    yield from by_series(
        series.dictionary.to_pylist(),
        series.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        timed + start,
        microseconds(batch.column("time")),
        values,
    )
