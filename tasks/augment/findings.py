"""Figures and examples, gathered while copies pass by on their way to the file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.augment.balancing import Plan
from tasks.augment.copies import Changes, Copied, JointCounts
from tasks.augment.report import AugmentReport, Example
from tasks.augment.survey import Survey, labelled_counts
from tasks.errors import listing
from tasks.params.augment import AugmentParams, OnlineParams
from tasks.samples.schema import PARENT_ID, RECIPE, SAMPLE_ID, InputSpec, SampleSchema

MOST_SHOWN = 12
MOST_EXAMPLES = 6


@dataclass(frozen=True)
class Shown:
    """One copy and the row it was made of, as mappings."""

    before: dict[str, Any]
    after: dict[str, Any]


class Findings:
    """What is found while copies pass by.

    The copies that are shown are the first ones of the samples with the smallest hashes: a sample
    by chance, and the same one whatever the order of rows.
    """

    def __init__(self, schema: SampleSchema, survey: Survey, plan: Plan) -> None:
        self._schema, self._survey, self._plan = schema, survey, plan
        order = np.argsort(survey.hashes, kind="stable")
        self._rank = {
            int(at): rank for rank, at in enumerate(order[plan.copies[order] > 0][:MOST_SHOWN])
        }
        self._shown: dict[int, Shown] = {}
        self._n_texts = self._n_tabular = self._n_plain = 0

    @property
    def shown(self) -> list[Shown]:
        """The copies to be shown."""
        return [self._shown[rank] for rank in sorted(self._shown)]

    def watched(self, copies: Iterator[Copied]) -> Iterator[Copied]:
        """Yield the copies, taking their figures."""
        for some in copies:
            self._take_figures(some)
            self._take_shown(some)
            yield some

    def _take_figures(self, some: Copied) -> None:
        texts = [spec.column for spec in self._schema.inputs if spec.modality == "text"]
        tabular = [column.name for spec in self._schema.inputs for column in spec.columns]
        rewritten = self._differing(some, texts)
        altered = self._differing(some, tabular)
        self._n_texts += int(rewritten.sum())
        self._n_tabular += int((altered.sum(axis=0) > 0).sum())
        touched = rewritten.any(axis=0) | altered.any(axis=0)
        recipeless = some.copies[RECIPE].is_null().to_numpy()
        self._n_plain += int((~touched & recipeless).sum())

    @staticmethod
    def _differing(some: Copied, columns: list[str]) -> NDArray[np.bool_]:
        """Return ``(n_columns, n)`` whether a value of a copy is another than its parent's."""
        found = [
            pc.not_equal(some.parents[name], some.copies[name]).fill_null(False).to_numpy()
            for name in columns
        ]
        return np.stack(found) if found else np.zeros((0, some.copies.num_rows), dtype=bool)

    def _take_shown(self, some: Copied) -> None:
        first = np.flatnonzero((some.numbers == 1) & np.isin(some.at, list(self._rank)))
        for row in first.tolist():
            before = some.parents.slice(row, 1).to_pylist()[0]
            after = some.copies.slice(row, 1).to_pylist()[0]
            self._shown[self._rank[int(some.at[row])]] = Shown(before, after)

    def report(
        self, params: AugmentParams, changes: Changes, joint: JointCounts, root: Path
    ) -> AugmentReport:
        """Return the report, when all copies have passed."""
        survey, plan = self._survey, self._plan
        kept = plan.kept.astype(np.int64)
        after = kept + plan.copies
        classes = survey.classes, survey.class_names
        patterns = survey.patterns, survey.pattern_names
        texts = [spec for spec in self._schema.inputs if spec.modality == "text"]
        return AugmentReport(
            n_train=survey.n_train,
            n_added=int(plan.copies.sum()),
            n_left_out=int((~plan.kept).sum()),
            n_plain_repetitions=self._n_plain,
            n_texts_changed=self._n_texts,
            n_tabular_changed=self._n_tabular,
            n_flips_refused=joint.n_refused,
            n_words_swapped=joint.n_swapped,
            n_numbers_negated=joint.n_negated,
            target_kind=survey.target_kind,
            classes_before=labelled_counts(*classes),
            classes_added=labelled_counts(*classes, plan.copies),
            classes_after=labelled_counts(*classes, after),
            modalities_before=labelled_counts(*patterns),
            modalities_after=labelled_counts(*patterns, after),
            weights=_weights(plan),
            online=tuple(online_words(params.online)),
            masked_words_weights=_masked_words_weights(params, changes, root),
            examples=tuple(_example(shown, texts) for shown in self.shown[:MOST_EXAMPLES]),
            notices=tuple(self._notices(params, changes, after)),
        )

    def _notices(
        self, params: AugmentParams, changes: Changes, after: NDArray[np.int64]
    ) -> Iterator[str]:
        if params.copies and not changes.any:
            there = sorted({spec.modality for spec in self._schema.inputs})
            lists = " or ".join(f"augment.{modality}" for modality in there)
            yield (
                f"augment.copies added nothing: no transform is listed for the inputs that there "
                f"are; list some under {lists}"
            )
        if self._n_plain:
            yield f"{self._n_plain:,} copies are plain repetitions: they have nothing to change"
        plan = self._plan
        counts = labelled_counts(plan.cells, plan.cell_names, after)
        if params.balance != "none" and params.balance_by == "oversample" and counts:
            largest = next(iter(counts.values()))
            short = [name for name, n in counts.items() if n < largest]
            if short:
                yield (
                    f"{listing(short, most=5)} stay rarer than '{next(iter(counts))}': "
                    f"max_balance_copies is {params.max_balance_copies}"
                )
        n_left_out = int((~plan.kept).sum())
        if n_left_out > 0.5 * len(plan.kept):
            yield (
                f"undersampling leaves out {n_left_out:,} of {len(plan.kept):,} training samples; "
                "a larger augment.max_imbalance keeps more of them"
            )


def _weights(plan: Plan) -> dict[str, float]:
    if plan.weights is None:
        return {}
    cells, at = np.unique(plan.cells, return_index=True)
    found = {plan.cell_names[c]: float(plan.weights[i]) for c, i in zip(cells, at, strict=True)}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:200])


def _masked_words_weights(params: AugmentParams, changes: Changes, root: Path) -> str | None:
    if changes.masked_words is None or params.masked_words_checkpoint is None:
        return None
    from tasks.models.masked_words import weights_digest

    return weights_digest(params.masked_words_checkpoint, root)


def online_words(online: OnlineParams) -> Iterator[str]:
    """Say what is done to batches, an item each."""
    for modality in ("image", "audio", "text", "tabular", "timeseries"):
        if steps := getattr(online, modality):
            yield f"{modality}: {', '.join(steps)}"
    for name in ("mixup", "cutmix", "modality_dropout"):
        if value := getattr(online, name):
            yield f"{name} {value:g}"


def _example(shown: Shown, texts: list[InputSpec]) -> Example:
    before, after = shown.before, shown.after
    return Example(
        sample_id=after[SAMPLE_ID],
        parent_id=after[PARENT_ID],
        recipe=after[RECIPE],
        texts={
            spec.name: (before[spec.column], after[spec.column])
            for spec in texts
            if before[spec.column] != after[spec.column]
        },
    )
