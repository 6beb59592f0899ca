"""What a table of records looks like: where each record came from, then the user's own columns.

Every stage from collect to align reads these tables. An image or audio column holds the digest of
the medium, and a column ``<name>.path`` beside it the path as the user wrote it.
"""

import pyarrow as pa

from tasks.params.collect import AnySource, ColumnType

RECORD_ID = "record_id"
FILE = "file"
ROW = "row"

MEDIA_TYPES: tuple[ColumnType, ...] = ("image", "audio")

_ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "text": pa.string(),
    "category": pa.string(),
    "labels": pa.string(),
    "key": pa.string(),
    "number": pa.float64(),
    "time": pa.timestamp("us", tz="UTC"),
    "image": pa.string(),
    "audio": pa.string(),
}


def records_schema(source: AnySource) -> pa.Schema:
    """Return the schema of a source's records."""
    fields = [
        (RECORD_ID, pa.string()),
        (origin_column(FILE, source), pa.string()),
        (origin_column(ROW, source), pa.int64()),
    ]
    for name, kind in source.columns.items():
        fields.append((name, _ARROW_TYPES[kind]))
        if kind in MEDIA_TYPES:
            fields.append((path_column(name), pa.string()))
    return pa.schema(fields)


def origin_column(name: str, source: AnySource) -> str:
    """Return where a record's file or row is kept: beside a column of the user's of that name.

    >>> from tasks.params.collect import FolderSource
    >>> folder = FolderSource(kind="folder", name="photos", path="photos", modality="image")
    >>> origin_column("file", folder), origin_column("row", folder)
    ('source_file', 'row')
    """
    return f"source_{name}" if name in source.columns else name


def path_column(column: str) -> str:
    """Return the column with the path that the user wrote for a medium."""
    return f"{column}.path"
