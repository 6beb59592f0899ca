"""Align: join the records of all sources, by key and by time, into one row per sample.

Reads   data/clean/records/<source>.parquet   kept records
Writes  data/align/samples.parquet            one row per sample: target and every joined column
        data/align/windows/                   windows of sensor sources, by content digest
        data/align/unmatched.parquet          records that found no partner, with the reason
        data/align/quarantine.parquet         base records that gave no sample, with the reason
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.align.assemble import (
    Records,
    RowsOf,
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
from tasks.align.clock import ClockOffset, estimate_clock_offset
from tasks.align.findings import describe_pair, describe_times, notices
from tasks.align.keys import KeyColumn, match_by_key
from tasks.align.matching import NOBODY, Match, Outcome, source_order
from tasks.align.report import AlignReport, InputReport, PairReport
from tasks.align.timestamps import NO_TIME, match_by_time, microseconds
from tasks.errors import DataError, ParamsError, listing
from tasks.params import Params
from tasks.params.align import Join, KeyJoin, TimeJoin
from tasks.samples.folders import StageFolders
from tasks.samples.media import MediaWriter
from tasks.samples.quarantine import SetAside, require_few, write_quarantine
from tasks.samples.schema import SampleSchema
from tasks.samples.tables import read_table, write_batches, write_table

READS = ("clean",)

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
    records = {
        source: read_table(folders.of("clean") / "records" / f"{source}.parquet")
        for source in (align.base, *(join.right for join in joins))
    }
    base = records[align.base]
    require_distinct_ids(base, align.base)

    joined = [match_sources(params, join, records) for join in joins]
    matches, pairs = [match for match, _ in joined], tuple(pair for _, pair in joined)
    rows = carry_to_base(align.base, base.num_rows, joins, matches)

    verdicts = judge(schema, records, rows, drop_missing_inputs=align.missing_inputs == "drop")
    if align.missing_inputs == "fail":
        require_all_inputs(schema, verdicts, base["record_id"])
    aside = list(set_aside(schema, verdicts, base, align.base))
    require_few(
        len(aside),
        base.num_rows,
        params.project.max_bad_fraction,
        f"align: records of '{align.base}'",
        verdicts.counts(),
    )
    require_inputs_somewhere(schema, verdicts)

    with MediaWriter(folders.output / "windows"):
        pass
    kept = np.flatnonzero(verdicts.is_sample)
    n_written = write_batches(
        assemble(schema, records, rows, align.base, kept),
        samples_schema(schema, records, rows),
        folders.output / "samples.parquet",
    )
    require_all_accounted_for(base.num_rows, n_written, len(aside))
    write_quarantine(aside, folders.output)
    write_table(
        unmatched_table(align.base, joins, matches, records), folders.output / "unmatched.parquet"
    )
    return describe(params, schema, records, rows, verdicts, pairs)


def match_sources(params: Params, join: Join, records: Records) -> tuple[Match, PairReport]:
    """Match the records of a join's two sources and say what came of it."""
    left, right = join.left or params.align.base, join.right
    left_on = column_of(params, join.left_on, left)
    right_on = column_of(params, join.right_on or join.left_on, right)
    if isinstance(join, KeyJoin):
        require_same_type(
            left, left_on, records[left][left_on], right, right_on, records[right][right_on]
        )
        match = match_by_key(
            _key_column(records[left], left, left_on),
            _key_column(records[right], right, right_on),
            join.relation,
        )
        return match, describe_pair(join, left, left_on, right_on, match)
    left_times = microseconds(records[left][left_on])
    right_times = microseconds(records[right][right_on])
    clock = estimated_clock(join, left_times, right_times)
    applied = clock is not None and clock.score >= join.min_clock_score
    corrected = right_times
    if clock is not None and applied:
        offset = round(clock.offset_seconds * 1e6)
        corrected = np.where(right_times == NO_TIME, NO_TIME, right_times - offset)
    match = match_by_time(
        left_times,
        corrected,
        round(join.tolerance_seconds * 1e6),
        join.direction,
        join.one_to_one,
        source_order(records[left]),
        source_order(records[right]),
    )
    found = describe_times(join, left_times, right_times, corrected, match, clock, applied)
    return match, describe_pair(join, left, left_on, right_on, match, found)


def column_of(params: Params, column: str, source: str) -> str:
    """Return the short name of a join's column, which may have been named in full.

    Raises:
        ParamsError: The full name is that of another source.
    """
    owner, short = params.full_name(column, source).split(".", 1)
    if owner != source:
        raise ParamsError(
            [f"align.joins: '{column}' is not a column of '{source}'; name one that is"]
        )
    return short


