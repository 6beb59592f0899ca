"""Sources of kind ``sensor``: one record a reading, read by the block and not by the row.

A block that is all as declared is understood column by column. In any other, the rows are read one
by one, as those of a table are, and each that is at fault is set aside with its reason.
"""

import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.csv

from tasks.collect.media_files import CellMedia
from tasks.collect.readers.delimited import Place, delimiter_of, header_of, parts_of, rows_of
from tasks.collect.readers.header import column_positions, require_rows, require_same_columns
from tasks.collect.readers.lines import MAX_LINE_CHARACTERS, open_text, too_long
from tasks.collect.readers.parquet import not_whole, open_parquet, text_row
from tasks.collect.readers.parquet import texts_of as parquet_texts
from tasks.collect.records import Collected, Understanding
from tasks.collect.rows import Cell, Fault, Notes, RawRow, table_formats
from tasks.collect.sources.readings import understood
from tasks.collect.sources.table import reader_of
from tasks.collect.sources.table_files import files_of, format_of
from tasks.errors import SourceError
from tasks.params.collect import ColumnType, SensorSource, TableSource, WrittenCells
from tasks.samples.progress import Advance
from tasks.samples.quarantine import Quarantine, SetAside
from tasks.samples.records import records_schema
from tasks.samples.tables import BATCH_ROWS, write_batches

BLOCK_CHARACTERS = 2**20
FEW_LINES = 128
"""A block with a fault is cut in parts of this size before its rows are read one by one."""

_PARQUET_ROWS = 65_536
_CUT = 8

Readings = tuple[pa.RecordBatch, list[SetAside]]


def write_readings(
    source: SensorSource,
    root: Path,
    media: CellMedia,
    path: Path,
    quarantine: Quarantine,
    notes: Notes,
    advance: Advance,
) -> Collected:
    """Write the readings of a source, and return what became of every row.

    Raises:
        SourceError: A file cannot be read as declared, or two would be one recording.
    """
    result = Collected(nulls=Counter(dict.fromkeys(source.columns, 0)))
    understanding = Understanding(source, media)

    def batches() -> Iterator[pa.RecordBatch]:
        for file, series in series_files(source, root, notes):
            for batch, set_aside in _File(source, root, file, series, understanding, notes).read():
                for record in set_aside:
                    result.put_aside(record, quarantine)
                result.n_readable += batch.num_rows
                result.n_rows += batch.num_rows + len(set_aside)
                result.nulls.update({n: batch.column(n).null_count for n in source.columns})
                result.years.add(batch)
                advance(batch.num_rows + len(set_aside))
                yield batch

    write_batches(batches(), records_schema(source), path)
    return result


def series_files(source: SensorSource, root: Path, notes: Notes) -> list[tuple[Path, str]]:
    """Return the files of a source, each with the name of the recording it holds.

    Raises:
        SourceError: Two files would have one name.
    """
    files = files_of(root, source.path, set(table_formats), notes)
    names = series_names(files)
    if source.series is None and (twice := [n for n, count in Counter(names).items() if count > 1]):
        raise SourceError(
            f"source '{source.name}': two files would be the recording '{twice[0]}'; give each a "
            "name of its own, or name a column with `series`"
        )
    return list(zip(files, names, strict=True))


def series_names(files: Sequence[Path]) -> list[str]:
    """Name recordings after their files: by folder too where two names are alike.

    >>> series_names([Path("a/s1.csv"), Path("a/s2.csv.gz")])
    ['s1', 's2']
    >>> series_names([Path("raw/a/s1.csv"), Path("raw/b/s1.csv")])
    ['a/s1', 'b/s1']
    """
    bare = [file.with_name(_stem(file)) for file in files]
    if len({file.name for file in bare}) == len(bare):
        return [file.name for file in bare]
    folders = [file.parent.parts for file in bare]
    common = 0
    while all(len(f) > common for f in folders) and len({f[common] for f in folders}) == 1:
        common += 1
    return ["/".join(file.parts[common:]) for file in bare]


def _stem(file: Path) -> str:
    """Return a file's name without its ending and that of its compression."""
    ending = f".{format_of(file)}"
    return file.name[: file.name.lower().rindex(ending)] if ending != "." else file.name


