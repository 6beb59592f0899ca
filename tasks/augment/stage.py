"""Augment: add changed copies of training samples; validation and test stay as they are.

Reads   data/split/samples.parquet     samples with their split
Writes  data/augment/samples.parquet   the same rows, then the copies, with ``parent_id`` and
                                       ``recipe``
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.augment.copies import Changes, Counts, augmented_copies, copies_of_each
from tasks.augment.report import AugmentReport, Example
from tasks.errors import DataError, listing
from tasks.params import Params
from tasks.params.augment import AugmentParams
from tasks.samples.folders import StageFolders
from tasks.samples.schema import (
    PARENT_ID,
    RECIPE,
    SAMPLE_ID,
    SPLIT,
    TARGET,
    InputSpec,
    SampleSchema,
)
from tasks.samples.tables import ROW_GROUP_ROWS, read_table, write_batches

READS = ("split",)
MOST_EXAMPLES = 6
MOST_CLASSES = 200


def run(params: Params, folders: StageFolders) -> AugmentReport:
    """Add copies of training samples; every row of the split stage stays, and stays first."""
    samples = with_lineage(read_table(folders.of("split") / "samples.parquet"))
    schema = SampleSchema.of(samples)
    train = samples.filter(pc.equal(samples[SPLIT], "train"))

    changes = Changes.of(schema, params.augment, params.project.seed)
    copies = copies_of_each(train, params.augment, can_change=changes.any)
    require_free_names(samples, train, copies)

    report = Gathered(schema, train, copies)
    write_batches(
        with_copies(samples, report.watched(augmented_copies(train, copies, changes))),
        samples.schema,
        folders.output / "samples.parquet",
    )
    return report.finished(params.augment, changes)


def with_lineage(samples: pa.Table) -> pa.Table:
    """Return the samples with a parent and a recipe, which those that are no copies lack."""
    schema, nothing = SampleSchema.of(samples), pa.nulls(samples.num_rows, pa.string())
    return schema.attach(samples.append_column(PARENT_ID, nothing).append_column(RECIPE, nothing))


def with_copies(samples: pa.Table, copies: Iterator[pa.Table]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the samples, then those of the copies."""
    yield from samples.to_batches(max_chunksize=ROW_GROUP_ROWS)
    for table in copies:
        yield from table.combine_chunks().to_batches()


def require_free_names(samples: pa.Table, train: pa.Table, copies: Counts) -> None:
    """Fail where a sample already has the name that a copy would get.

    Raises:
        DataError: With the names in question.
    """
    with_mark = samples[SAMPLE_ID].filter(pc.match_substring_regex(samples[SAMPLE_ID], r"~\d+$"))
    if not len(with_mark):
        return
    n_copies = dict(zip(train[SAMPLE_ID].to_pylist(), copies.tolist(), strict=True))
    parted = ((name, *name.rpartition("~")[::2]) for name in with_mark.to_pylist())
    taken = [name for name, parent, number in parted if int(number) <= n_copies.get(parent, 0)]
    if taken:
        raise DataError(
            f"augment: {len(taken):,} samples have the names that copies of others would get "
            f"({listing(taken, most=3)}); use ids that do not end in '~' and a number"
        )


class Gathered:
    """Figures gathered while copies pass by on their way to the file."""

    def __init__(self, schema: SampleSchema, train: pa.Table, copies: Counts) -> None:
        self._schema, self._train, self._copies = schema, train, copies
        self._examples: list[Example] = []
        self._n_texts = self._n_plain = 0

    def watched(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Yield the tables of copies, taking their figures."""
        texts = [spec for spec in self._schema.inputs if spec.modality == "text"]
        parents = np.repeat(np.arange(self._train.num_rows), self._copies)
        start = 0
        for table in tables:
            before = self._train.take(parents[start : start + table.num_rows])
            start += table.num_rows
            self._take_figures(before, table, texts)
            yield table

    def _take_figures(self, before: pa.Table, after: pa.Table, texts: list[InputSpec]) -> None:
        rewritten = np.zeros(after.num_rows, dtype=bool)
        for spec in texts:
            differs = pc.not_equal(before[spec.column], after[spec.column]).fill_null(False)
            self._n_texts += int(pc.sum(differs).as_py() or 0)
            rewritten |= differs.to_numpy()
        self._n_plain += int((~rewritten & after[RECIPE].is_null().to_numpy()).sum())
        for row in range(after.num_rows):
            if len(self._examples) == MOST_EXAMPLES:
                break
            example = _example(before.slice(row, 1), after.slice(row, 1), texts)
            if not self._examples or example.recipe != self._examples[-1].recipe or example.texts:
                self._examples.append(example)

    def finished(self, params: AugmentParams, changes: Changes) -> AugmentReport:
        """Return the report, when all copies have passed."""
        weights = 1 + self._copies
        patterns = _patterns(self._schema, self._train)
        labels = [] if self._schema.target_kind == "number" else self._train[TARGET].to_pylist()
        once = np.ones_like(weights)
        return AugmentReport(
            n_train=self._train.num_rows,
            n_added=int(self._copies.sum()),
            n_plain_repetitions=self._n_plain,
            n_texts_changed=self._n_texts,
            classes_before=_counted(labels, once),
            classes_added=_counted(labels, self._copies),
            classes_after=_counted(labels, weights),
            modalities_before=_counted(patterns, once),
            modalities_after=_counted(patterns, weights),
            examples=tuple(self._examples),
            notices=tuple(self._notices(params, changes, _counted(labels, weights))),
        )

    def _notices(
        self, params: AugmentParams, changes: Changes, classes: dict[str, int]
    ) -> Iterator[str]:
        if params.copies and not changes.any:
            yield (
                "no transform fits the inputs, so augment.copies added nothing; "
                "tabular inputs are left as they are"
            )
        if self._n_plain:
            yield f"{self._n_plain:,} copies are plain repetitions: they have nothing to change"
        if params.balance == "classes" and classes:
            n = list(classes.values())
            short = [label for label, count in classes.items() if count < n[0]]
            if short:
                yield (
                    f"{listing(short, most=5)} stay rarer than '{next(iter(classes))}': "
                    f"max_balance_copies is {params.max_balance_copies}"
                )


def _example(before: pa.Table, after: pa.Table, texts: list[InputSpec]) -> Example:
    row, parent = after.to_pylist()[0], before.to_pylist()[0]
    return Example(
        sample_id=row[SAMPLE_ID],
        parent_id=row[PARENT_ID],
        recipe=row[RECIPE],
        texts={
            spec.name: (parent[spec.column], row[spec.column])
            for spec in texts
            if parent[spec.column] != row[spec.column]
        },
    )


def _patterns(schema: SampleSchema, train: pa.Table) -> list[str]:
    """Name the inputs that each sample has."""
    columns = []
    for spec in schema.inputs:
        names = [c.name for c in spec.columns] or [spec.column]
        there = np.logical_or.reduce([train[name].is_valid().to_numpy() for name in names])
        columns.append(there)
    present = np.stack(columns, axis=1)
    distinct, which = np.unique(present, axis=0, return_inverse=True)
    names = [
        "+".join(s.name for s, there in zip(schema.inputs, row, strict=True) if there)
        for row in distinct
    ]
    return [names[i] for i in which.ravel().tolist()]


def _counted(labels: list[str], weights: Counts) -> dict[str, int]:
    """Add up weights by label, the largest sum first."""
    sums: Counter[str] = Counter()
    for label, weight in zip(labels, weights.tolist() if labels else (), strict=True):
        sums[label] += weight
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0]))[:MOST_CLASSES])