def _key_column(records: pa.Table, source: str, column: str) -> KeyColumn:
    return KeyColumn(
        f"{source}.{column}",
        records[column],
        records.select(["file", "row"]),
        source_order(records),
    )


def estimated_clock(
    join: TimeJoin, left: NDArray[np.int64], right: NDArray[np.int64]
) -> ClockOffset | None:
    """Estimate the clock offset of a join's sources, where that is asked for."""
    if not join.estimate_clock_offset:
        return None
    left, right = left[left != NO_TIME], right[right != NO_TIME]
    start = int(left[0]) if len(left) else 0  # small numbers keep their digits as floats
    return estimate_clock_offset(
        (left - start) / 1e6, (right - start) / 1e6, join.max_clock_offset_seconds
    )


def set_aside(
    schema: SampleSchema, verdicts: Verdicts, base: pa.Table, source: str
) -> Iterator[SetAside]:
    """Yield the base records that are no sample, each with its reason."""
    at = np.flatnonzero(~verdicts.is_sample)
    own = base.select(["record_id", "file", "row"]).take(at).to_pylist()
    for row, record in zip(at, own, strict=True):
        code = verdicts.codes[verdicts.reasons[row]]
        lacking = [
            spec
            for spec, there in zip(schema.inputs, verdicts.present[row], strict=True)
            if not there
        ]
        column = schema.target_column if code == "null_target" else ""
        if code == "missing_input":
            column = ", ".join(c for spec in lacking for c in input_columns(spec))
        details = {
            "null_target": f"'{schema.target_column}' has no value to learn",
            "no_inputs": "none of its inputs is there",
            "missing_input": f"lacks {listing(spec.name for spec in lacking)}",
        }
        yield SetAside(
            record["record_id"], source, record["file"], record["row"], column, code,
            details[code], "",
        )  # fmt: skip


def unmatched_table(
    base: str, joins: list[Join], matches: list[Match], records: Records
) -> pa.Table:
    """List the records of either side of each join that have no partner in it."""
    parts = [UNMATCHED_SCHEMA.empty_table()]
    for join, match in zip(joins, matches, strict=True):
        left, right = join.left or base, join.right
        for side, source, partner, outcome in (
            ("left", left, right, match.left),
            ("right", right, left, match.right),
        ):
            at = np.flatnonzero(outcome != Outcome.MATCHED)
            reasons = pa.array([each.reason for each in Outcome]).take(pa.array(outcome[at]))
            columns = [
                records[source]["record_id"].take(at),
                pa.repeat(source, len(at)),
                pa.repeat(side, len(at)),
                pa.repeat(partner, len(at)),
                reasons,
            ]
            parts.append(pa.table(columns, schema=UNMATCHED_SCHEMA))
    return pa.concat_tables(parts)


def require_distinct_ids(base: pa.Table, source: str) -> None:
    """Fail where two base records have one name, since samples are named by them."""
    n_distinct = len(base["record_id"].unique())
    if n_distinct < base.num_rows:
        raise DataError(
            f"{source}: expected a record_id of its own for each of {base.num_rows:,} records, "
            f"found {n_distinct:,} distinct ones; run `dvc repro --force collect`"
        )


def require_same_type(
    left: str,
    left_on: str,
    left_values: pa.ChunkedArray,
    right: str,
    right_on: str,
    right_values: pa.ChunkedArray,
) -> None:
    """Fail where the two sides of a key join hold values that can never be equal."""
    if left_values.type != right_values.type:
        raise ParamsError(
            [
                f"align.joins: {left}.{left_on} ({left_values.type}) and {right}.{right_on} "
                f"({right_values.type}) are of different types; declare both as 'key' in "
                "collect.sources"
            ]
        )


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
    records: Records,
    rows: RowsOf,
    verdicts: Verdicts,
    pairs: tuple[PairReport, ...],
) -> AlignReport:
    """Gather what was found into the report."""
    source, name = schema.target_column.split(".", 1)
    target = records[source][name]
    kept = rows[source][verdicts.is_sample]
    n_present = verdicts.present[verdicts.is_sample].sum(axis=0)
    by_reason = verdicts.counts()
    return AlignReport(
        n_base=len(verdicts.reasons),
        n_samples=len(kept),
        n_quarantined=sum(by_reason.values()),
        quarantine_reasons=by_reason,
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
        notices=tuple(notices(params, pairs)),
    )
