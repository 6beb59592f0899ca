"""Understand whole columns of a sensor's readings at once.

Where anything in them is odd the answer is None, and the rows are then read one by one, which tells
what is wrong with which; so both ways give the same values.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.collect.cells import EARLIEST, LATEST
from tasks.params.collect import SensorSource
from tasks.samples.records import FILE, RECORD_ID, ROW, origin_column, records_schema

_PER_UNIT = {"s": 10**6, "ms": 10**3, "us": 1}
_MOMENT = pa.timestamp("us", tz="UTC")
_DECIMAL = pa.decimal128(30, 9)
_PLAIN = ("",)


def understood(
    source: SensorSource,
    columns: Mapping[str, pa.Array],
    series: pa.Array,
    prefix: pa.Array,
    file: str,
    first_row: int,
) -> pa.RecordBatch | None:
    """Return readings as records, or None where one of them is not as declared.

    Args:
        source: The source as it is declared.
        columns: The user's columns: text, or numbers and times as Parquet has them.
        series: The recording of each reading.
        prefix: What stands before the row in the name of each record.
        file: The file, relative to ``collect.root``.
        first_row: The row of the first reading.
    """
    n_rows = len(series)
    row = pa.array(np.arange(first_row, first_row + n_rows, dtype=np.int64))
    try:
        typed: dict[str, pa.Array] = {"time": times_of(columns[source.time], source)}
        for name, kind in source.values.items():
            column = columns[name]
            typed[name] = (
                numbers_of(column, source) if kind == "number" else texts_of(column, source)
            )
        series = texts_of(series, source)
    except pa.ArrowInvalid:
        return None
    if series.null_count or any(column is None for column in typed.values()):
        return None
    named = pc.binary_join_element_wise(prefix, pc.cast(row, pa.string()), ":")
    typed |= {
        RECORD_ID: named,
        origin_column(FILE, source): pa.repeat(pa.scalar(file), n_rows),
        origin_column(ROW, source): row,
        "series": series,
    }
    schema = records_schema(source)
    return pa.record_batch([typed[field.name] for field in schema], schema=schema)


def texts_of(column: pa.Array, source: SensorSource) -> pa.Array | None:
    """Return a column as text without the cells that mean "no value"; None for other types."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        column = column.cast(pa.string())
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None
    absent = pc.is_in(column, pa.array(source.null_values, pa.string()))
    return pc.if_else(absent, pa.scalar(None, pa.string()), column.cast(pa.string()))


def numbers_of(column: pa.Array, source: SensorSource) -> pa.Array | None:
    """Return a column as numbers; None where one of them is not finite."""
    if not pa.types.is_floating(column.type):
        if pa.types.is_boolean(column.type) or pa.types.is_temporal(column.type):
            return None
        if not pa.types.is_integer(column.type) and not pa.types.is_decimal(column.type):
            column = texts_of(column, source)
        elif source.null_values != _PLAIN:
            return None  # a number may be among the values that mean none
    if column is None:
        return None
    numbers = column.cast(pa.float64())
    finite = pc.all(pc.is_finite(numbers), min_count=0).as_py()
    return numbers if finite else None


def times_of(column: pa.Array, source: SensorSource) -> pa.Array | None:
    """Return a column as moments; None where one is missing or out of the years 1900 to 2199."""
    kind = column.type
    if pa.types.is_timestamp(kind) and source.time_unit == "iso":
        moments = _zoned(column.cast(pa.timestamp("us", kind.tz), safe=False), source)
    elif source.time_unit == "iso":
        texts = texts_of(column, source)
        moments = None if texts is None else _from_iso(pc.utf8_trim_whitespace(texts), source)
    else:
        moments = _from_epoch(column, source)
    if moments is None or moments.null_count or not len(moments):
        return None
    bounds = pc.min_max(moments.cast(pa.int64()))
    within = bounds["min"].as_py() >= EARLIEST and bounds["max"].as_py() < LATEST
    return moments if within else None


def _from_iso(texts: pa.Array, source: SensorSource) -> pa.Array:
    try:
        return texts.cast(_MOMENT)
    except pa.ArrowInvalid:
        return _zoned(texts.cast(pa.timestamp("us")), source)


def _zoned(moments: pa.Array, source: SensorSource) -> pa.Array:
    if moments.type.tz is None:
        moments = pc.assume_timezone(
            moments, source.time_zone, ambiguous="raise", nonexistent="raise"
        )
    return moments.cast(_MOMENT)


def _from_epoch(column: pa.Array, source: SensorSource) -> pa.Array | None:
    if pa.types.is_floating(column.type):
        column = column.cast(pa.string())  # as they are written, not as binary fractions
    if not pa.types.is_integer(column.type):
        column = texts_of(column, source)
        if column is None:
            return None
        column = pc.utf8_trim_whitespace(column)
    try:
        whole = column.cast(pa.int64())
    except pa.ArrowInvalid:
        exact = column.cast(_DECIMAL)
        per_unit = pa.scalar(_PER_UNIT.get(source.time_unit, 1), pa.decimal128(7, 0))
        whole = pc.trunc(pc.multiply(exact, per_unit)).cast(pa.int64())
    else:
        whole = pc.multiply_checked(whole, _PER_UNIT.get(source.time_unit, 1))
    if source.time_unit == "ns":
        whole = pc.divide(whole, 1000)
    return whole.cast(pa.timestamp("us")).cast(_MOMENT)
