"""Sources of kind ``table``: one record a row, in one file or several of one shape."""

from collections.abc import Iterator
from pathlib import Path

import tasks.collect.readers.delimited
import tasks.collect.readers.excel
import tasks.collect.readers.jsonl
import tasks.collect.readers.parquet  # noqa: F401  (imported for what they register)
from tasks.collect.readers.unpacking import CODECS
from tasks.collect.rows import Notes, RawRow, Reader, source_kinds, table_formats
from tasks.collect.sources.table_files import files_of, format_of
from tasks.errors import PipelineError, SourceError, listing
from tasks.params.collect import AnySource, TableSource

_PACKED_ITSELF = ("parquet", "xlsx")


@source_kinds.register("table")
def read_table_source(source: AnySource, root: Path, notes: Notes) -> Iterator[RawRow]:
    """Read a table, each of its files in the format that its ending names.

    Raises:
        SourceError: No reader knows an ending, or a file has other columns than the first.
    """
    assert isinstance(source, TableSource)
    for path in files_of(root, source.path, set(table_formats), notes):
        yield from reader_of(path)(source, path, path.relative_to(root).as_posix(), notes)


def reader_of(path: Path) -> Reader:
    """Return the reader of a file.

    Raises:
        SourceError: No reader knows the ending.
    """
    name = format_of(path)
    try:
        read = table_formats.get(name)
    except PipelineError:
        raise SourceError(
            f"{path}: expected a table ending in {listing(f'.{name}' for name in table_formats)}, "
            f"found '{path.suffix}'; save it as one of these"
        ) from None
    if name in _PACKED_ITSELF and path.suffix.lower() in CODECS:
        raise SourceError(f"{path}: .{name} is compressed by itself; unpack the file")
    return read
