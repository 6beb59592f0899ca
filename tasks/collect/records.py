"""Turn the rows of a source into typed records, a batch at a time."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.collect.cells import BadCell, Parse, Value, parser_of
from tasks.collect.identity import Identities, content_digest, occurrences, rejected_repeats
from tasks.collect.media_files import CellMedia
from tasks.collect.plausible_times import Years
from tasks.collect.remote.address import redacted
from tasks.collect.rows import Cell, Fault, Medium, RawRow, digest_of_row
from tasks.params.collect import AnySource, CellMeaning, FolderSource, WrittenCells, is_remote
from tasks.samples.progress import Advance
from tasks.samples.quarantine import Quarantine, SetAside
from tasks.samples.records import (
    FILE,
    MEDIA_TYPES,
    RECORD_ID,
    ROW,
    origin_column,
    path_column,
    records_schema,
)
from tasks.samples.tables import BATCH_ROWS, iter_batches, open_table, write_batches

BATCH_BYTES = 64 * 2**20
"""Text and media that a batch of rows may hold."""

EXAMPLES = 3
"""Records of each reason that a report shows."""


@dataclass
class Aside:
    """What was set aside of a source: counted by reason, with the first few of each.

    Attributes:
        reasons: How many records, by reason.
        first: The first few of each reason.
    """

    reasons: Counter[str] = field(default_factory=Counter)
    first: list[SetAside] = field(default_factory=list)

    @property
    def n_records(self) -> int:
        """How many records were set aside."""
        return self.reasons.total()

    def add(self, record: SetAside) -> None:
        """Count a record."""
        self.reasons[record.reason] += 1
        if self.reasons[record.reason] <= EXAMPLES:
            self.first.append(record)


@dataclass
class Collected:
    """What became of a source.

    Attributes:
        n_rows: Rows that were read.
        n_readable: Records that were written.
        set_aside: What of the others is told.
        nulls: For each column, how many records have no value in it.
        years: The years of their times.
    """

    n_rows: int = 0
    n_readable: int = 0
    set_aside: Aside = field(default_factory=Aside)
    nulls: Counter[str] = field(default_factory=Counter)
    years: Years = field(default_factory=Years)

    def put_aside(self, record: SetAside, quarantine: Quarantine) -> None:
        """Put a record into quarantine, and count it."""
        self.set_aside.add(record)
        quarantine.add(record)


def write_records(
    source: AnySource,
    read_rows: Callable[[], Iterator[RawRow]],
    media: CellMedia,
    path: Path,
    quarantine: Quarantine,
    advance: Advance,
) -> Collected:
    """Write the records of a source, and return what became of every row.

    Args:
        source: The source as it is declared.
        read_rows: Reads the source from its start; called again where names repeat.
        media: Stores the files that the records name.
        path: The table to write.
        quarantine: Where all other rows go.
        advance: Told of rows that were read.
    """
    understanding = Understanding(source, media)
    unsettled = path.with_name(f".{path.name}.unsettled")
    result = Collected()

    def batches() -> Iterator[pa.RecordBatch]:
        for chunk in _chunks(read_rows(), understanding.media_at):
            batch, set_aside = understanding.of(chunk)
            result.n_rows += len(chunk)
            for record in set_aside:
                result.put_aside(record, quarantine)
            advance(len(chunk))
            yield batch

    write_batches(batches(), understanding.schema, unsettled)
    identities = understanding.identities
    for record in _settle_names(source, read_rows, identities, unsettled, path):
        result.put_aside(record, quarantine)
    result.nulls, result.n_readable = _nulls_in(path, source)
    times = [name for name, kind in source.columns.items() if kind == "time"]
    for batch in iter_batches(path, columns=times) if times else ():
        result.years.add(batch)
    return result


def _nulls_in(path: Path, source: AnySource) -> tuple[Counter[str], int]:
    """Count nulls by column, and rows, from what a table says of itself."""
    table = open_table(path)
    nulls = Counter(dict.fromkeys(source.columns, 0))
    for group in range(table.num_row_groups):
        told = table.metadata.row_group(group)
        for i in range(told.num_columns):
            column = told.column(i)
            if column.path_in_schema in nulls and told.num_rows:  # no rows, no statistics
                nulls[column.path_in_schema] += column.statistics.null_count
    return nulls, table.metadata.num_rows


def _chunks(rows: Iterator[RawRow], media_at: Sequence[int]) -> Iterator[list[RawRow]]:
    """Take rows by the batch; a batch is shorter where the rows hold much text or media."""
    chunk, n_bytes = [], 0
    for row in rows:
        chunk.append(row)
        n_bytes += len(row.raw)
        if media_at and row.cells:
            held = (row.cells[i] for i in media_at)
            n_bytes += sum(len(cell.content) for cell in held if isinstance(cell, Medium))
        if len(chunk) == BATCH_ROWS or n_bytes > BATCH_BYTES:
            yield chunk
            chunk, n_bytes = [], 0
    if chunk:
        yield chunk


def meaning_of(source: AnySource) -> CellMeaning | None:
    """Return what says how the cells of a source are understood."""
    if isinstance(source, FolderSource):
        return source.metadata
    return source if isinstance(source, CellMeaning) else None


class Understanding:
    """Knows what the cells of one source mean."""

    def __init__(self, source: AnySource, media: CellMedia) -> None:
        self.source = source
        self.schema = records_schema(source)
        self.identities = Identities()
        self._media = media
        meaning = meaning_of(source)
        self._no_value = frozenset(source.null_values if isinstance(source, WrittenCells) else ())
        self._columns = list(source.columns)
        self.media_at = [
            i for i, name in enumerate(self._columns) if source.columns[name] in MEDIA_TYPES
        ]
        self._in_order_of_name = [self._columns.index(name) for name in sorted(self._columns)]
        self._parsers: dict[str, Parse] = {}
        for name, kind in source.columns.items():
            parse = parser_of(kind, meaning)
            if parse is not None:
                self._parsers[name] = parse

    def of(self, rows: Sequence[RawRow]) -> tuple[pa.RecordBatch, list[SetAside]]:
        """Return the readable records of some rows, and those that are set aside."""
        faults: dict[int, Fault] = {i: row.fault for i, row in enumerate(rows) if row.fault}
        cells = self._cells(rows, faults)
        texts = {name: _written(column) for name, column in cells.items()}
        contents = self._contents(texts, len(rows), faults)
        values: dict[str, list[Value | None]] = {}
        media_last = sorted(self._columns, key=lambda c: self.source.columns[c] in MEDIA_TYPES)
        for name in media_last:
            if self.source.columns[name] in MEDIA_TYPES:
                values[name] = self._stored(name, cells[name], faults)
            else:
                values[name] = self._parsed(name, texts[name], faults)

        good = [i for i in range(len(rows)) if i not in faults]
        names = self._names(rows, texts, contents)
        self.identities.add([names[i] for i in good], [contents[i] for i in good])
        columns: dict[str, Sequence[object]] = {
            RECORD_ID: [names[i] for i in good],
            origin_column(FILE, self.source): [rows[i].file for i in good],
            origin_column(ROW, self.source): [rows[i].row for i in good],
        }
        for name, kind in self.source.columns.items():
            columns[name] = [values[name][i] for i in good]
            if kind in MEDIA_TYPES:
                columns[path_column(name)] = [_shown(texts[name][i]) for i in good]
        arrays = [pa.array(columns[f.name], f.type) for f in self.schema]
        set_aside = [
            set_aside_row(self.source.name, rows[i], names[i], faults[i]) for i in sorted(faults)
        ]
        return pa.record_batch(arrays, schema=self.schema), set_aside

    def _cells(self, rows: Sequence[RawRow], faults: dict[int, Fault]) -> dict[str, Sequence[Cell]]:
        """Turn rows into columns; a cell that means "no value" becomes null."""
        nothing = (None,) * len(self._columns)
        cells = [nothing if i in faults else row.cells for i, row in enumerate(rows)]
        no_value = self._no_value
        return {
            name: [None if cell in no_value else cell for cell in column]
            for name, column in zip(self._columns, zip(*cells, strict=True), strict=True)
        }

    def _contents(
        self, texts: dict[str, Sequence[str | None]], n_rows: int, faults: dict[int, Fault]
    ) -> list[int]:
        columns = [texts[self._columns[i]] for i in self._in_order_of_name]
        contents = [0] * n_rows
        for i, cells in enumerate(zip(*columns, strict=True)):
            try:
                contents[i] = content_digest(cells)
            except UnicodeEncodeError as fault:
                detail = f"a lone surrogate, character {fault.start + 1} of the row, is no text"
                faults.setdefault(i, Fault("invalid_unicode", detail))
        return contents

    def _names(
        self,
        rows: Sequence[RawRow],
        texts: dict[str, Sequence[str | None]],
        contents: Sequence[int],
    ) -> list[str]:
        """Return the name of each record: its id, its path, or else a digest of its content."""
        ids = texts[self.source.id] if self.source.id else [row.name for row in rows]
        return [
            name if name is not None else f"{content:016x}" if row.cells else _digest_name(row)
            for row, name, content in zip(rows, ids, contents, strict=True)
        ]

    def _parsed(
        self, name: str, cells: Sequence[str | None], faults: dict[int, Fault]
    ) -> list[Value | None]:
        """Understand the cells of one column; those of rows at fault already are left alone."""
        parse = self._parsers.get(name)
        if name == self.source.id:
            for i, cell in enumerate(cells):
                if cell is None and i not in faults:
                    faults[i] = Fault("null_id", "the record has no id", name)
        if parse is None:
            return list(cells)
        values: list[Value | None] = [None] * len(cells)
        for i, cell in enumerate(cells):
            if cell is None or i in faults:
                continue
            try:
                values[i] = parse(cell)
            except BadCell as bad:
                faults[i] = Fault(bad.reason, bad.detail, name)
        return values

    def _stored(
        self, name: str, cells: Sequence[Cell], faults: dict[int, Fault]
    ) -> list[Value | None]:
        """Store the media of one column; those of rows at fault already are left alone."""
        digests: list[Value | None] = [None] * len(cells)
        named = [cell for i, cell in enumerate(cells) if isinstance(cell, str) and i not in faults]
        self._media.prepare(named)
        for i, cell in enumerate(cells):
            if cell is None or i in faults:
                continue
            try:
                digests[i] = (
                    self._media.store(cell)
                    if isinstance(cell, Medium)
                    else self._media.collect(cell)
                )
            except BadCell as bad:
                faults[i] = Fault(bad.reason, bad.detail, name)
        return digests


def _shown(written: str | None) -> str | None:
    """Return a path as it was written, an address without what may be secret."""
    return redacted(written) if written is not None and is_remote(written) else written


def _written(cells: Sequence[Cell]) -> Sequence[str | None]:
    return [cell.written if isinstance(cell, Medium) else cell for cell in cells]


def set_aside_row(source: str, row: RawRow, name: str, fault: Fault) -> SetAside:
    """Return the entry in quarantine for a row; what is no valid text is escaped."""
    return SetAside(
        record_id=_storable(name),
        source=source,
        file=_storable(row.file),
        row=row.row,
        column=fault.column,
        reason=fault.reason,
        detail=_storable(fault.detail),
        sha256=digest_of_row(row.raw),
    )


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _digest_name(row: RawRow) -> str:
    """Name a row that could not be understood by the digest of what stands in the file."""
    return digest_of_row(row.raw)[:16]


def _settle_names(
    source: AnySource,
    read_rows: Callable[[], Iterator[RawRow]],
    identities: Identities,
    unsettled: Path,
    path: Path,
) -> Iterator[SetAside]:
    """Give every record a name of its own: number equal contents, set aside repeated ids."""
    repeated = identities.repeated_names()
    if len(repeated) == 0:
        unsettled.replace(path)
        return
    schema = records_schema(source)
    if source.id is None:
        write_batches(_numbered(unsettled, identities.contents), schema, path)
    else:
        rejected = _rejected(unsettled, repeated, identities.contents)
        places = _origins(source, unsettled, rejected)
        yield from _repeats(source, read_rows, rejected, places)
        write_batches(_without(unsettled, rejected.keys()), schema, path)
    unsettled.unlink()


def _numbered(table: Path, contents: NDArray[np.uint64]) -> Iterator[pa.RecordBatch]:
    counts, start = occurrences(contents), 0
    for batch in iter_batches(table):
        names = [
            name if count == 1 else f"{name}-{count}"
            for name, count in zip(
                batch.column(RECORD_ID).to_pylist(),
                counts[start : start + batch.num_rows].tolist(),
                strict=True,
            )
        ]
        start += batch.num_rows
        at = batch.schema.get_field_index(RECORD_ID)
        yield batch.set_column(at, RECORD_ID, pa.array(names, pa.string()))


def _rejected(
    table: Path, repeated: NDArray[np.int64], contents: NDArray[np.uint64]
) -> dict[int, tuple[str, int]]:
    names = _taken(table, RECORD_ID, repeated)
    among = rejected_repeats(names, contents[repeated].tolist())
    where = repeated.tolist()
    return {where[place]: (reason, where[first]) for place, (reason, first) in among.items()}


def _taken(table: Path, column: str, places: NDArray[np.int64]) -> list[str]:
    taken: list[str] = []
    start = 0
    for batch in iter_batches(table, columns=[column]):
        within = places[(places >= start) & (places < start + batch.num_rows)] - start
        taken.extend(batch.column(column).take(pa.array(within)).to_pylist())
        start += batch.num_rows
    return taken


def _origins(
    source: AnySource, table: Path, rejected: dict[int, tuple[str, int]]
) -> dict[int, tuple[str, int]]:
    """Return the file and the row that the rejected records, and the first of each, stand in."""
    places = np.array(sorted({*rejected, *(first for _, first in rejected.values())}), np.int64)
    files = _taken(table, origin_column(FILE, source), places)
    rows = _taken(table, origin_column(ROW, source), places)
    return dict(zip(places.tolist(), zip(files, map(int, rows), strict=True), strict=True))


def _repeats(
    source: AnySource,
    read_rows: Callable[[], Iterator[RawRow]],
    rejected: dict[int, tuple[str, int]],
    origin_of: dict[int, tuple[str, int]],
) -> Iterator[SetAside]:
    """Read the rows of rejected records again, for what quarantine tells of them."""
    assert source.id is not None
    at = list(source.columns).index(source.id)
    place_of = {origin_of[place]: place for place in rejected}
    for row in read_rows():
        place = place_of.get((row.file, row.row))
        if place is None:
            continue
        reason, first = rejected[place]
        cell = row.cells[at]
        name = cell if isinstance(cell, str) else ""
        file, number = origin_of[first]
        there = f"row {number}" if file == row.file else f"row {number} of {file}"
        told = {
            "duplicate_id": f"says the same as {there}, which has the id '{name}' too",
            "conflicting_id": f"several rows have the id '{name}' and differ; the first is {there}",
        }
        yield set_aside_row(source.name, row, name, Fault(reason, told[reason], source.id))


def _without(table: Path, places: Collection[int]) -> Iterator[pa.RecordBatch]:
    start = 0
    rejected = np.array(sorted(places), np.int64)
    for batch in iter_batches(table):
        keep = np.ones(batch.num_rows, dtype=bool)
        keep[rejected[(rejected >= start) & (rejected < start + batch.num_rows)] - start] = False
        start += batch.num_rows
        yield batch.filter(pa.array(keep))
