"""Excel workbooks, streamed: each cell as the text that a person reads in it."""

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from itertools import repeat
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from tasks.collect.readers.header import column_positions, require_rows, require_same_columns
from tasks.collect.readers.unpacking import FREE_BYTES, MAX_RATIO
from tasks.collect.rows import Fault, Notes, RawRow, table_formats
from tasks.errors import SourceError, listing, nearest
from tasks.params.collect import TableSource

MAX_UNPACKED_BYTES = 2 * 2**30

_ALL_ZEROS = re.compile(r"0{2,}")
_FAULTS = (KeyError, ValueError, TypeError, zipfile.BadZipFile, ParseError, EOFError, zlib.error)
"""What openpyxl raises where a workbook is not as it should be."""


@table_formats.register("xlsx")
def read_xlsx(source: TableSource, path: Path, file: str, notes: Notes) -> Iterator[RawRow]:
    """Read a sheet of a workbook; a formula is the value that was saved with it.

    Raises:
        SourceError: openpyxl is not installed, the file is no workbook, unpacks to absurdly much,
            or holds several sheets and none is named.
    """
    _require_believable(path)
    header: list[str] | None = None
    positions: list[int] = []
    row = 0
    for cells, formulas in zip(_rows(path, source), _formulas(path, source), strict=False):
        texts = [_text(cell) for cell in cells]
        if not any(texts):
            notes.blank_lines += 1
            continue
        if header is None:
            header = _without_blank_end(texts)
            positions = column_positions(path, source, header)
            notes.saw_unused(name for name in header if name and name not in source.columns)
            require_same_columns(path, header, notes)
            continue
        row += 1
        texts += [None] * (len(header) - len(texts))
        raw = "\x1f".join(text or "" for text in texts)
        fault = _fault_of(cells, texts, header, positions)
        if fault is None:
            notes.counts["formulas without a saved value, read as no value"] += sum(
                i < len(formulas) and texts[i] is None and _is_formula(formulas[i])
                for i in positions
            )
        yield RawRow(file, row, () if fault else [texts[i] for i in positions], raw, fault)
    notes.counts = +notes.counts
    if header is None:
        raise SourceError(f"{path}: no rows; the sheet is empty, expected a header and records")
    require_rows(path, row)


def _require_believable(path: Path) -> None:
    """Check what a workbook unpacks to before any of it is unpacked.

    Raises:
        SourceError: It is no workbook, or unpacks to more than tables do.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            n_bytes = sum(member.file_size for member in packed.infolist())
    except (zipfile.BadZipFile, EOFError):
        raise SourceError(
            f"{path}: not an Excel workbook of the kind .xlsx (one with a password, or an older "
            ".xls, is not read); save it as .xlsx without a password, or as .csv"
        ) from None
    if n_bytes > min(MAX_UNPACKED_BYTES, max(FREE_BYTES, MAX_RATIO * path.stat().st_size)):
        raise SourceError(
            f"{path}: unpacks to {n_bytes:,} bytes, absurdly much for its size "
            "(decompression_bomb); save the sheet as .csv"
        )


@contextmanager
def _workbook(path: Path, saved_values: bool = True) -> Iterator[Any]:
    """Open a workbook for streaming.

    Raises:
        SourceError: openpyxl is not installed, or the file is damaged.
    """
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise SourceError(
            f"{path}: Excel workbooks need the package openpyxl; `pip install openpyxl`, or save "
            "the sheet as .csv"
        ) from None
    try:
        book = load_workbook(path, read_only=True, data_only=saved_values, keep_links=False)
        try:
            yield book
        finally:
            book.close()
    except _FAULTS as fault:
        raise SourceError(
            f"{path}: not a whole Excel workbook ({type(fault).__name__}: {fault}); save it again"
        ) from None


def _rows(path: Path, source: TableSource, saved_values: bool = True) -> Iterator[Sequence[Any]]:
    with _workbook(path, saved_values) as book:
        sheet = book[_sheet_name(path, source, book.sheetnames)]
        sheet.reset_dimensions()  # those that are written down are often wrong
        yield from sheet.iter_rows()


def _formulas(path: Path, source: TableSource) -> Iterator[Sequence[Any]]:
    """Return the rows once more with formulas for values; nothing where there is no formula."""
    with zipfile.ZipFile(path) as packed:
        sheets = [m for m in packed.namelist() if m.startswith("xl/worksheets/")]
        has_formulas = any(_holds(packed, sheet, b"<f") for sheet in sheets)
    return _rows(path, source, saved_values=False) if has_formulas else repeat(())


def _holds(packed: zipfile.ZipFile, member: str, wanted: bytes) -> bool:
    tail = b""
    with packed.open(member) as content:
        while block := content.read(2**20):
            if wanted in tail + block:
                return True
            tail = block[-len(wanted) :]
    return False


def _sheet_name(path: Path, source: TableSource, names: Sequence[str]) -> str:
    if source.sheet is not None and source.sheet not in names:
        raise SourceError(
            f"{path}: no sheet '{source.sheet}' (found {listing(names)})."
            f"{nearest(source.sheet, names)}"
        )
    if source.sheet is None and len(names) != 1:
        raise SourceError(
            f"{path}: {len(names)} sheets, {listing(names)}; say which one, as in "
            f"`sheet: {names[0] if names else 'Sheet1'}`"
        )
    return source.sheet or names[0]


def _is_formula(cell: Any) -> bool:
    return bool(getattr(cell, "data_type", "") == "f")


def _fault_of(
    cells: Sequence[Any], texts: Sequence[str | None], header: Sequence[str], at: Sequence[int]
) -> Fault | None:
    if len(texts) > len(header) and any(texts[len(header) :]):
        return Fault("extra_fields", f"cells to the right of the {len(header)} columns")
    for i in at:
        if i < len(cells) and cells[i].data_type == "e":
            return Fault("formula_error", f"the cell shows {cells[i].value}", header[i])
    return None


def _without_blank_end(texts: Sequence[str | None]) -> list[str]:
    width = max(i for i, text in enumerate(texts) if text) + 1
    return [text or "" for text in texts[:width]]


def _text(cell: Any) -> str | None:
    """Write a cell as a person would: whole numbers without a point, dates as ISO 8601."""
    value = cell.value
    match value:
        case None | str():
            text = value
        case bool():
            text = "true" if value else "false"
        case int() if _ALL_ZEROS.fullmatch(cell.number_format):
            text = str(value).zfill(len(cell.number_format))
        case float() if value.is_integer() and abs(value) < 1e15:
            text = str(int(value))
        case datetime() if value.time() == time() and "h" not in cell.number_format.lower():
            text = value.date().isoformat()
        case datetime() | date() | time():
            text = value.isoformat()
        case timedelta():
            text = repr(value.total_seconds())
        case _:
            text = str(value)
    return text


def header_of_workbook(path: Path) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]] | None:
    """Return the header of a workbook's first sheet, and which sheet that is among several.

    Raises:
        SourceError: It cannot be read.
    """
    _require_believable(path)
    with _workbook(path) as book:
        names = list(book.sheetnames)
    written = (("sheet", names[0]),) if len(names) > 1 else ()
    source = TableSource.model_validate(
        {"kind": "table", "name": "first", "path": path.name, "columns": {"-": "text"}}
        | dict(written)
    )
    for cells in _rows(path, source):
        texts = [_text(cell) for cell in cells]
        if any(texts):
            return tuple(name for name in _without_blank_end(texts) if name), written
    return None
