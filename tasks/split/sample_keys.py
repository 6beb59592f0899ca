"""What a split goes by, read from the samples a batch at a time: keys in place of values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.samples.progress import progress
from tasks.samples.schema import SAMPLE_ID, SampleSchema
from tasks.samples.tables import iter_batches, open_table
from tasks.split.keys import Keys, bound_keys, cell_keys, mixed, salt
from tasks.split.near_duplicates import NearDuplicates

BATCH_ROWS = 16_384
MEDIA = ("image", "audio", "timeseries")


@dataclass(frozen=True)
class SampleKeys:
    """Keys of all samples, each array ``(n_samples,)``.

    Attributes:
        ids: Of the sample's name.
        inputs: Of all its inputs together; equal where every input is equal, or both lack it.
        near_inputs: The same, with near duplicates taken as equal.
        values: By column: of its value there, or ``NOTHING``.
        near_values: By column: the same, with near duplicates taken as equal.
    """

    ids: Keys
    inputs: Keys
    near_inputs: Keys
    values: Mapping[str, Keys]
    near_values: Mapping[str, Keys]

    def __len__(self) -> int:
        return len(self.ids)


def read_sample_keys(path: Path, columns: Sequence[str], near: NearDuplicates) -> SampleKeys:
    """Read the keys of a samples table.

    Args:
        path: The samples.
        columns: Columns to keep the keys of, by full name, beside those of all inputs together.
        near: Near duplicates.
    """
    file = open_table(path)
    schema = SampleSchema.of(file.schema_arrow)
    wanted = [SAMPLE_ID, *dict.fromkeys([*input_column_names(schema), *columns])]
    batches = iter_batches(path, wanted, BATCH_ROWS)
    return keys_of(batches, schema, columns, near, file.metadata.num_rows)


def keys_of(
    batches: Iterable[pa.RecordBatch],
    schema: SampleSchema,
    columns: Sequence[str],
    near: NearDuplicates,
    n_samples: int,
) -> SampleKeys:
    """Return the keys of samples that come in batches."""
    inputs = input_column_names(schema)
    ids, exact = np.zeros(n_samples, np.uint64), np.zeros(n_samples, np.uint64)
    merged = exact if near.keys().isdisjoint(inputs) else np.zeros(n_samples, np.uint64)
    values = {column: np.zeros(n_samples, np.uint64) for column in columns}
    near_values = {
        column: np.zeros(n_samples, np.uint64) if column in near else values[column]
        for column in columns
    }
    start = 0
    with progress("reading samples", n_samples) as advance:
        for batch in batches:
            rows = slice(start, start + batch.num_rows)
            start += batch.num_rows
            ids[rows] = cell_keys(batch[SAMPLE_ID])
            for column in dict.fromkeys([*inputs, *columns]):
                keys = cell_keys(batch[column])
                alike = near[column].merged(keys) if column in near else keys
                if column in values:
                    binding = column not in near and column not in inputs
                    values[column][rows] = bound_keys(batch[column]) if binding else keys
                    if column in near:
                        near_values[column][rows] = alike
                if column in inputs:
                    own = salt(column)
                    exact[rows] += mixed(keys ^ own)
                    if merged is not exact:
                        merged[rows] += mixed(alike ^ own)
            advance(batch.num_rows)
    return SampleKeys(ids, exact, merged, values, near_values)


def input_column_names(schema: SampleSchema) -> list[str]:
    """Return the full names of all columns that inputs are read from."""
    return [n for s in schema.inputs for n in ([c.name for c in s.columns] or [s.column])]


def media_columns(schema: SampleSchema) -> list[str]:
    """Return the input columns that hold digests of media."""
    return [spec.column for spec in schema.inputs if spec.modality in MEDIA]


def text_columns(schema: SampleSchema) -> list[str]:
    """Return the input columns that hold texts."""
    return [spec.column for spec in schema.inputs if spec.modality == "text"]
