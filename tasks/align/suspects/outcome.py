"""What becomes of suspects: flags beside the samples, or the quarantine; both are in the report."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.align.balance import target_balance
from tasks.align.report import AlignReport, InputReport
from tasks.align.suspects.doubts import PAIR, Doubt
from tasks.align.suspects.judging import Suspects, find_suspects, rows_at
from tasks.params import Params
from tasks.samples.folders import StageFolders
from tasks.samples.media import MediaStore, MediaStores
from tasks.samples.quarantine import FILE as QUARANTINE
from tasks.samples.quarantine import SCHEMA as QUARANTINE_SCHEMA
from tasks.samples.quarantine import read_quarantine
from tasks.samples.records import FILE, ROW, origin_column
from tasks.samples.schema import SAMPLE_ID, TARGET, InputSpec, SampleSchema
from tasks.samples.tables import iter_batches, open_table, read_table, write_batches, write_table

FLAGS = "flags.parquet"
_ROWS = 65_536


def settle_suspects(
    params: Params, schema: SampleSchema, folders: StageFolders, report: AlignReport
) -> tuple[AlignReport, Suspects]:
    """Judge the samples just written; flag suspects, or take them out where the settings say so.

    Writes ``flags.parquet``; rewrites the samples and the quarantine where any are taken out.

    Returns:
        The report as it is after that, and what was found.
    """
    path = folders.output / "samples.parquet"
    suspects = find_suspects(
        params.align.suspects,
        schema,
        path,
        lambda: stored_media(folders),
        folders.root,
        params.project.seed,
    )
    write_table(suspects.flags, folders.output / FLAGS)
    settled = report.model_copy(update={"suspects": suspects.report})
    if suspects.set_aside:
        settled = _take_out(params, schema, folders, settled, suspects.set_aside)
    return settled, suspects


def stored_media(folders: StageFolders) -> MediaStores:
    """Return the collected media, and the windows that the running stage has written."""
    return MediaStores(
        MediaStore(folders.of("collect") / "media"), MediaStore(folders.output / "windows")
    )


def _take_out(
    params: Params,
    schema: SampleSchema,
    folders: StageFolders,
    report: AlignReport,
    aside: Mapping[int, Doubt],
) -> AlignReport:
    """Move samples to the quarantine, and bring the report's counts up to date."""
    path = folders.output / "samples.parquet"
    places = np.array(sorted(aside), dtype=np.int64)
    taken = rows_at(path, places)
    rows = _quarantined(params, schema, folders, taken, [aside[place] for place in places.tolist()])
    so_far = read_quarantine(folders.output)
    write_table(pa.concat_tables([so_far, rows]), folders.output / QUARANTINE)
    arrow = open_table(path).schema_arrow
    kept = folders.output / ".kept.parquet"
    write_batches(_without(path, places), arrow, kept)
    kept.replace(path)

    reasons = dict(report.quarantine_reasons)
    for entry in pc.value_counts(rows["reason"]).to_pylist():
        reasons[entry["values"]] = reasons.get(entry["values"], 0) + entry["counts"]
    ordered = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    return report.model_copy(
        update={
            "n_samples": report.n_samples - len(places),
            "n_quarantined": report.n_quarantined + len(places),
            "quarantine_reasons": dict(ordered),
            "inputs": tuple(
                _fewer(one, taken, schema.input(one.name)) for one in report.inputs
            ),
            "target_after": target_balance(read_table(path, [TARGET])[TARGET]),
        }
    )  # fmt: skip


def _without(samples: Path, places: NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
    """Stream a table without the rows at some places."""
    start = 0
    for batch in iter_batches(samples, rows=_ROWS):
        stays = np.ones(batch.num_rows, dtype=bool)
        first, last = np.searchsorted(places, [start, start + batch.num_rows])
        stays[places[first:last] - start] = False
        yield batch.filter(pa.array(stays))
        start += batch.num_rows


def _quarantined(
    params: Params,
    schema: SampleSchema,
    folders: StageFolders,
    taken: pa.Table,
    doubts: list[Doubt],
) -> pa.Table:
    """Return rows of the quarantine for samples that are taken out, with where they came from."""
    base = params.align.base
    source = params.collect.source(base)
    ids = taken[SAMPLE_ID]
    files, rows = pa.repeat("", len(ids)), pa.repeat(pa.scalar(0, pa.int64()), len(ids))
    if params.align.segments is None:  # a window of a recording is no row of a file
        names = ["record_id", origin_column(FILE, source), origin_column(ROW, source)]
        records = read_table(folders.of("clean") / "records" / f"{base}.parquet", names)
        at = pc.index_in(ids, records["record_id"].combine_chunks())
        files, rows = records[names[1]].take(at), records[names[2]].take(at)
    n = len(ids)
    columns = [
        ids,
        pa.repeat(base, n),
        files,
        rows,
        pa.array([_column_at_fault(doubt, schema) for doubt in doubts], pa.string()),
        pa.array([doubt.flag for doubt in doubts], pa.string()),
        pa.array([doubt.detail for doubt in doubts], pa.string()),
        pa.repeat("", n),
    ]
    return pa.table(columns, schema=QUARANTINE_SCHEMA)


def _column_at_fault(doubt: Doubt, schema: SampleSchema) -> str:
    return "" if doubt.flag == PAIR else schema.target_column


def _fewer(one: InputReport, taken: pa.Table, spec: InputSpec) -> InputReport:
    """Return the counts of an input without the samples that were taken out."""
    columns = [c.name for c in spec.columns] or [spec.column]
    there = np.logical_or.reduce([_has_value(taken[column]) for column in columns])
    n_present = int(there.sum())
    return one.model_copy(
        update={
            "n_present": one.n_present - n_present,
            "n_missing": one.n_missing - (len(there) - n_present),
        }
    )


def _has_value(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    there = column.is_valid()
    if pa.types.is_floating(column.type):
        there = pc.and_(there, pc.is_finite(column).fill_null(False))
    return np.asarray(there.to_numpy(), dtype=bool)
