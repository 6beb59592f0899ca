"""Find the declared columns in the header of a table; what is not there is never guessed."""

from collections.abc import Sequence
from pathlib import Path

from tasks.collect.rows import Notes
from tasks.errors import SourceError, listing, nearest
from tasks.params.collect import TableSource

_DELIMITERS = {";": "';'", "\t": "a tab", "|": "'|'", ",": "','"}


def column_positions(
    path: Path, source: TableSource, header: Sequence[str], delimiter: str | None = None
) -> list[int]:
    """Return where each declared column stands.

    Raises:
        SourceError: A declared column is missing, or stands there twice.
    """
    for column in source.columns:
        if header.count(column) > 1:
            raise SourceError(
                f"{path}: column '{column}' stands in the header {header.count(column)} times "
                "(duplicate_column); give each column a name of its own"
            )
    missing = [column for column in source.columns if column not in header]
    if missing:
        raise missing_columns(path, missing, header, delimiter)
    return [header.index(column) for column in source.columns]


def require_same_columns(path: Path, header: Sequence[str], notes: Notes) -> None:
    """Check that a file has the columns of the source's first file, in whatever order.

    Raises:
        SourceError: It lacks some, or has others.
    """
    columns = frozenset(header)
    first, expected = notes.first_header or (path, columns)
    notes.first_header = (first, expected)
    lacks, more = sorted(expected - columns), sorted(columns - expected)
    if lacks or more:
        said = [f"lacks {listing(lacks)}"] * bool(lacks) + [f"also has {listing(more)}"] * bool(
            more
        )
        raise SourceError(
            f"{path}: its columns are not those of {first}: it {' and '.join(said)}; files of one "
            "source have the same columns, so declare a source for each kind of file"
        )


def missing_columns(
    path: Path, missing: Sequence[str], there: Sequence[str], delimiter: str | None = None
) -> SourceError:
    """Word the fault of columns that the table does not have, all of them at once."""
    columns = "1 column" if len(there) == 1 else f"{len(there)} columns"
    hint = "".join(dict.fromkeys(nearest(column, there) for column in missing[:3]))
    if delimiter is not None and len(there) == 1:
        others = [d for d in _DELIMITERS if d != delimiter and d in there[0]]
        if others:
            written = "\\t" if others[0] == "\t" else others[0]
            hint = f" {_DELIMITERS[others[0]]} seems to part the cells: write `delimiter: "
            hint += f'"{written}"`.'
    return SourceError(
        f"{path}: missing column{'s' * (len(missing) > 1)} {listing(missing)} "
        f"(found {columns}: {listing(there)}).{hint}"
    )


def require_rows(path: Path, n_rows: int) -> None:
    """Raise where a table holds no row.

    Raises:
        SourceError: There is none.
    """
    if n_rows == 0:
        raise SourceError(f"{path}: no rows; expected a table with one record at least")
