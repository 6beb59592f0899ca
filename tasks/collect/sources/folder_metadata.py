"""The table in a folder that says more of its files; neither side is left over in silence."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tasks.collect.cells import BadCell
from tasks.collect.media_files import resolve_inside
from tasks.collect.rows import Cell, Fault, Notes, RawRow, excerpt
from tasks.collect.sources.table import reader_of
from tasks.errors import SourceError
from tasks.params.collect import FolderSource, TableSource


@dataclass
class Metadata:
    """What the rows of the table say, by the file that each names.

    Attributes:
        table: The table, relative to ``collect.root``.
        rows: By file, the row that names it; several where there are more.
        bad: Rows that name no file of the folder, and why.
    """

    table: str
    rows: dict[str, list[tuple[RawRow, tuple[Cell, ...]]]] = field(default_factory=dict)
    bad: list[RawRow] = field(default_factory=list)
    _asked: set[str] = field(default_factory=set)

    def of(self, path: Path) -> tuple[Cell, ...] | Fault:
        """Return the cells for a file, or why there are none that it could take."""
        name = os.path.normpath(path)
        rows = self.rows.get(name)
        self._asked.add(name)
        if rows is None:
            return Fault("no_metadata", f"no row of {self.table} names the file", "file")
        if len(rows) > 1:
            numbers = ", ".join(str(row.row) for row, _ in rows[:5])
            return Fault(
                "conflicting_metadata", f"rows {numbers} of {self.table} name this file", "file"
            )
        return rows[0][1]

    def unused_rows(self) -> Iterator[RawRow]:
        """Yield the rows that no file took."""
        yield from self.bad
        for name, rows in self.rows.items():
            if name not in self._asked:
                for row, _ in rows:
                    detail = f"the folder has no file {excerpt(Path(name).name)} that is listed"
                    yield row._replace(cells=(), fault=Fault("missing_file", detail, "file"))


def read_metadata(source: FolderSource, root: Path, notes: Notes) -> Metadata:
    """Read the metadata of a folder.

    Raises:
        SourceError: The table is not there, or lacks a column.
    """
    declared = source.metadata
    assert declared is not None
    path = root / source.path / declared.path
    name = Path(os.path.normpath(path.relative_to(root))).as_posix()
    try:
        resolve_inside(Path(os.path.realpath(root)), name)
    except BadCell as bad:
        raise SourceError(f"source '{source.name}': {bad.reason}: {bad.detail}") from None
    if not path.is_file():
        raise SourceError(
            f"source '{source.name}': there is no file {path}; metadata.path is the table's path "
            "relative to the folder"
        )
    table = TableSource(
        kind="table",
        name=source.name,
        path=name,
        columns={declared.file_column: "key", **declared.columns},
        **declared.model_dump(exclude={"path", "columns", "file_column"}, exclude_unset=True),
    )
    found = Metadata(name)
    no_value = frozenset(table.null_values)
    for row in reader_of(path)(table, path, name, notes):
        row = row._replace(name=f"{name}:{row.row}")
        if row.fault:
            found.bad.append(row)
            continue
        cells = dict(zip(table.columns, row.cells, strict=True))
        file = cells[declared.file_column]
        if not isinstance(file, str) or file in no_value:
            fault = Fault("null_id", "the row names no file", declared.file_column)
            found.bad.append(row._replace(cells=(), fault=fault))
            continue
        more = tuple(None if cells[n] in no_value else cells[n] for n in declared.columns)
        found.rows.setdefault(os.path.normpath(path.parent / file), []).append((row, more))
    return found
