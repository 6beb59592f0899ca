"""Align: join the records of all sources, by key, by time and by windows, into one row per sample.

Reads   data/clean/records/<source>.parquet   kept records
        data/collect/media/                   what suspects are judged by
Writes  data/align/samples.parquet            one row per sample: target and every joined column
        data/align/windows/                   windows of sensor sources, by content digest
        data/align/unmatched.parquet          records that found no partner, with the reason
        data/align/fuzzy_matches.parquet      records joined by a key that is only alike
        data/align/quarantine.parquet         base records that gave no sample, with the reason
        data/align/flags.parquet              samples that look wrong and stay, with what was found
        reports/align.html                    the joins as a page
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.align.assemble import (
    Reached,
    Verdicts,
    assemble,
    carry_to_base,
    input_columns,
    joins_from_base,
    judge,
    require_all_inputs,
    require_inputs_somewhere,
    sample_schema,
    samples_schema,
)
from tasks.align.balance import target_balance
from tasks.align.findings import notices
from tasks.align.joining import FUZZY_SCHEMA, Joined, Joiner, sensors_of
from tasks.align.matching import NOBODY, Outcome
from tasks.align.page import align_page
from tasks.align.recordings import SensorRecords
from tasks.align.report import AlignReport, InputReport, SegmentsReport
from tasks.align.segments import FAULTS, Segmenter
from tasks.align.sources import Source
from tasks.align.suspects.outcome import settle_suspects, stored_media
from tasks.align.suspects.page import suspect_sections
from tasks.align.window_store import WindowStore
from tasks.errors import DataError, listing
from tasks.params import Params
from tasks.params.align import Join
from tasks.samples.folders import StageFolders, write_text
from tasks.samples.media import MediaWriter
from tasks.samples.quarantine import SetAside, require_few, write_quarantine
from tasks.samples.records import FILE, ROW, origin_column
from tasks.samples.schema import InputSpec, SampleSchema
from tasks.samples.tables import write_batches, write_table

READS = ("collect", "clean")

UNMATCHED_SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("source", pa.string()),
        ("side", pa.string()),
        ("partner", pa.string()),
        ("reason", pa.string()),
    ]
)


def run(params: Params, folders: StageFolders) -> AlignReport:
    """Join the sources; every base record becomes a sample or is set aside with its reason."""
    align, schema = params.align, sample_schema(params)
    joins = joins_from_base(align.base, align.joins)
    records = folders.of("clean") / "records"
    with (
        TemporaryDirectory(prefix=".scratch-", dir=folders.output) as scratch,
        MediaWriter(folders.output / "windows") as windows,
    ):
        store, sensors = WindowStore(windows), sensors_of(params, records)
        sources = open_sources(params, records, Path(scratch))
        base = open_base(params, schema, sources, sensors, store, Path(scratch))
        base.source.require_distinct_ids()

        joiner = Joiner(params, {**sources, align.base: base.source}, sensors, store, Path(scratch))
        joined = [joiner.join(join) for join in joins]
        reached = carry_to_base(
            base.source,
            joins,
            [one.right for one in joined],
            [one.match for one in joined],
            number_columns(params),
        )

        verdicts = judge(schema, reached, required_inputs(params, schema), base.faults)
        if align.missing_inputs == "fail":
            require_all_inputs(schema, verdicts, base.source)
        aside = list(set_aside(schema, verdicts, base.source))
        require_few(
            len(aside),
            base.source.n_records,
            params.project.max_bad_fraction,
            f"align: records of '{align.base}'",
            verdicts.counts(),
        )
        require_inputs_somewhere(schema, verdicts)

        n_written = write_batches(
            assemble(schema, reached, align.base, verdicts.is_sample),
            samples_schema(schema, reached),
            folders.output / "samples.parquet",
        )
        require_all_accounted_for(base.source.n_records, n_written, len(aside))
        write_quarantine(aside, folders.output)
        write_batches(
            unmatched(base.source, joins, joined, joiner.sources),
            UNMATCHED_SCHEMA,
            folders.output / "unmatched.parquet",
        )
        write_table(
            pa.concat_tables([FUZZY_SCHEMA.empty_table(), *(one.fuzzy for one in joined)]),
            folders.output / "fuzzy_matches.parquet",
        )
        report = describe(params, schema, reached, verdicts, joined, base)
    report, suspects = settle_suspects(params, schema, folders, report)
    clocks = {one.pair.right: one.clocks for one in joined}
    sections = suspect_sections(suspects, schema, lambda: stored_media(folders))
    page = align_page(params.project.name, report, clocks, sections)
    write_text(folders.reports / "align.html", page)
    return report


@dataclass(frozen=True)
class Base:
    """The records that become samples.

    Attributes:
        source: The records.
        faults: What cutting segments has against some: a reason, and ``(n_base,)`` whom it hits.
        segments: How recordings were cut, where they were.
    """

    source: Source
    faults: tuple[tuple[str, NDArray[np.bool_]], ...] = ()
    segments: SegmentsReport | None = None


def open_sources(params: Params, records: Path, scratch: Path) -> dict[str, Source]:
    """Open the records of the base and of every source that is joined."""
    names = (params.align.base, *(join.right for join in params.align.joins))
    found = {}
    for name in names:
        source = params.collect.source(name)
        origin = origin_column(FILE, source), origin_column(ROW, source)
        found[name] = Source(name, records / f"{name}.parquet", origin, scratch)
    return found


def open_base(
    params: Params,
    schema: SampleSchema,
    sources: Mapping[str, Source],
    sensors: Mapping[str, SensorRecords],
    store: WindowStore,
    scratch: Path,
) -> Base:
    """Return the base records, cut from recordings where the settings ask for segments."""
    align = params.align
    if align.segments is None:
        return Base(sources[align.base])
    sensor = sensors[align.base]
    is_input = any(f"{align.base}.window" in input_columns(spec) for spec in schema.inputs)
    segmenter = Segmenter(
        sensor,
        align.segments,
        store if is_input else None,
        sensor.label,
        "number" if sensor.label in sensor.channels else "category",
    )
    path = scratch / "segments.parquet"
    write_batches(segmenter.batches(), segmenter.schema, path)
    reasons = segmenter.reasons
    faults = tuple((code, reasons == i) for i, code in enumerate(FAULTS) if code)
    return Base(Source(align.base, path, (FILE, ROW), scratch), faults, segmenter.report())


def number_columns(params: Params) -> dict[str, tuple[str, ...]]:
    """Return the columns of each source that are numbers."""
    found: dict[str, tuple[str, ...]] = {}
    for source in params.collect.sources:
        found[source.name] = tuple(c for c, kind in source.columns.items() if kind == "number")
    return found


def required_inputs(params: Params, schema: SampleSchema) -> tuple[str, ...]:
    """Return the names of the inputs that a sample must have."""
    if params.align.missing_inputs == "drop":
        return tuple(spec.name for spec in schema.inputs)
    needed = {params.full_name(column) for column in params.align.required_inputs}
    return tuple(spec.name for spec in schema.inputs if needed & set(input_columns(spec)))


def set_aside(schema: SampleSchema, verdicts: Verdicts, base: Source) -> Iterator[SetAside]:
    """Yield the base records that are no sample, each with its reason."""
    start = 0
    for batch in base.batches(["record_id", *base.origin]):
        rows = start + np.flatnonzero(verdicts.reasons[start : start + batch.num_rows])
        own = batch.take(pa.array(rows - start)).to_pylist()
        start += batch.num_rows
        for row, record in zip(rows, own, strict=True):
            code = verdicts.codes[verdicts.reasons[row]]
            lacking = [
                spec
                for spec, there in zip(schema.inputs, verdicts.present[row], strict=True)
                if not there
            ]
            yield SetAside(
                record["record_id"],
                base.name,
                record[base.origin[0]],
                record[base.origin[1]],
                column_at_fault(code, schema, lacking, base),
                code,
                detail_of(code, schema, lacking),
                "",
            )


def column_at_fault(code: str, schema: SampleSchema, lacking: list[InputSpec], base: Source) -> str:
    """Name the columns that a record is set aside for."""
    if code in ("null_target", "low_agreement"):
        return schema.target_column
    if code == "low_coverage":
        return f"{base.name}.window"
    if code == "missing_input":
        return ", ".join(column for spec in lacking for column in input_columns(spec))
    return ""


def detail_of(code: str, schema: SampleSchema, lacking: list[InputSpec]) -> str:
    """Say in words why a record is set aside."""
    return {
        "null_target": f"'{schema.target_column}' has no value to learn",
        "no_inputs": "none of its inputs is there",
        "missing_input": f"lacks {listing(spec.name for spec in lacking)}",
        "low_coverage": "too few of its steps have readings near enough "
        "(align.segments.min_coverage, tolerance_seconds)",
        "low_agreement": "too few of its readings have the same label "
        "(align.segments.min_agreement)",
    }[code]


def unmatched(
    base: Source, joins: list[Join], joined: list[Joined], sources: Mapping[str, Source]
) -> Iterator[pa.RecordBatch]:
    """List the records of either side of each join that have no partner in it.

    Readings that lie in no window are only counted: they are many, and none was to be a sample.
    """
    for join, one in zip(joins, joined, strict=True):
        left = join.left or base.name
        yield from _without_partner(sources[left], one.match.left, "left", join.right)
        if join.on != "window":
            yield from _without_partner(sources[join.right], one.match.right, "right", left)


def _without_partner(
    source: Source, outcome: NDArray[np.int8], side: str, partner: str
) -> Iterator[pa.RecordBatch]:
    codes, start = pa.array([each.reason for each in Outcome]), 0
    for batch in source.batches(["record_id"]):
        own = outcome[start : start + batch.num_rows]
        at = np.flatnonzero(own != Outcome.MATCHED)
        start += batch.num_rows
        columns = [
            batch.column(0).take(pa.array(at)),
            pa.repeat(source.name, len(at)),
            pa.repeat(side, len(at)),
            pa.repeat(partner, len(at)),
            codes.take(pa.array(own[at])),
        ]
        yield pa.record_batch(columns, schema=UNMATCHED_SCHEMA)


def require_all_accounted_for(n_base: int, n_samples: int, n_aside: int) -> None:
    """Fail where samples and records set aside do not add up to the base records."""
    if n_samples + n_aside != n_base:
        raise DataError(
            f"align: {n_base:,} base records gave {n_samples:,} samples and {n_aside:,} set aside; "
            "this is a fault of the stage, please report it"
        )


def describe(
    params: Params,
    schema: SampleSchema,
    reached: Mapping[str, Reached],
    verdicts: Verdicts,
    joined: list[Joined],
    base: Base,
) -> AlignReport:
    """Gather what was found into the report."""
    source, name = schema.target_column.split(".", 1)
    target = reached[source].source.column(name)
    kept = reached[source].rows[verdicts.is_sample]
    n_present = verdicts.present[verdicts.is_sample].sum(axis=0)
    by_reason = verdicts.counts()
    pairs = tuple(one.pair for one in joined)
    return AlignReport(
        n_base=len(verdicts.reasons),
        n_samples=len(kept),
        n_quarantined=sum(by_reason.values()),
        quarantine_reasons=by_reason,
        segments=base.segments,
        pairs=pairs,
        inputs=tuple(
            InputReport(
                name=spec.name,
                modality=spec.modality,
                n_present=int(n),
                n_missing=len(kept) - int(n),
            )
            for spec, n in zip(schema.inputs, n_present, strict=True)
        ),
        target=schema.target_column,
        target_before=target_balance(target),
        target_after=target_balance(target.take(kept[kept != NOBODY])),
        notices=tuple(notices(params, pairs, base.segments)),
    )
