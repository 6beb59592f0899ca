"""Sources of kind ``table``: one file, one record a row."""

from collections.abc import Iterator
from pathlib import Path

import tasks.collect.readers.delimited
import tasks.collect.readers.jsonl
import tasks.collect.readers.parquet  # noqa: F401  (imported for what they register)
from tasks.collect.rows import Notes, RawRow, source_kinds, table_formats
from tasks.errors import PipelineError, SourceError, listing
from tasks.params.collect import AnySource, TableSource


@source_kinds.register("table")
def read_table_source(source: AnySource, root: Path, notes: Notes) -> Iterator[RawRow]:
    """Read a table in the format that its ending names.

    Raises:
        SourceError: No reader knows the ending.
    """
    assert isinstance(source, TableSource)
    path = root / source.path
    ending = path.suffix.lower().removeprefix(".")
    try:
        read = table_formats.get(ending)
    except PipelineError:
        raise SourceError(
            f"{path}: expected a table ending in {listing(f'.{name}' for name in table_formats)}, "
            f"found '{path.suffix}'; save it as one of these"
        ) from None
    yield from read(source, path, source.path, notes)
