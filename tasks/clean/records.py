"""Clean the records of one source, a batch at a time."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.clean.duplicates import first_of_same, row_digests
from tasks.clean.media import MediaKind, MediaVerdicts
from tasks.clean.texts import is_blank, n_changed, normalised
from tasks.params.clean import CleanParams
from tasks.params.collect import AnySource
from tasks.samples.progress import Advance
from tasks.samples.quarantine import SetAside
from tasks.samples.records import FILE, RECORD_ID, ROW, origin_column
from tasks.samples.tables import iter_batches, open_table, write_batches

MAX_LABELS = 10_000
MAX_FLAGGED = 3


class Fault(NamedTuple):
    """Why a record cannot be used; the digest is that of the medium at fault."""

    column: str
    reason: str
    detail: str
    digest: str = ""


@dataclass
class Cleaned:
    """What became of the records of a source.

    Attributes:
        n_records: Records that were read.
        n_kept: Records that were written.
        set_aside: All the others.
        changed: For each column, how many values were brought to another form.
        flags: How many records have something odd that can be lived with.
        flagged: The first few of them, by flag.
        labels: The values of each category column, as long as they are few.
    """

    n_records: int = 0
    n_kept: int = 0
    set_aside: list[SetAside] = field(default_factory=list)
    changed: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    flagged: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    labels: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def clean_records(
    source: AnySource,
    collected: Path,
    path: Path,
    limits: CleanParams,
    required: Sequence[str],
    verdicts: MediaVerdicts,
    advance: Advance,
) -> Cleaned:
    """Write the usable records of a source, and return what became of all of them.

    Args:
        source: The source as it is declared.
        collected: The table that collect wrote.
        path: The table to write.
        limits: What a record must keep to.
        required: Columns of this source that may not be empty.
        verdicts: Decodes the media that the records name.
        advance: Told of records that are done.
    """
    result = Cleaned()
    compared = [name for name in source.columns if name != source.id]
    digests: list[NDArray[np.uint64]] = []

    def usable() -> Iterator[pa.RecordBatch]:
        for raw in iter_batches(collected):
            batch = _normalised(source, raw, result)
            faults, flags = _judged(source, batch, limits, required, verdicts)
            result.n_records += batch.num_rows
            result.set_aside.extend(_set_aside(source, batch, faults))
            _count_flags(batch, faults, flags, result)
            kept = _without(batch, list(faults))
            if compared:
                digests.append(row_digests(kept, compared))
            advance(batch.num_rows)
            yield kept

    with_duplicates = path.with_name(f".{path.name}.duplicates")
    schema = open_table(collected).schema_arrow
    result.n_kept = write_batches(usable(), schema, with_duplicates)
    all_digests = np.concatenate(digests) if digests else np.zeros(0, np.uint64)
    first = first_of_same(all_digests)
    duplicates = np.flatnonzero(first != np.arange(len(first)))
    if len(duplicates) == 0 or not limits.drop_duplicates:
        with_duplicates.replace(path)
        return result
    result.set_aside.extend(_duplicates(source, with_duplicates, duplicates, first))
    result.n_kept = write_batches(_dropping(with_duplicates, duplicates), schema, path)
    with_duplicates.unlink()
    return result


def _normalised(source: AnySource, batch: pa.RecordBatch, result: Cleaned) -> pa.RecordBatch:
    for name, kind in source.columns.items():
        if kind not in ("text", "category", "key"):
            continue
        before = batch.column(name)
        after = normalised(before, kind)
        if changed := n_changed(before, after):
            result.changed[name] += changed
            batch = batch.set_column(batch.schema.get_field_index(name), name, after)
        if kind == "category" and len(result.labels[name]) <= MAX_LABELS:
            result.labels[name].update(after.drop_null().unique().to_pylist())
    return batch


def _judged(
    source: AnySource,
    batch: pa.RecordBatch,
    limits: CleanParams,
    required: Sequence[str],
    verdicts: MediaVerdicts,
) -> tuple[dict[int, Fault], list[tuple[int, str]]]:
    """Return the first fault of each row that has one, and the rows that are merely odd."""
    faults: dict[int, Fault] = {}
    flags: list[tuple[int, str]] = []
    for name in required:
        for i in _where(pc.is_null(batch.column(name))):
            faults.setdefault(i, Fault(name, "null_value", f"'{name}' is required and empty"))
    for name, kind in source.columns.items():
        column = batch.column(name)
        if kind == "text":
            for i in _where(is_blank(column)):
                faults.setdefault(i, Fault(name, "empty_text", "nothing in it can be seen"))
            for i in _where(pc.greater(pc.utf8_length(column), limits.max_text_characters)):
                length = len(column[i].as_py())
                detail = f"{length:,} characters, more than {limits.max_text_characters:,}"
                faults.setdefault(i, Fault(name, "text_too_long", detail))
        elif kind in ("image", "audio"):
            digests = column.to_pylist()
            media: MediaKind = "image" if kind == "image" else "audio"
            for i, verdict in enumerate(verdicts.of(digests, media)):
                if verdict is None:
                    continue
                if verdict.reason:
                    faults.setdefault(i, Fault(name, verdict.reason, verdict.detail, digests[i]))
                flags.extend((i, flag) for flag, _ in verdict.flags)
    return faults, flags


def _count_flags(
    batch: pa.RecordBatch,
    faults: dict[int, Fault],
    flags: Sequence[tuple[int, str]],
    result: Cleaned,
) -> None:
    for i, flag in flags:
        if i in faults:
            continue
        result.flags[flag] += 1
        if len(result.flagged[flag]) < MAX_FLAGGED:
            result.flagged[flag].append(batch.column(RECORD_ID)[i].as_py())


def _where(mask: pa.Array) -> list[int]:
    places: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return places


def _set_aside(
    source: AnySource, batch: pa.RecordBatch, faults: dict[int, Fault]
) -> Iterator[SetAside]:
    for i in sorted(faults):
        row = batch.slice(i, 1).to_pylist()[0]
        fault = faults[i]
        yield _entry(source, row, fault)


def _entry(source: AnySource, row: dict[str, object], fault: Fault) -> SetAside:
    values = repr([row[name] for name in source.columns])
    return SetAside(
        record_id=str(row[RECORD_ID]),
        source=source.name,
        file=str(row[origin_column(FILE, source)]),
        row=int(str(row[origin_column(ROW, source)])),
        column=fault.column,
        reason=fault.reason,
        detail=fault.detail,
        sha256=fault.digest or sha256(values.encode()).hexdigest(),
    )


def _without(batch: pa.RecordBatch, places: Sequence[int]) -> pa.RecordBatch:
    if not places:
        return batch
    keep = np.ones(batch.num_rows, dtype=bool)
    keep[places] = False
    return batch.filter(pa.array(keep))


def _duplicates(
    source: AnySource,
    table: Path,
    duplicates: NDArray[np.int64],
    first: NDArray[np.int64],
) -> Iterator[SetAside]:
    """Word the fault of each record that repeats an earlier one."""
    firsts = np.unique(first[duplicates])
    name_of: dict[int, str] = {}
    for start, batch in _numbered(table):
        for place in firsts[(firsts >= start) & (firsts < start + batch.num_rows)].tolist():
            name_of[place] = batch.column(RECORD_ID)[place - start].as_py()
    for start, batch in _numbered(table):
        within = duplicates[(duplicates >= start) & (duplicates < start + batch.num_rows)]
        for place in within.tolist():
            row = batch.slice(place - start, 1).to_pylist()[0]
            detail = f"says the same as record '{name_of[int(first[place])]}'"
            yield _entry(source, row, Fault("", "duplicate", detail))


def _dropping(table: Path, places: NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
    for start, batch in _numbered(table):
        within = places[(places >= start) & (places < start + batch.num_rows)] - start
        yield _without(batch, within.tolist())


def _numbered(table: Path) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield batches, each with the place of its first row."""
    start = 0
    for batch in iter_batches(table):
        yield start, batch
        start += batch.num_rows
