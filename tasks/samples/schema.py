"""What the columns of a samples table mean, kept in the table's own metadata.

A samples table has the columns named below, and each column of the joined sources under its full
name ``source.column``. Image and audio columns hold media digests, with the path the user wrote in
``source.column.path``.
"""

from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from tasks.errors import DataError

SAMPLE_ID = "sample_id"
TARGET = "target"
GROUP = "group"
SPLIT = "split"
FOLD = "fold"
"""For k-fold: the fold a sample is in, 0 to k - 1."""

INNER_FOLD = "inner_fold"
"""For nested k-fold: the inner fold of a sample; none for those of test."""

PARENT_ID = "parent_id"
RECIPE = "recipe"
WEIGHT = "weight"
"""How much a training sample counts in the loss; 1 for all where the column is not there."""

SPLITS = ("train", "validation", "test")

Modality = Literal["text", "image", "audio", "tabular", "timeseries"]
TargetKind = Literal["category", "number", "labels", "text"]
"""What is predicted: one class, a number, several classes, or a text."""

_METADATA_KEY = b"fuseline"


class Contract(BaseModel):
    """A frozen part of the schema."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TabularColumn(Contract):
    """One column of the tabular input."""

    name: str
    kind: Literal["number", "category"]


class InputSpec(Contract):
    """One thing a model reads.

    All numbers and categories of a sample are one input, named ``tabular``; every other input is
    one column. A ``timeseries`` column holds digests of windows (``tasks.samples.windows``).
    """

    name: str
    modality: Modality
    columns: tuple[TabularColumn, ...] = ()
    """For ``tabular``: its columns."""

    column: str = ""
    """For all others: the column, by its full name."""

    channels: tuple[str, ...] = ()
    """For ``timeseries``: what the columns of a window are, in their order."""

    rate_hz: float | None = None
    """For ``timeseries``: steps a second."""

    n_steps: int = 0
    """For ``timeseries``: steps of each window."""


class SampleSchema(Contract):
    """The inputs and the target of a samples table."""

    inputs: tuple[InputSpec, ...]
    target_column: str
    target_kind: TargetKind

    def input(self, name: str) -> InputSpec:
        """Return one input by name."""
        return next(spec for spec in self.inputs if spec.name == name)

    def attach(self, table: pa.Table) -> pa.Table:
        """Return the table with this schema in its metadata."""
        return table.replace_schema_metadata({_METADATA_KEY: self.model_dump_json().encode()})

    @classmethod
    def of(cls, table: pa.Table | pa.Schema) -> "SampleSchema":
        """Read the schema from a table's metadata.

        Raises:
            DataError: The table is no samples table.
        """
        schema = table if isinstance(table, pa.Schema) else table.schema
        raw = (schema.metadata or {}).get(_METADATA_KEY)
        if raw is None:
            raise DataError(
                "not a samples table: its metadata names no inputs; run `dvc repro align`"
            )
        return cls.model_validate_json(raw)
