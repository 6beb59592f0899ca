"""Parquet, streamed: each value as the text that a person would write for it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.collect.readers.header import column_positions, require_rows, require_same_columns
from tasks.collect.readers.unpacking import FREE_BYTES, MAX_RATIO
from tasks.collect.rows import Fault, Notes, RawRow, table_formats
from tasks.errors import SourceError
from tasks.params.collect import TableSource
from tasks.samples.tables import BATCH_ROWS

LONG_ROW_BYTES = 2**16
"""Columns of short values repeat without end in any table; those of rows this long do not."""

MAX_BATCH_BYTES = 64 * 2**20
"""Text that a batch may grow to: some kilobytes can stand for gigabytes of one repeated cell."""


@table_formats.register("parquet")
def read_parquet(source: TableSource, path: Path, file: str, notes: Notes) -> Iterator[RawRow]:
    """Read a Parquet file.

    Raises:
        SourceError: It is damaged, lacks a column, or a column holds no single values.
    """
    wanted = list(source.columns)
    row = 0
    try:
        header, batches = open_parquet(path, wanted, BATCH_ROWS)
        column_positions(path, source, header)
        notes.saw_unused(name for name in header if name not in source.columns)
        require_same_columns(path, header, notes)
        for batch in batches:
            for cells in zip(*texts_of(batch, path, source), strict=True):
                row += 1
                yield text_row(cells, wanted, file, row)
    except (pa.ArrowInvalid, OSError) as fault:
        raise not_whole(path, fault) from None
    require_rows(path, row)


def open_parquet(
    path: Path, columns: Sequence[str], n_rows: int
) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    """Return the columns that a file has, and the wanted ones of them in batches.

    Text that repeats stays a dictionary, and a batch whose text would fill the memory is cut.
    """
    schema = pq.read_schema(path)
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    table = pq.ParquetFile(
        path,
        memory_map=True,
        pre_buffer=False,
        page_checksum_verification=True,
        read_dictionary=[name for name in texts if name in columns],
    )

    def batches() -> Iterator[pa.RecordBatch]:
        n_bytes = n_read = 0
        for batch in table.iter_batches(batch_size=n_rows, columns=list(columns)):
            n_bytes += sum(map(_n_bytes, batch.columns))
            n_read += batch.num_rows
            _require_believable(path, n_bytes, n_read)
            yield from _slices(batch)

    return schema.names, batches()


def _require_believable(path: Path, n_bytes: int, n_rows: int) -> None:
    """Refuse a file whose long texts are all the same few, written in no space at all.

    Raises:
        SourceError: It is such a file.
    """
    free = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    if n_bytes > free and n_bytes > LONG_ROW_BYTES * n_rows:
        raise SourceError(
            f"{path}: its first {n_rows:,} rows hold {n_bytes:,} bytes of text, over {MAX_RATIO} "
            "times the size of the file (decompression_bomb); name files in place of texts that "
            "long"
        )


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    n_bytes = sum(_n_bytes(column) for column in batch.columns)
    if n_bytes <= MAX_BATCH_BYTES or batch.num_rows <= 1:
        yield batch
        return
    rows = max(1, batch.num_rows * MAX_BATCH_BYTES // n_bytes)
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _n_bytes(column: pa.Array) -> int:
    """Return how long the text of a column is once each cell is written out."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary)
    return int(pc.sum(pc.take(lengths, column.indices)).as_py() or 0)


def texts_of(batch: pa.RecordBatch, path: Path, source: TableSource) -> list[list[str | None]]:
    """Return the declared columns as text.

    Raises:
        SourceError: A column holds no single values.
    """
    return [_as_text(path, name, batch.column(name), source) for name in source.columns]


def text_row(cells: Sequence[str | None], names: Sequence[str], file: str, row: int) -> RawRow:
    """Return a row whose cells are text already."""
    nul = next((n for n, c in zip(names, cells, strict=True) if c and "\0" in c), None)
    fault = None if nul is None else Fault("nul_byte", "a NUL in the text", nul)
    return RawRow(file, row, cells, "\x1f".join(c or "" for c in cells), fault)


def not_whole(path: Path, fault: Exception) -> SourceError:
    """Word the fault of a file that is damaged."""
    return SourceError(f"{path}: not a whole Parquet file ({fault}); write it again")


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
    elif source.columns[name] == "labels" and _is_list_of_text(kind):
        texts = _lists(column, source.label_separator)
    else:
        raise SourceError(
            f"{path}: column '{name}' is of type {kind}; expected text, numbers or times "
            "(media are named by the path of their file)"
        )
    return texts


def _is_list_of_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) and pa.types.is_string(kind.value_type))


def _lists(column: pa.Array, separator: str) -> list[str | None]:
    """Write lists of categories as cells; one that holds the separator is two, as in a CSV."""
    return [
        None if labels is None else separator.join(label for label in labels if label is not None)
        for labels in column.to_pylist()
    ]


def _moments(path: Path, name: str, column: pa.Array, source: TableSource) -> list[str | None]:
    if source.columns[name] == "time" and source.time_unit != "iso":
        raise SourceError(
            f"{path}: column '{name}' holds times, not numbers of '{source.time_unit}'; "
            "leave time_unit at iso"
        )
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.timestamp("us", column.type.tz), safe=False)
    return [None if value is None else value.isoformat() for value in column.to_pylist()]
