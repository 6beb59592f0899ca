"""Turn matches into samples: which records make one up, and which base records are none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.align.matching import NOBODY, Match, Rows
from tasks.errors import DataError, ParamsError, listing
from tasks.params import Params
from tasks.params.align import Join
from tasks.samples.schema import (
    SAMPLE_ID,
    TARGET,
    InputSpec,
    Modality,
    SampleSchema,
    TabularColumn,
    TargetKind,
)

OWN_COLUMNS = ("record_id", "file", "row")
"""Columns of a records table that are about the record, not in it."""

ASSEMBLED_ROWS = 65_536
TABULAR = "tabular"

Records = Mapping[str, pa.Table]
RowsOf = Mapping[str, Rows]
"""By source: the row that each base record is joined to, or -1."""


@dataclass(frozen=True)
class Verdicts:
    """Which base records become samples.

    Attributes:
        reasons: ``(n_base,)`` index into ``codes``; 0 for a sample.
        codes: Reason codes; the first is "" for a sample.
        present: ``(n_base, n_inputs)`` whether a record has an input.
    """

    reasons: NDArray[np.int8]
    codes: tuple[str, ...]
    present: NDArray[np.bool_]

    @property
    def is_sample(self) -> NDArray[np.bool_]:
        """Which base records become samples."""
        return np.asarray(self.reasons == 0)

    def counts(self) -> dict[str, int]:
        """Count the records that are no sample by reason."""
        n = np.bincount(self.reasons, minlength=len(self.codes))
        return {code: int(n[i]) for i, code in enumerate(self.codes) if i and n[i]}


def joins_from_base(base: str, joins: tuple[Join, ...]) -> list[Join]:
    """Order joins so that the left source of each is the base or was joined before.

    Raises:
        ParamsError: Some joins do not hang together with the base.
    """
    ordered: list[Join] = []
    reached, waiting = {base}, list(joins)
    while ready := [join for join in waiting if (join.left or base) in reached]:
        ordered += ready
        reached |= {join.right for join in ready}
        waiting = [join for join in waiting if join not in ready]
    if waiting:
        raise ParamsError(
            [
                f"align.joins: {listing(join.right for join in waiting)} cannot be reached from "
                f"base '{base}'; join one of them to a source that is joined to the base"
            ]
        )
    return ordered


def carry_to_base(
    base: str, n_base: int, joins: list[Join], matches: list[Match]
) -> dict[str, Rows]:
    """Follow each join back to the base: which row of each source a base record is joined to."""
    rows = {base: np.arange(n_base, dtype=np.int64)}
    for join, match in zip(joins, matches, strict=True):
        rows[join.right] = rows_through(rows[join.left or base], match.partner)
    return rows


def rows_through(rows: Rows, partner: Rows) -> Rows:
    """Look up the partners of rows, -1 staying -1."""
    if not len(partner):
        return np.full(len(rows), NOBODY, dtype=np.int64)
    return np.where(rows == NOBODY, NOBODY, partner[rows])


def sample_schema(params: Params) -> SampleSchema:
    """Say which columns are the inputs and the target."""
    columns = [params.full_name(column) for column in params.align.inputs]
    target = params.full_name(params.align.target)
    return SampleSchema(
        inputs=input_specs(columns, params.column_types),
        target_column=target,
        target_kind=cast(TargetKind, params.column_types[target]),
    )


def input_specs(columns: list[str], types: Mapping[str, str]) -> tuple[InputSpec, ...]:
    """Make one input of each text, image and audio column, and one of all numbers and categories.

    >>> types = {"a.age": "number", "a.x": "text", "b.x": "image"}
    >>> specs = input_specs(["a.age", "a.x", "b.x"], types)
    >>> [(spec.name, spec.modality) for spec in specs]
    [('tabular', 'tabular'), ('a.x', 'text'), ('b.x', 'image')]
    """
    modality_of: dict[str, Modality] = {"text": "text", "image": "image", "audio": "audio"}
    short = [c.split(".", 1)[1] for c in columns if types[c] in modality_of]
    taken = {name for name in short if short.count(name) > 1} | {TABULAR}
    specs: list[InputSpec] = []
    for column in columns:
        kind = types[column]
        if kind in modality_of:
            name = column.split(".", 1)[1]
            name = column if name in taken else name
            specs.append(InputSpec(name=name, modality=modality_of[kind], column=column))
        elif not any(spec.name == TABULAR for spec in specs):
            own = [c for c in columns if types[c] not in modality_of]
            specs.append(InputSpec(name=TABULAR, modality="tabular", columns=_tabular(own, types)))
    return tuple(specs)


def _tabular(columns: list[str], types: Mapping[str, str]) -> tuple[TabularColumn, ...]:
    return tuple(
        TabularColumn(name=c, kind="number" if types[c] == "number" else "category")
        for c in columns
    )


def input_columns(spec: InputSpec) -> tuple[str, ...]:
    """Return the full names of the columns an input is read from."""
    return tuple(c.name for c in spec.columns) if spec.columns else (spec.column,)


def judge(
    schema: SampleSchema, records: Records, rows: RowsOf, drop_missing_inputs: bool
) -> Verdicts:
    """Decide of each base record whether it is a sample, and if not, why."""
    present = np.column_stack(
        [
            np.logical_or.reduce([has_value(c, records, rows) for c in input_columns(spec)])
            for spec in schema.inputs
        ]
    )
    codes = ("", "null_target", "no_inputs", "missing_input")
    reasons = np.zeros(len(present), dtype=np.int8)
    if drop_missing_inputs:
        reasons[~present.all(axis=1)] = codes.index("missing_input")
    reasons[~present.any(axis=1)] = codes.index("no_inputs")
    reasons[~has_value(schema.target_column, records, rows)] = codes.index("null_target")
    return Verdicts(reasons, codes, present)


def has_value(column: str, records: Records, rows: RowsOf) -> NDArray[np.bool_]:
    """Return ``(n_base,)`` whether a base record has a value in a column, its own or a joined one.

    A number that is not finite is no value.
    """
    source, name = column.split(".", 1)
    values = records[source][name]
    valid = values.is_valid()
    if pa.types.is_floating(values.type):
        valid = pc.and_(valid, pc.is_finite(values).fill_null(False))
    there = np.append(valid.to_numpy(), False)  # the last one is for -1
    return np.asarray(there[rows[source]])


def samples_schema(schema: SampleSchema, records: Records, rows: RowsOf) -> pa.Schema:
    """Return the Arrow schema of the samples table, the sample schema in its metadata."""
    kind = pa.float64() if schema.target_kind == "number" else pa.string()
    fields = [pa.field(SAMPLE_ID, pa.string()), pa.field(TARGET, kind)]
    for source in rows:
        fields += [
            pa.field(f"{source}.{field.name}", field.type)
            for field in records[source].schema
            if field.name not in OWN_COLUMNS
        ]
    return schema.attach(pa.schema(fields).empty_table()).schema


def assemble(
    schema: SampleSchema, records: Records, rows: RowsOf, base: str, kept: Rows
) -> Iterator[pa.RecordBatch]:
    """Yield the samples of the base records ``kept``, a batch at a time.

    A record that many samples share is copied into each, so whole tables are never in memory.
    """
    arrow = samples_schema(schema, records, rows)
    source, name = schema.target_column.split(".", 1)
    for start in range(0, len(kept), ASSEMBLED_ROWS):
        part = kept[start : start + ASSEMBLED_ROWS]
        target = _looked_up(records[source].select([name]), rows[source][part])[name]
        columns = [records[base]["record_id"].take(part), target.cast(arrow.field(TARGET).type)]
        for joined, joined_rows in rows.items():
            table = records[joined].drop_columns(list(OWN_COLUMNS))
            columns += _looked_up(table, joined_rows[part]).columns
        yield from pa.table(columns, schema=arrow).combine_chunks().to_batches()


def _looked_up(table: pa.Table, rows: Rows) -> pa.Table:
    """Take rows of a table, a row of nulls for each -1."""
    return table.take(pa.array(rows, mask=rows == NOBODY))


def require_inputs_somewhere(schema: SampleSchema, verdicts: Verdicts) -> None:
    """Fail where there is no sample, or no sample has a certain input.

    Raises:
        DataError: A model would be trained without what it is meant to read.
    """
    n_samples = int(verdicts.is_sample.sum())
    if not n_samples:
        told = ", ".join(f"{reason}: {n:,}" for reason, n in verdicts.counts().items())
        raise DataError(
            f"align: none of {len(verdicts.reasons):,} base records became a sample "
            f"({told or 'the base is empty'}); check align.base, align.target, "
            "and the keys and tolerances of align.joins"
        )
    n_present = verdicts.present[verdicts.is_sample].sum(axis=0)
    absent = [s for s, n in zip(schema.inputs, n_present, strict=True) if not n]
    if absent:
        spec = absent[0]
        raise DataError(
            f"align: input '{spec.name}' ({', '.join(input_columns(spec))}) is missing in all "
            f"{n_samples:,} samples; check the join that brings it, or take it out of align.inputs"
        )


def require_all_inputs(schema: SampleSchema, verdicts: Verdicts, ids: pa.ChunkedArray) -> None:
    """Fail where a sample lacks an input, for ``missing_inputs: fail``.

    Raises:
        DataError: With the number of such samples, by input, and the first of them.
    """
    lacking = verdicts.is_sample & ~verdicts.present.all(axis=1)
    if not lacking.any():
        return
    first = ids.take(np.flatnonzero(lacking)[:5]).to_pylist()
    n_missing = (~verdicts.present[verdicts.is_sample]).sum(axis=0)
    told = ", ".join(f"{s.name}: {n:,}" for s, n in zip(schema.inputs, n_missing, strict=True) if n)
    raise DataError(
        f"align: expected every input in every sample, but {int(lacking.sum()):,} of "
        f"{int(verdicts.is_sample.sum()):,} lack one ({told}; first ids: {listing(first)}); "
        "mend the sources, or set align.missing_inputs to keep or drop"
    )
