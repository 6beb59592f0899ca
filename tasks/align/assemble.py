"""Turn matches into samples: which records make one up, and which base records are none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.align.matching import NOBODY, Between, Match, Rows
from tasks.align.sources import Source
from tasks.errors import DataError, ParamsError, listing
from tasks.params import Params
from tasks.params.align import Join, Segments, WindowJoin
from tasks.params.collect import SensorSource
from tasks.samples.schema import (
    SAMPLE_ID,
    TARGET,
    InputSpec,
    Modality,
    SampleSchema,
    TabularColumn,
    TargetKind,
)

TABULAR = "tabular"


@dataclass(frozen=True)
class Reached:
    """A source as the base records see it.

    Attributes:
        source: Its records.
        rows: ``(n_base,)`` the record each base record is joined to, or -1.
        between: The two records that numbers are read between, where they are.
        numbers: The columns that are.
    """

    source: Source
    rows: Rows
    between: Between | None = None
    numbers: tuple[str, ...] = ()

    def has_value(self, column: str) -> NDArray[np.bool_]:
        """Return ``(n_base,)`` whether a base record has a value in a column; NaN is none."""
        there = np.append(self.source.has_value(column), False)  # the last one is for -1
        if self.between is not None and column in self.numbers:
            return np.asarray(there[self.between.before] & there[self.between.after])
        return np.asarray(there[self.rows])

    def records(self, base_rows: Rows) -> pa.Table:
        """Look up what some base records are joined to, a row of nulls where to none."""
        found = self.source.records(self.rows[base_rows])
        if self.between is None:
            return found
        between = self.between.at(base_rows)
        before, after = self.source.records(between.before), self.source.records(between.after)
        for name in self.numbers:
            values = between.read(before[name], after[name])
            found = found.set_column(found.schema.get_field_index(name), name, values)
        return found


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
    base: Source,
    joins: list[Join],
    rights: list[Source],
    matches: list[Match],
    numbers: Mapping[str, tuple[str, ...]],
) -> dict[str, Reached]:
    """Follow each join back to the base: which record of each source a base record is joined to."""
    reached = {base.name: Reached(base, np.arange(base.n_records, dtype=np.int64))}
    for join, right, match in zip(joins, rights, matches, strict=True):
        left = reached[join.left or base.name].rows
        between = None if match.between is None else match.between.through(left)
        rows = rows_through(left, match.partner)
        reached[right.name] = Reached(right, rows, between, numbers.get(right.name, ()))
    return reached


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
        inputs=input_specs(columns, params.column_types, window_specs(params)),
        target_column=target,
        target_kind=cast(TargetKind, params.column_types[target]),
    )


def window_specs(params: Params) -> dict[str, InputSpec]:
    """Say what the windows of each sensor source that gives some look like, by their column."""
    align = params.align
    cut: dict[str, Segments | WindowJoin] = {
        join.right: join for join in align.joins if isinstance(join, WindowJoin)
    }
    if align.segments is not None:
        cut[align.base] = align.segments
    found = {}
    for name, settings in cut.items():
        source = params.collect.source(name)
        if isinstance(source, SensorSource):
            found[f"{name}.window"] = InputSpec(
                name=name,
                modality="timeseries",
                column=f"{name}.window",
                channels=source.channels,
                rate_hz=settings.rate_hz,
                n_steps=settings.n_steps,
            )
    return found


def input_specs(
    columns: list[str], types: Mapping[str, str], windows: Mapping[str, InputSpec] | None = None
) -> tuple[InputSpec, ...]:
    """Make one input of each text, image and audio column, and one of all numbers and categories.

    >>> types = {"a.age": "number", "a.x": "text", "b.x": "image"}
    >>> specs = input_specs(["a.age", "a.x", "b.x"], types)
    >>> [(spec.name, spec.modality) for spec in specs]
    [('tabular', 'tabular'), ('a.x', 'text'), ('b.x', 'image')]
    """
    windows = windows or {}
    modality_of: dict[str, Modality] = {"text": "text", "image": "image", "audio": "audio"}
    short = [c.split(".", 1)[1] for c in columns if types[c] in modality_of]
    taken = {name for name in short if short.count(name) > 1} | {TABULAR}
    specs: list[InputSpec] = []
    for column in columns:
        kind = types[column]
        if column in windows:
            specs.append(windows[column])
        elif kind in modality_of:
            name = column.split(".", 1)[1]
            name = column if name in taken else name
            specs.append(InputSpec(name=name, modality=modality_of[kind], column=column))
        elif not any(spec.name == TABULAR for spec in specs):
            own = [c for c in columns if types[c] not in modality_of and c not in windows]
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
    schema: SampleSchema,
    reached: Mapping[str, Reached],
    required: tuple[str, ...],
    base_faults: tuple[tuple[str, NDArray[np.bool_]], ...] = (),
) -> Verdicts:
    """Decide of each base record whether it is a sample, and if not, why.

    Args:
        schema: The inputs and the target.
        reached: Every source as the base records see it.
        required: Names of inputs without which a record is no sample.
        base_faults: Further reasons against base records: a code, and ``(n_base,)`` whom it hits.
    """

    def present_in(name: str) -> NDArray[np.bool_]:
        source, column = name.split(".", 1)
        return reached[source].has_value(column)

    present = np.column_stack(
        [
            np.logical_or.reduce([present_in(name) for name in input_columns(spec)])
            for spec in schema.inputs
        ]
    )
    codes = ("", "missing_input", "no_inputs", "low_agreement", "low_coverage", "null_target")
    reasons = np.zeros(len(present), dtype=np.int8)
    needed = [i for i, spec in enumerate(schema.inputs) if spec.name in required]
    reasons[~present[:, needed].all(axis=1)] = codes.index("missing_input")
    reasons[~present.any(axis=1)] = codes.index("no_inputs")
    for code, hit in base_faults:
        reasons[hit] = codes.index(code)
    reasons[~present_in(schema.target_column)] = codes.index("null_target")
    return Verdicts(reasons, codes, present)


def samples_schema(schema: SampleSchema, reached: Mapping[str, Reached]) -> pa.Schema:
    """Return the Arrow schema of the samples table, the sample schema in its metadata."""
    kind = pa.float64() if schema.target_kind == "number" else pa.string()
    fields = [pa.field(SAMPLE_ID, pa.string()), pa.field(TARGET, kind)]
    for name, one in reached.items():
        own = [one.source.schema.field(column) for column in one.source.own_columns]
        fields += [pa.field(f"{name}.{field.name}", field.type) for field in own]
    return schema.attach(pa.schema(fields).empty_table()).schema


def assemble(
    schema: SampleSchema, reached: Mapping[str, Reached], base: str, kept: NDArray[np.bool_]
) -> Iterator[pa.RecordBatch]:
    """Yield the samples, a batch of base records at a time.

    A record that many samples share is copied into each, so whole tables are never in memory.
    """
    arrow = samples_schema(schema, reached)
    source, name = schema.target_column.split(".", 1)
    start = 0
    for batch in reached[base].source.batches():
        at = start + np.flatnonzero(kept[start : start + batch.num_rows])
        own = pa.Table.from_batches([batch]).take(at - start)
        start += batch.num_rows
        parts = {
            joined: own if joined == base else one.records(at) for joined, one in reached.items()
        }
        columns = [own["record_id"], parts[source][name].cast(arrow.field(TARGET).type)]
        for joined, one in reached.items():
            columns += parts[joined].select(list(one.source.own_columns)).columns
        yield from pa.table(columns, schema=arrow).combine_chunks().to_batches()


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


def require_all_inputs(schema: SampleSchema, verdicts: Verdicts, base: Source) -> None:
    """Fail where a sample lacks an input, for ``missing_inputs: fail``.

    Raises:
        DataError: With the number of such samples, by input, and the first of them.
    """
    lacking = verdicts.is_sample & ~verdicts.present.all(axis=1)
    if not lacking.any():
        return
    first = base.column("record_id").take(np.flatnonzero(lacking)[:5]).to_pylist()
    n_missing = (~verdicts.present[verdicts.is_sample]).sum(axis=0)
    told = ", ".join(f"{s.name}: {n:,}" for s, n in zip(schema.inputs, n_missing, strict=True) if n)
    raise DataError(
        f"align: expected every input in every sample, but {int(lacking.sum()):,} of "
        f"{int(verdicts.is_sample.sum()):,} lack one ({told}; first ids: {listing(first)}); "
        "mend the sources, or set align.missing_inputs to keep or drop"
    )
