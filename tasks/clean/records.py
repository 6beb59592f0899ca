"""Clean the records of one source, a batch at a time."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.clean.columns import AnyColumn
from tasks.clean.duplicates import first_of_same, row_digests
from tasks.clean.findings import (
    FLAGS_SCHEMA,
    Examples,
    Fault,
    Finding,
    WriteFlags,
    flags_batch,
    records_flagged,
    settled,
)
from tasks.clean.judging import Judge
from tasks.clean.media import MediaVerdicts
from tasks.clean.rules import Declared, Rules, rules_of
from tasks.clean.survey import fixes_of, survey
from tasks.clean.texts import changes, mended, n_changed, rewritten
from tasks.params.clean import CleanParams
from tasks.params.collect import AnySource
from tasks.samples.progress import Advance
from tasks.samples.quarantine import Quarantine, SetAside
from tasks.samples.records import FILE, RECORD_ID, ROW, origin_column
from tasks.samples.tables import iter_batches, open_table, table_writer, write_batches

MAX_TOLD = 3
MAX_SAMPLES = 6
MERGED = "merged"


@dataclass
class Cleaned:
    """What became of the records of a source.

    Attributes:
        name: Of the source.
        columns: What its columns hold.
        rules: How its records were judged.
        n_records: Records that were read.
        n_kept: Records that were written.
        reasons: All the others, by reason.
        first_aside: The first few of those with each reason.
        changed: By column: values that were brought to one form.
        fixed: By what was done (a check, or ``merged``): values that were mended.
        samples: The same: (column, before, after) of the first few.
        flags: Records with something odd that can be lived with.
        flagged: The first few of them, by flag.
        examples: Records to show, by reason or flag.
    """

    name: str
    columns: dict[str, AnyColumn]
    rules: Rules
    n_records: int = 0
    n_kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first_aside: list[SetAside] = field(default_factory=list)
    changed: Counter[str] = field(default_factory=Counter)
    fixed: Counter[str] = field(default_factory=Counter)
    samples: defaultdict[str, list[tuple[str, str, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    flags: Counter[str] = field(default_factory=Counter)
    flagged: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    examples: Examples = field(default_factory=Examples)


def clean_records(
    source: AnySource,
    collected: Path,
    path: Path,
    limits: CleanParams,
    declared: Declared,
    verdicts: MediaVerdicts,
    quarantine: Quarantine,
    write_flags: WriteFlags,
    advance: Advance,
) -> Cleaned:
    """Write the usable records of a source, and return what became of all of them.

    Args:
        source: The source as it is declared.
        collected: The table that collect wrote.
        path: The table to write.
        limits: What a record must keep to.
        declared: What the settings say of this source's columns.
        verdicts: Decodes the media that the records name.
        quarantine: Takes the records that are set aside.
        write_flags: Takes the flags of records that are kept and odd.
        advance: Told of records that are done.
    """
    columns, sensor = survey(source, collected, limits)
    result = Cleaned(source.name, columns, rules_of(columns, sensor, declared, limits))
    judge = Judge(source, result.rules, limits, verdicts)
    digests: list[NDArray[np.uint64]] = []

    def set_aside(record: dict[str, object], fault: Fault) -> None:
        entry = _entry(source, record, fault)
        quarantine.add(entry)
        result.reasons[fault.reason] += 1
        if result.reasons[fault.reason] <= MAX_TOLD:
            result.first_aside.append(entry)
        if result.examples.wants(fault.reason):
            result.examples.add(record, fault.column, fault.reason, fault.detail)

    def usable() -> Iterator[pa.RecordBatch]:
        for raw in iter_batches(collected):
            batch = _mended(source, raw, limits, result)
            faults, findings = judge.judge(batch)
            flags = settled(findings, limits.action, faults)
            result.n_records += batch.num_rows
            for row in sorted(faults):
                set_aside(batch.slice(row, 1).to_pylist()[0], faults[row])
            if flags:
                write_spooled(flags_batch(source.name, batch.column(RECORD_ID), flags))
                _count_flags(batch, flags, result)
            kept = _without(batch, list(faults))
            if declared.compared and limits.drop_duplicates:
                digests.append(row_digests(kept, declared.compared))
            advance(batch.num_rows)
            yield kept

    with_duplicates = path.with_name(f".{path.name}.duplicates")
    spooled = path.with_name(f".{path.name}.flags")
    schema = open_table(collected).schema_arrow
    with table_writer(FLAGS_SCHEMA, spooled) as write_spooled:
        result.n_kept = write_batches(usable(), schema, with_duplicates)
    first = first_of_same(np.concatenate(digests) if digests else np.zeros(0, np.uint64))
    names: list[str] = []
    for record, fault in _duplicates(with_duplicates, first):
        set_aside(record, fault)
        names.append(str(record[RECORD_ID]))
    if first:
        places = np.array(sorted(first), np.int64)
        result.n_kept = write_batches(_dropping(with_duplicates, places), schema, path)
        with_duplicates.unlink()
    else:
        with_duplicates.replace(path)
    _pass_on_flags(spooled, names, write_flags, result)
    spooled.unlink()
    return result


def _pass_on_flags(
    spooled: Path, dropped: Sequence[str], write_flags: WriteFlags, result: Cleaned
) -> None:
    """Write the flags of records that are kept; those of duplicates no longer count."""
    gone = pa.array(dropped, pa.string())
    for batch in iter_batches(spooled):
        is_gone = pc.is_in(batch.column(RECORD_ID), gone)
        if not pc.any(is_gone).as_py():
            write_flags(batch)
            continue
        write_flags(batch.filter(pc.invert(is_gone)))
        lost = batch.filter(is_gone).select([RECORD_ID, "flag"]).to_pylist()
        result.flags.subtract(flag for _, flag in {(r[RECORD_ID], r["flag"]) for r in lost})
        for row in lost:
            told = result.flagged[row["flag"]]
            if row[RECORD_ID] in told:
                told.remove(row[RECORD_ID])
    result.flags = +result.flags


def _mended(
    source: AnySource, batch: pa.RecordBatch, limits: CleanParams, result: Cleaned
) -> pa.RecordBatch:
    """Return a batch in the form that it is kept in; count what that changed."""
    fixes = fixes_of(limits)
    for name, kind in source.columns.items():
        if kind not in ("text", "category", "labels", "key"):
            continue
        before = batch.column(name)
        found = mended(before, kind, fixes)
        result.changed[name] += found.changed
        result.fixed.update(found.fixed)
        for check, samples in found.samples.items():
            _remember(result, check, name, samples)
        after = rewritten(found.column, kind, result.rules.merged.get(name, {}))
        if after is not found.column and (n_merged := n_changed(found.column, after)):
            result.fixed[MERGED] += n_merged
            _remember(result, MERGED, name, changes(found.column, after))
        if after is not before:
            batch = batch.set_column(batch.schema.get_field_index(name), name, after)
    return batch


def _remember(result: Cleaned, what: str, column: str, samples: Sequence[tuple[str, str]]) -> None:
    told = result.samples[what]
    new = [(column, *pair) for pair in samples if (column, *pair) not in told]
    told.extend(new[: MAX_SAMPLES - len(told)])


def _count_flags(batch: pa.RecordBatch, flags: Sequence[Finding], result: Cleaned) -> None:
    result.flags.update(records_flagged(flags))
    for row, column, flag, detail, _ in flags:
        if len(result.flagged[flag]) < MAX_TOLD:
            result.flagged[flag].append(batch.column(RECORD_ID)[row].as_py())
        if result.examples.wants(flag):
            result.examples.add(batch.slice(row, 1).to_pylist()[0], column, flag, detail)


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


def _duplicates(table: Path, first: dict[int, int]) -> Iterator[tuple[dict[str, object], Fault]]:
    """Yield each record that repeats an earlier one, with its fault.

    Args:
        table: The records.
        first: For the place of each that repeats, that of the first one.
    """
    if not first:
        return
    duplicates = np.array(sorted(first), np.int64)
    firsts = np.unique(np.array(list(first.values()), np.int64))
    name_of: dict[int, str] = {}
    for start, batch in _numbered(table):
        for place in firsts[(firsts >= start) & (firsts < start + batch.num_rows)].tolist():
            name_of[place] = batch.column(RECORD_ID)[place - start].as_py()
    for start, batch in _numbered(table):
        within = duplicates[(duplicates >= start) & (duplicates < start + batch.num_rows)]
        for place in within.tolist():
            detail = f"says the same as record '{name_of[first[place]]}'"
            yield batch.slice(place - start, 1).to_pylist()[0], Fault("", "duplicate", detail)


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
