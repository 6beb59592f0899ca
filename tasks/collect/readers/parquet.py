"""Parquet, streamed: each value as the text that a person would write for it."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.collect.readers.header import column_positions, require_rows
from tasks.collect.rows import Fault, Notes, RawRow, table_formats
from tasks.errors import SourceError
from tasks.params.collect import TableSource
from tasks.samples.tables import BATCH_ROWS


@table_formats.register("parquet")
def read_parquet(source: TableSource, path: Path, file: str, notes: Notes) -> Iterator[RawRow]:
    """Read a Parquet file.

    Raises:
        SourceError: It is damaged, lacks a column, or a column holds no single values.
    """
    wanted = list(source.columns)
    row = 0
    try:
        table = pq.ParquetFile(
            path, memory_map=True, pre_buffer=False, page_checksum_verification=True
        )
        header = table.schema_arrow.names
        column_positions(path, source, header)
        notes.unused_columns = tuple(name for name in header if name not in source.columns)
        for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
            columns = [_as_text(path, name, batch.column(name), source) for name in wanted]
            for cells in zip(*columns, strict=True):
                row += 1
                nul = next((n for n, c in zip(wanted, cells, strict=True) if c and "\0" in c), None)
                fault = None if nul is None else Fault("nul_byte", "a NUL in the text", nul)
                yield RawRow(file, row, cells, "\x1f".join(c or "" for c in cells), fault)
    except (pa.ArrowInvalid, OSError) as fault:
        raise SourceError(f"{path}: not a whole Parquet file ({fault}); write it again") from None
    require_rows(path, row)


def _as_text(path: Path, name: str, column: pa.Array, source: TableSource) -> list[str | None]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        texts: list[str | None] = column.to_pylist()
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        texts = pc.cast(column, pa.string()).to_pylist()
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        texts = [None if value is None else str(value) for value in column.to_pylist()]
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        texts = _moments(path, name, column, source)
    else:
        raise SourceError(
            f"{path}: column '{name}' is of type {kind}; expected text, numbers or times "
            "(media are named by the path of their file)"
        )
    return texts


def _moments(path: Path, name: str, column: pa.Array, source: TableSource) -> list[str | None]:
    if source.columns[name] == "time" and source.time_unit != "iso":
        raise SourceError(
            f"{path}: column '{name}' holds times, not numbers of '{source.time_unit}'; "
            "leave time_unit at iso"
        )
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.timestamp("us", column.type.tz), safe=False)
    return [None if value is None else value.isoformat() for value in column.to_pylist()]
