"""CSV and TSV, strictly: every cell is text, and a row of another width is set aside."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.collect.readers.header import (
    column_positions,
    require_rows,
    require_same_columns,
)
from tasks.collect.readers.lines import read_lines
from tasks.collect.rows import Fault, Notes, RawRow, excerpt, table_formats
from tasks.errors import SourceError
from tasks.params.collect import TableSource, WrittenCells

MAX_CELL_CHARACTERS = 16 * 2**20


@dataclass
class Place:
    """How far the reading of a file is.

    Attributes:
        path: The file.
        file: Its name relative to ``collect.root``.
        row: The last row that was read, counted from 1 without the header.
        line: The last line, counted from 1.
    """

    path: Path
    file: str
    row: int
    line: int


def parts_of(lines: Iterator[str], delimiter: str) -> tuple["_Recorded", Iterator[list[str]]]:
    """Return lines that are remembered until they are a row, and what parts them into cells."""
    recorded = _Recorded(lines)
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    return recorded, csv.reader(recorded, delimiter=delimiter, strict=True)


class _Recorded:
    """Lines on their way to the parser; remembers those of the row at hand."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.taken: list[str] = []
        self.n_lines = 0

    def __iter__(self) -> "_Recorded":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken.append(line)
        self.n_lines += 1
        return line

    def take(self) -> str:
        """Return the row's lines and forget them."""
        raw = self.taken[0] if len(self.taken) == 1 else "".join(self.taken)
        self.taken = []
        return raw.rstrip("\r\n")


@table_formats.register("csv")
def read_csv(source: TableSource, path: Path, file: str, notes: Notes) -> Iterator[RawRow]:
    """Read comma-separated values, or those of another delimiter."""
    return read_delimited(source, path, file, notes, source.delimiter)


@table_formats.register("tsv")
def read_tsv(source: TableSource, path: Path, file: str, notes: Notes) -> Iterator[RawRow]:
    """Read tab-separated values."""
    return read_delimited(source, path, file, notes, delimiter_of(source, "tsv"))


def delimiter_of(source: WrittenCells, ending: str) -> str:
    """Return what parts the cells: a tab in a .tsv file where nothing is declared."""
    declared = "delimiter" in source.model_fields_set
    return "\t" if ending == "tsv" and not declared else source.delimiter


def read_delimited(
    source: TableSource, path: Path, file: str, notes: Notes, delimiter: str
) -> Iterator[RawRow]:
    """Read a delimited table.

    Raises:
        SourceError: The header does not fit, a quote is never closed, or there are no rows.
    """
    lines, parser = parts_of(read_lines(path, source.encoding, newline=""), delimiter)
    header = header_of(path, parser, lines)
    positions = column_positions(path, source, header, delimiter)
    notes.saw_unused(name for name in header if name and name not in source.columns)
    require_same_columns(path, header, notes)
    place = Place(path, file, 0, lines.n_lines)
    yield from rows_of(lines, parser, len(header), positions, place, notes)
    require_rows(path, place.row)


def rows_of(
    lines: "_Recorded",
    parser: Iterator[list[str]],
    width: int,
    positions: Sequence[int],
    place: Place,
    notes: Notes,
) -> Iterator[RawRow]:
    """Part lines into rows, and say of each that is none why.

    Args:
        lines: The lines, the header taken already.
        parser: Parts them.
        width: Cells that a row should have.
        positions: Which of them to take.
        place: What stands before the lines; it moves on with them.
        notes: Told of blank lines.

    Raises:
        SourceError: A quote is never closed.
    """
    before = place.line - lines.n_lines
    while True:
        opened = before + lines.n_lines + 1
        try:
            cells = next(parser)
        except StopIteration:
            break
        except csv.Error as fault:
            at_end = "end of data" in str(fault) or "limit" in str(fault)
            if before + lines.n_lines != opened or at_end:
                raise _unclosed_quote(place.path, opened, fault) from None
            place.row += 1
            wrong = Fault("bad_quotes", f"line {opened}: {fault}")
            yield RawRow(place.file, place.row, (), lines.take(), wrong)
            continue
        finally:
            place.line = before + lines.n_lines
        raw = lines.take()
        if not cells:
            notes.blank_lines += 1
            continue
        place.row += 1
        if len(cells) != width:
            wrong = _misfit(opened, len(cells), width, raw)
            yield RawRow(place.file, place.row, (), raw, wrong)
        elif "\0" in raw:
            wrong = Fault("nul_byte", f"line {opened}: {excerpt(raw)}")
            yield RawRow(place.file, place.row, (), raw, wrong)
        else:
            yield RawRow(place.file, place.row, [cells[i] for i in positions], raw)


def header_of(path: Path, parser: Iterator[list[str]], lines: _Recorded) -> list[str]:
    """Return the first line that is not blank.

    Raises:
        SourceError: There is none, or a quote in it is never closed.
    """
    try:
        header = next((cells for cells in parser if cells), None)
    except csv.Error as fault:
        raise _unclosed_quote(path, 1, fault) from None
    if header is None:
        raise SourceError(f"{path}: no rows; the file is empty, expected a header and records")
    lines.take()
    return header


def _misfit(line: int, found: int, expected: int, raw: str) -> Fault:
    reason = "extra_fields" if found > expected else "missing_fields"
    return Fault(reason, f"line {line}: {found} cells for {expected} columns: {excerpt(raw)}")


def _unclosed_quote(path: Path, line: int, fault: csv.Error) -> SourceError:
    return SourceError(
        f"{path}:{line}: a quote that opens in this row is not closed as it should be ({fault}); "
        "close it, or double each quote that belongs to the text"
    )
