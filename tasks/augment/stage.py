"""Augment: add changed copies of training samples; validation and test stay as they are.

Reads   data/split/samples.parquet      samples with their split
        data/collect/media, data/align/windows   what the page shows
Writes  data/augment/samples.parquet    the same rows, then the copies, with ``parent_id``,
                                        ``recipe`` and, where asked for, ``weight``
        data/augment/left_out.parquet   training rows that undersampling set aside
        data/augment/online.json        what finetune does to its batches
        reports/augment.html            copies beside their originals
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.augment.balancing import Plan, plan_rows
from tasks.augment.contact_sheet import contact_sheet
from tasks.augment.copies import Changes, Copied, JointCounts, augmented_copies
from tasks.augment.findings import Findings
from tasks.augment.report import AugmentReport
from tasks.augment.survey import Survey, survey_samples
from tasks.errors import DataError, listing
from tasks.params import Params
from tasks.params.augment import AugmentParams, OnlinePolicy
from tasks.samples.folders import StageFolders, write_text
from tasks.samples.media import sample_media
from tasks.samples.progress import progress
from tasks.samples.schema import PARENT_ID, RECIPE, SAMPLE_ID, SPLIT, WEIGHT, SampleSchema
from tasks.samples.tables import ROW_GROUP_ROWS, iter_batches, open_table, write_batches

READS = ("collect", "align", "split")


def run(params: Params, folders: StageFolders) -> AugmentReport:
    """Add copies of training samples; every row that is kept stays as it is, and stays first."""
    path = folders.of("split") / "samples.parquet"
    given = open_table(path).schema_arrow
    schema = SampleSchema.of(given)
    survey = survey_samples(path, schema)

    changes = Changes.of(schema, params, survey.donors, folders.root)
    plan = plan_rows(survey, params.augment, can_change=changes.any)
    require_free_names(path, survey, plan)

    findings = Findings(schema, survey, plan)
    joint = JointCounts()
    copies = augmented_copies(training_rows(path), plan.copies, changes, joint)
    write_batches(
        chain(kept_rows(path, plan), copied_rows(findings.watched(copies), plan)),
        samples_schema(given, plan),
        folders.output / "samples.parquet",
    )
    write_batches(left_out_rows(path, plan), given, folders.output / "left_out.parquet")
    write_text(folders.output / "online.json", online_policy(params.augment))

    report = findings.report(params.augment, changes, joint, folders.root)
    page = contact_sheet(report, findings.shown, schema, sample_media(folders))
    write_text(folders.reports / "augment.html", page)
    return report


def samples_schema(given: pa.Schema, plan: Plan) -> pa.Schema:
    """Return the columns that are written: those of the split stage, and where a row is from."""
    added = [pa.field(PARENT_ID, pa.string()), pa.field(RECIPE, pa.string())]
    if plan.weights is not None:
        added.append(pa.field(WEIGHT, pa.float64()))
    return pa.schema([*given, *added], metadata=given.metadata)


def with_lineage(rows: pa.Table) -> pa.Table:
    """Return samples with a parent and a recipe, which those that are no copies lack."""
    nothing = pa.nulls(rows.num_rows, pa.string())
    return rows.append_column(PARENT_ID, nothing).append_column(RECIPE, nothing)


def batches(path: Path) -> Iterator[tuple[pa.Table, NDArray[np.bool_], int]]:
    """Yield the samples, which of them are for training, and how many of those came before."""
    n_before = 0
    for batch in iter_batches(path, rows=ROW_GROUP_ROWS):
        rows = pa.Table.from_batches([batch])
        in_train = np.asarray(pc.equal(batch[SPLIT], "train"))
        yield rows, in_train, n_before
        n_before += int(in_train.sum())


def training_rows(path: Path) -> Iterator[tuple[pa.Table, int]]:
    """Yield the training rows, and the place of the first of each batch among all of them."""
    for rows, in_train, n_before in batches(path):
        yield with_lineage(rows.filter(pa.array(in_train))), n_before


def kept_rows(path: Path, plan: Plan) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the split stage, but for those that are left out."""
    for rows, in_train, n_before in batches(path):
        place = np.cumsum(in_train) - 1 + n_before
        kept = np.ones(len(in_train), dtype=bool)
        kept[in_train] = plan.kept[place[in_train]]
        table = with_lineage(rows)
        if plan.weights is not None:
            weights = np.zeros(len(in_train))
            weights[in_train] = plan.weights[place[in_train]]
            table = table.append_column(WEIGHT, pa.array(weights, mask=~in_train))
        yield from table.filter(pa.array(kept)).combine_chunks().to_batches()


def left_out_rows(path: Path, plan: Plan) -> Iterator[pa.RecordBatch]:
    """Yield the training rows that undersampling sets aside."""
    if plan.kept.all():
        return
    for rows, in_train, n_before in batches(path):
        left_out = np.zeros(len(in_train), dtype=bool)
        left_out[in_train] = ~plan.kept[n_before : n_before + int(in_train.sum())]
        yield from rows.filter(pa.array(left_out)).combine_chunks().to_batches()


def copied_rows(copies: Iterator[Copied], plan: Plan) -> Iterator[pa.RecordBatch]:
    """Yield the copies, each with the weight of its parent."""
    with progress("copying training samples", int(plan.copies.sum())) as advance:
        for some in copies:
            table = some.copies
            if plan.weights is not None:
                table = table.append_column(WEIGHT, pa.array(plan.weights[some.at]))
            yield from table.combine_chunks().to_batches()
            advance(table.num_rows)


def online_policy(params: AugmentParams) -> str:
    """Return what finetune is told to do to its batches, as JSON; {} for nothing."""
    if not params.online.any:
        return "{}\n"
    policy = OnlinePolicy(changes=params.online, flip=params.joint.flip_horizontal)
    return policy.model_dump_json(indent=1) + "\n"


def require_free_names(path: Path, survey: Survey, plan: Plan) -> None:
    """Fail where a sample already has the name that a copy would get.

    Raises:
        DataError: With the names in question.
    """
    parents = {parent for parent, _, _ in survey.like_copies}
    if not parents:
        return
    n_copies: dict[str, int] = {}
    place = 0
    for batch in iter_batches(path, [SAMPLE_ID, SPLIT], rows=ROW_GROUP_ROWS):
        for name in batch.filter(pc.equal(batch[SPLIT], "train"))[SAMPLE_ID].to_pylist():
            if name in parents:
                n_copies[name] = int(plan.copies[place])
            place += 1
    taken = [name for parent, n, name in survey.like_copies if 0 < n <= n_copies.get(parent, 0)]
    if taken:
        raise DataError(
            f"augment: {len(taken):,} samples have the names that copies of others would get "
            f"({listing(taken, most=3)}); use ids that do not end in '~' and a number"
        )
