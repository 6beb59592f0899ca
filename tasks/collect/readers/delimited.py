"""CSV and TSV, strictly: every cell is text, and a row of another width is set aside."""

import csv
from collections.abc import Iterator
from pathlib import Path

from tasks.collect.readers.header import column_positions, require_rows
from tasks.collect.readers.lines import read_lines
from tasks.collect.rows import Fault, Notes, RawRow, excerpt, table_formats
from tasks.errors import SourceError
from tasks.params.collect import TableSource

MAX_CELL_CHARACTERS = 16 * 2**20


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
    delimiter = source.delimiter if "delimiter" in source.model_fields_set else "\t"
    return read_delimited(source, path, file, notes, delimiter)


def read_delimited(
    source: TableSource, path: Path, file: str, notes: Notes, delimiter: str
) -> Iterator[RawRow]:
    """Read a delimited table.

    Raises:
        SourceError: The header does not fit, a quote is never closed, or there are no rows.
    """
    lines = _Recorded(read_lines(path, source.encoding, newline=""))
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    parser = csv.reader(lines, delimiter=delimiter, strict=True)
    header = _header(path, parser, lines)
    positions = column_positions(path, source, header, delimiter)
    notes.unused_columns = tuple(name for name in header if name and name not in source.columns)
    width, row = len(header), 0
    while True:
        opened = lines.n_lines + 1
        try:
            cells = next(parser)
        except StopIteration:
            break
        except csv.Error as fault:
            if lines.n_lines != opened or "end of data" in str(fault) or "limit" in str(fault):
                raise _unclosed_quote(path, opened, fault) from None
            row += 1
            yield RawRow(
                file, row, (), lines.take(), Fault("bad_quotes", f"line {opened}: {fault}")
            )
            continue
        raw = lines.take()
        if not cells:
            notes.blank_lines += 1
            continue
        row += 1
        if len(cells) != width:
            yield RawRow(file, row, (), raw, _misfit(opened, len(cells), width, raw))
        elif "\0" in raw:
            yield RawRow(file, row, (), raw, Fault("nul_byte", f"line {opened}: {excerpt(raw)}"))
        else:
            yield RawRow(file, row, [cells[i] for i in positions], raw)
    require_rows(path, row)


def _header(path: Path, parser: Iterator[list[str]], lines: _Recorded) -> list[str]:
    """Return the first line that is not blank."""
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
