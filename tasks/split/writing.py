"""Write the samples again with where they go, a batch at a time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.samples.schema import FOLD, GROUP, INNER_FOLD, SPLIT, SPLITS
from tasks.samples.tables import iter_batches, open_table, write_batches
from tasks.split.assignment import TRAIN, Assignment, Mask
from tasks.split.groups import Groups
from tasks.split.keys import hexadecimal
from tasks.split.sample_keys import BATCH_ROWS


def write_kept(path: Path, groups: Groups, made: Assignment, output: Path) -> None:
    """Write the samples that are in a split."""
    _write(path, groups, made, made.kept, output)


def write_unused(path: Path, groups: Groups, made: Assignment, output: Path) -> None:
    """Write the training samples that few-shot learning leaves out; their split is train."""
    _write(path, groups, made, made.unused, output)


def _write(path: Path, groups: Groups, made: Assignment, rows: Mask, output: Path) -> None:
    schema = split_schema(open_table(path).schema_arrow, made)
    batches = _with_splits(path, groups, made, rows, schema) if rows.any() else iter(())
    write_batches(batches, schema, output)


def split_schema(schema: pa.Schema, made: Assignment) -> pa.Schema:
    """Return the schema of the samples with the columns that this stage adds."""
    schema = schema.append(pa.field(GROUP, pa.string())).append(pa.field(SPLIT, pa.string()))
    if made.fold is not None:
        schema = schema.append(pa.field(FOLD, pa.int64()))
    if made.inner_fold is not None:
        schema = schema.append(pa.field(INNER_FOLD, pa.int64()))
    return schema


def _with_splits(
    path: Path, groups: Groups, made: Assignment, rows: Mask, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    splits, start = pa.array(SPLITS), 0
    for batch in iter_batches(path, None, BATCH_ROWS):
        own = slice(start, start + batch.num_rows)
        start += batch.num_rows
        names = hexadecimal(groups.names[groups.of_sample[own]])
        where = np.maximum(made.split[own], TRAIN)
        columns = [*batch.columns, pa.array(names, pa.string()), splits.take(pa.array(where))]
        if made.fold is not None:
            columns.append(pa.array(made.fold[own], pa.int64()))
        if made.inner_fold is not None:
            inner = made.inner_fold[own]
            columns.append(pa.array(inner, pa.int64(), mask=inner < 0))
        assigned = pa.record_batch(columns, schema=schema)
        yield assigned if rows[own].all() else assigned.filter(pa.array(rows[own]))
