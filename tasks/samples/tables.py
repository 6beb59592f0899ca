"""The only code that knows how tables lie on disk: Parquet, typed, zstd, page checksums.

Readers map the file and do not buffer it whole, so a table of any length streams in the memory of
one batch; checksums are verified on the way, since Parquet otherwise reads a flipped bit in
silence.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import DataError

BATCH_ROWS = 4096
ROW_GROUP_ROWS = 65_536


def open_table(path: Path) -> pq.ParquetFile:
    """Open a Parquet file for streaming.

    Raises:
        DataError: There is no such file, or it is damaged.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such table; run the stage that writes it")
    try:
        return pq.ParquetFile(
            path, memory_map=True, pre_buffer=False, page_checksum_verification=True
        )
    except pa.ArrowInvalid as fault:
        raise DataError(
            f"{path}: not a readable Parquet file ({fault}); run its stage again"
        ) from None


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a whole table, or some columns of it.

    Raises:
        DataError: There is no such file, or a page of it is damaged.
    """
    try:
        return open_table(path).read(columns=columns)
    except PermissionError:
        raise
    except OSError as fault:
        raise DataError(f"{path}: damaged ({fault}); run its stage again") from None


def iter_batches(
    path: Path, columns: list[str] | None = None, rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """Stream a table in batches of at most ``rows`` rows."""
    try:
        yield from open_table(path).iter_batches(batch_size=rows, columns=columns)
    except PermissionError:
        raise
    except OSError as fault:
        raise DataError(f"{path}: damaged ({fault}); run its stage again") from None


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table; the file appears whole or not at all."""
    write_batches(table.to_batches(max_chunksize=ROW_GROUP_ROWS), table.schema, path)


def write_batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path) -> int:
    """Stream batches into a table and return how many rows there were.

    The file appears whole or not at all; what stood under its name before stays until then.
    """
    n_rows = 0
    with table_writer(schema, path) as write:
        for batch in batches:
            write(batch)
            n_rows += batch.num_rows
    return n_rows


@contextmanager
def table_writer(schema: pa.Schema, path: Path) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """Give a function that adds a batch to a table, which appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with pq.ParquetWriter(
            unfinished, schema, compression="zstd", write_page_checksum=True
        ) as writer:
            yield lambda batch: writer.write_batch(batch, row_group_size=ROW_GROUP_ROWS)
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