@dataclass(frozen=True)
class _File:
    """One file of readings.

    Attributes:
        series: The recording that it holds, where no column says so.
    """

    source: SensorSource
    root: Path
    path: Path
    series: str
    understanding: Understanding
    notes: Notes

    def read(self) -> Iterator[Readings]:
        """Yield all its readings, and the rows that are set aside."""
        match format_of(self.path):
            case "csv" | "tsv":
                yield from self._delimited()
            case "parquet":
                yield from self._parquet()
            case _:
                read = reader_of(self.path)
                yield from self._one_by_one(read(self.table, self.path, self.name, self.notes))

    @cached_property
    def name(self) -> str:
        """The file relative to the root."""
        return self.path.relative_to(self.root).as_posix()

    @cached_property
    def table(self) -> TableSource:
        """The file as a table, for what reads rows one by one."""
        source = self.source
        written = set(WrittenCells.model_fields) & source.model_fields_set
        columns: dict[str, ColumnType] = {source.time: "time"}
        if source.series is not None:
            columns[source.series] = "key"
        return TableSource(
            kind="table",
            name=source.name,
            path=source.path,
            columns={**columns, **source.values},
            **source.model_dump(include=written),
        )

    @cached_property
    def prefix(self) -> str:
        """What parts the names of equal rows of several files, where a column names the series."""
        single = (self.root / self.source.path) == self.path
        return "" if single or self.source.series is None else f":{self.series}"

    def _delimited(self) -> Iterator[Readings]:
        source = self.source
        delimiter = delimiter_of(source, format_of(self.path))
        with open_text(self.path, source.encoding, newline="") as text:
            lines, parser = parts_of(iter(text.readline, ""), delimiter)
            header = header_of(self.path, parser, lines)
            at = column_positions(self.path, self.table, header, delimiter)
            require_same_columns(self.path, header, self.notes)
            self.notes.saw_unused(n for n in header if n and n not in self.table.columns)
            shape = _Shape(delimiter, len(header), tuple(at), tuple(self.table.columns))
            place = Place(self.path, self.name, 0, lines.n_lines)
            yield from self._blocks(text, shape, place)
        require_rows(self.path, place.row)

    def _blocks(self, text: TextIO, shape: "_Shape", place: Place) -> Iterator[Readings]:
        rest = ""
        while more := text.read(BLOCK_CHARACTERS):
            rest += more
            cut = rest.rfind("\n") + 1
            block, rest = rest[:cut], rest[cut:]
            if not shape.has_tidy_quotes(block) or (not block and "\r" in rest):
                # A cell may go on in the next block: only a reader of rows can tell.
                yield from self._lines(_lines_of(block + rest, text), shape, place)
                return
            if len(rest) > MAX_LINE_CHARACTERS:
                raise too_long(self.path, place.line + 1)
            if block:
                yield from self._block(block, shape, place)
        if rest and shape.has_tidy_quotes(rest):
            yield from self._block(rest, shape, place)
        elif rest:
            yield from self._lines(_lines_of(rest, text), shape, place)

    def _block(self, block: str, shape: "_Shape", place: Place) -> Iterator[Readings]:
        n_lines = block.count("\n") + (not block.endswith("\n"))
        columns = shape.columns_of(block, n_lines, self.source)
        batch = None if columns is None else self._understood(columns, place.row + 1)
        if batch is not None:
            place.row += n_lines
            place.line += n_lines
            yield batch, []
        elif n_lines <= FEW_LINES:
            yield from self._lines(io.StringIO(block, newline=""), shape, place)
        else:
            for part in _parts(block, -(-n_lines // _CUT)):
                yield from self._block(part, shape, place)

    def _lines(self, lines: Iterator[str], shape: "_Shape", place: Place) -> Iterator[Readings]:
        recorded, parser = parts_of(lines, shape.delimiter)
        rows = rows_of(recorded, parser, shape.width, shape.positions, place, self.notes)
        yield from self._one_by_one(rows)

    def _parquet(self) -> Iterator[Readings]:
        wanted, row = list(self.table.columns), 0
        try:
            header, batches = open_parquet(self.path, wanted, _PARQUET_ROWS)
            column_positions(self.path, self.table, header)
            require_same_columns(self.path, header, self.notes)
            self.notes.saw_unused(n for n in header if n not in self.table.columns)
            for batch in batches:
                columns = {name: batch.column(name) for name in wanted}
                readings = self._understood(columns, row + 1)
                if readings is not None:
                    yield readings, []
                else:
                    cells = zip(*parquet_texts(batch, self.path, self.table), strict=True)
                    yield from self._one_by_one(
                        text_row(one, wanted, self.name, number)
                        for number, one in enumerate(cells, row + 1)
                    )
                row += batch.num_rows
        except (pa.ArrowInvalid, OSError) as fault:
            raise not_whole(self.path, fault) from None
        require_rows(self.path, row)

    def _understood(self, columns: dict[str, pa.Array], first_row: int) -> pa.RecordBatch | None:
        if self.source.series is None:
            n_rows = len(columns[self.source.time])
            series = prefix = pa.repeat(pa.scalar(self.series), n_rows)
        else:
            series = columns[self.source.series]
            if not pa.types.is_string(series.type):
                return None
            prefix = pa.compute.binary_join_element_wise(series, self.prefix, "")
        return understood(self.source, columns, series, prefix, self.name, first_row)

    def _one_by_one(self, rows: Iterator[RawRow]) -> Iterator[Readings]:
        readings = map(self._reading, rows)
        users = {"time": self.source.time, "series": self.source.series or "series"}
        while chunk := list(islice(readings, BATCH_ROWS)):
            batch, set_aside = self.understanding.of(chunk)
            yield batch, [replace(r, column=users.get(r.column, r.column)) for r in set_aside]

    def _reading(self, row: RawRow) -> RawRow:
        """Turn a row of the file into one with the columns of the source."""
        name = f"{self.series}:{row.row}"
        if row.fault:
            return row._replace(name=name)
        cells = dict(zip(self.table.columns, row.cells, strict=True))
        time = cells[self.source.time]
        series: Cell = cells[self.source.series] if self.source.series else self.series
        fault = None
        if series is None or (self.source.series and series in self.source.null_values):
            fault = Fault("null_series", "nothing says which recording it is of", "series")
        elif time is None or time in self.source.null_values:
            fault = Fault("null_time", "the reading has no time", "time")
        else:
            name = f"{series}{self.prefix}:{row.row}"
        taken = () if fault else (time, series, *(cells[value] for value in self.source.values))
        return row._replace(cells=taken, fault=fault, name=name)


@dataclass(frozen=True)
class _Shape:
    """How the lines of a delimited file are parted.

    Attributes:
        positions: Where the columns stand that are taken.
        names: What these are called.
    """

    delimiter: str
    width: int
    positions: tuple[int, ...]
    names: tuple[str, ...]

    @cached_property
    def _quoted(self) -> re.Pattern[str]:
        part = re.escape(self.delimiter)
        return re.compile(rf'(?:^|(?<={part}))"[^"\r\n]*"(?={part}|\r?$)', re.MULTILINE)

    def has_tidy_quotes(self, block: str) -> bool:
        """Tell whether each quote is at the edge of a cell that ends in its line."""
        return '"' not in block or '"' not in self._quoted.sub("", block)

    def columns_of(
        self, block: str, n_lines: int, source: SensorSource
    ) -> dict[str, pa.Array] | None:
        """Part a block into columns; None where a line is blank, or no row of this width."""
        block = block.replace("\r\n", "\n") if "\r" in block else block
        if block.startswith("\n") or "\n\n" in block or "\r" in block or "\0" in block:
            return None
        misfits = []

        def misfit(row: pyarrow.csv.InvalidRow) -> str:
            misfits.append(row)
            return "skip"

        kinds = {
            str(at): pa.float64() if source.values.get(name) == "number" else pa.string()
            for at, name in zip(self.positions, self.names, strict=True)
        }
        content = block.encode()
        try:
            table = pyarrow.csv.read_csv(
                pa.py_buffer(content),
                pyarrow.csv.ReadOptions(
                    use_threads=False,
                    block_size=len(content) + 1,
                    column_names=[str(i) for i in range(self.width)],
                ),
                pyarrow.csv.ParseOptions(
                    delimiter=self.delimiter,
                    quote_char='"' if '"' in block else False,
                    invalid_row_handler=misfit,
                ),
                pyarrow.csv.ConvertOptions(
                    check_utf8=False,
                    include_columns=list(kinds),
                    column_types=kinds,
                    null_values=list(source.null_values),
                    strings_can_be_null=True,
                ),
            ).combine_chunks()
        except pa.ArrowInvalid:
            return None
        if misfits or table.num_rows != n_lines:
            return None
        (batch,) = table.to_batches()
        return {n: batch.column(str(at)) for at, n in zip(self.positions, self.names, strict=True)}


def _lines_of(beginning: str, text: TextIO) -> Iterator[str]:
    """Yield the lines of what was read already and of what follows."""
    yield from io.StringIO(beginning + text.readline(), newline="")
    yield from iter(text.readline, "")


def _parts(block: str, n_lines: int) -> Iterator[str]:
    lines = iter(io.StringIO(block, newline="\n"))
    while part := "".join(islice(lines, n_lines)):
        yield part
