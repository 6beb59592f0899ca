"""Gather what a split came to into its report."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.params import Params
from tasks.samples.membership import membership_of_keys
from tasks.samples.schema import SAMPLE_ID, SPLITS
from tasks.samples.tables import iter_batches
from tasks.split.assignment import TEST, TRAIN, Assignment, SplitNumbers
from tasks.split.groups import Groups
from tasks.split.labels import SampleLabels
from tasks.split.leakage import Checked, describe_leak
from tasks.split.loading import Samples
from tasks.split.report import (
    MOST_CLASSES,
    LeakReport,
    SharedMedium,
    SplitCounts,
    SplitReport,
    class_deviation,
    group_sizes,
    label_balances,
    notices,
)
from tasks.split.sample_keys import BATCH_ROWS
from tasks.split.target_leaks import TargetLeak
from tasks.split.time_order import NO_TIME, Times

DETAILS = {
    "no_time": "has no value in split.time_column, nor has any sample of its group",
    "in_time_gap": "ends less than split.gap_seconds before the next split begins",
    "duplicate_elsewhere": "has the same inputs as a sample of a later split",
    "near_duplicate_elsewhere": "has inputs that are near duplicates of a later split's",
    "group_elsewhere": "is of a group that lies in a later split too",
    "window_elsewhere": "has a window that overlaps one of a later split",
}
"""The reasons for quarantine in words."""


def describe_split(
    params: Params, samples: Samples, made: Assignment, found: Checked
) -> SplitReport:
    """Count the samples, groups and classes of each split, and tell what the checks found."""
    settings, split, groups, target = params.split, made.split, samples.groups, samples.target
    labels, times = samples.splittable.labels, samples.splittable.times
    is_number = pa.types.is_floating(target.type)
    by_class = {} if is_number else class_counts(samples.classes, split)
    parts = tuple(
        _counts(params, name, s, groups, target, by_class, times, made)
        for s, name in enumerate(SPLITS)
    )
    balances, mean = label_balances(
        labels.columns, labels.names, label_counts(labels, split),
        np.bincount(split[made.kept], minlength=len(SPLITS)),
    )  # fmt: skip
    kept_sizes = np.bincount(groups.of_sample[made.kept], minlength=len(groups))
    largest = int(kept_sizes.max())
    n_groups = int((kept_sizes > 0).sum())
    leaks = tuple(
        LeakReport(
            kind=leak.kind,
            column=leak.column,
            n_values=leak.n_values,
            n_samples=int(leak.earlier.sum()),
            told=describe_leak(leak, found.published, lambda rows: names_of(samples.path, rows)),
        )
        for leak in found.leaks
    )
    media = tuple(
        SharedMedium(
            column=one.column,
            n_media=one.n_media,
            n_samples=one.n_later,
            examples=_pair(samples.path, one.first),
        )
        for one in found.media
    )
    in_folds = settings.strategy in ("k_fold", "nested")
    aside = {reason: n for reason, n in made.counts().items() if reason != "few_shot"}
    return SplitReport(
        strategy=settings.strategy,
        group_by=samples.group_by,
        fold=settings.fold if in_folds else None,
        inner_fold=settings.inner_fold if settings.strategy == "nested" else None,
        n_samples=int(made.kept.sum()),
        n_groups=n_groups,
        largest_group=largest,
        n_unused=int(made.unused.sum()),
        n_quarantined=sum(aside.values()),
        quarantine_reasons=aside,
        splits=parts,
        largest_class_deviation=class_deviation(by_class) if by_class else None,
        mean_label_deviation=mean,
        labels=tuple(balances[:MOST_CLASSES]),
        group_sizes=group_sizes(kept_sizes[kept_sizes > 0]),
        near_duplicates={
            column: len(values.keys) for column, values in sorted(samples.near.items())
        },
        train_digest=membership_of_keys(samples.keys.ids[split == TRAIN]),
        leaks=leaks,
        torn=bool(leaks) and settings.on_leak == "report",
        shared_media=media,
        target_leaks=found.target,
        notices=(
            *notices(parts, by_class, largest, settings.strategy, n_groups),
            *_uncertain(samples.not_compared),
            *_findings(params, leaks, media, found.target, times, made),
        ),
    )


def _uncertain(not_compared: Mapping[str, int]) -> list[str]:
    """Say where near duplicates may lie in several splits, since not all were looked for."""
    return [
        f"{n:,} pairs of values of '{column}' look alike at first glance and were not compared by "
        "clean, so near duplicates may lie in several splits; name what belongs together in "
        "split.group_by, such as the recording"
        for column, n in not_compared.items()
    ]


def _findings(
    params: Params,
    leaks: Sequence[LeakReport],
    media: Sequence[SharedMedium],
    target: Sequence[TargetLeak],
    times: Times | None,
    made: Assignment,
) -> list[str]:
    """Return what the checks found that a person should know."""
    dropped = params.split.on_leak == "drop_train"
    done = "set aside from the earlier split" if dropped else "left in; the test is too kind"
    told = [f"{leak.told}: {done}" for leak in leaks]
    told += [
        f"{one.n_samples:,} samples of validation and test show one of {one.n_media:,} media of "
        f"'{one.column}' that train shows too, or a near duplicate, with other inputs (first: "
        f"'{one.examples[0]}' and '{one.examples[1]}'); group by it for media that are new in test"
        for one in media
    ]
    told += [leak.line() for leak in target if leak.is_telling]
    if made.n_straddling:
        told.append(
            f"{made.n_straddling:,} groups began before the split that they are in; each is in "
            "the split of its last sample"
        )
    if times is not None and params.split.strategy != "by_time":
        later = (times > _earliest(times, made.split == TEST)) & (made.split == TRAIN)
        if later.any():
            told.append(
                f"{int(later.sum()):,} training samples are later than the first of test; if the "
                "model is to predict what comes, take strategy by_time"
            )
    return told


def _earliest(times: Times, rows: np.ndarray) -> int:
    timed = times[rows & (times != NO_TIME)]
    return int(timed.min()) if len(timed) else np.iinfo(np.int64).max


def _counts(
    params: Params,
    name: str,
    number: int,
    groups: Groups,
    target: pa.ChunkedArray,
    classes: dict[str, tuple[int, ...]],
    times: Times | None,
    made: Assignment,
) -> SplitCounts:
    """Describe one split."""
    rows = made.split == number
    values = target.filter(pa.array(rows)) if pa.types.is_floating(target.type) else None
    begin, end = _time_range(times, rows)
    return SplitCounts(
        name=name,
        n_samples=int(rows.sum()),
        n_groups=len(np.unique(groups.of_sample[rows])),
        fraction=float(rows.sum() / max(1, made.kept.sum())),
        wanted_fraction=_wanted(params)[number],
        classes={label: n[number] for label, n in list(classes.items())[:MOST_CLASSES]},
        target_quartiles=_quartiles(values),
        first_time=begin,
        last_time=end,
    )


def _wanted(params: Params) -> tuple[float | None, ...]:
    """Return the part that each split was to have, where the settings say."""
    settings = params.split
    fractions = settings.fractions
    if settings.strategy == "predefined" or settings.few_shot_per_class is not None:
        return None, None, None
    if settings.strategy == "k_fold":
        return 1 - 2 / settings.folds, 1 / settings.folds, 1 / settings.folds
    if settings.strategy == "nested":
        rest = 1 - 1 / settings.folds
        validation = rest / settings.inner_folds
        return rest - validation, validation, 1 / settings.folds
    return fractions.train, fractions.validation, fractions.test


def _quartiles(values: pa.ChunkedArray | None) -> tuple[float, ...]:
    numbers = [] if values is None else values.to_numpy()
    if not len(numbers):
        return ()
    return tuple(float(q) for q in np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1]))


def _time_range(times: Times | None, rows: np.ndarray) -> tuple[str | None, str | None]:
    timed = np.array([]) if times is None else times[rows & (times != NO_TIME)]
    if not len(timed):
        return None, None
    return _written(int(timed.min())), _written(int(timed.max()))


def _written(microseconds: int) -> str:
    since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return since.isoformat()


def class_counts(classes: SampleLabels, split: SplitNumbers) -> dict[str, tuple[int, ...]]:
    """Count each class in each split, the commonest class first."""
    counts = label_counts(classes, split)
    order = sorted(range(len(classes.names)), key=lambda i: (-counts[i].sum(), classes.names[i]))
    return {classes.names[i]: tuple(counts[i].tolist()) for i in order if counts[i].sum()}


def label_counts(labels: SampleLabels, split: SplitNumbers) -> np.ndarray:
    """Return ``(n_labels, n_splits)`` the samples of each label in each split."""
    where = split[labels.rows]
    kept = where >= 0
    flat = labels.labels[kept] * len(SPLITS) + where[kept]
    counts = np.bincount(flat, minlength=len(labels.names) * len(SPLITS))
    return counts.reshape(len(labels.names), len(SPLITS))


def names_of(path: Path, rows: Sequence[int]) -> list[str]:
    """Return the names of some samples by their row."""
    wanted = np.array(rows, dtype=np.int64)
    names: dict[int, str] = {}
    start = 0
    for batch in iter_batches(path, [SAMPLE_ID], BATCH_ROWS):
        own = np.unique(wanted[(wanted >= start) & (wanted < start + batch.num_rows)])
        taken = batch[SAMPLE_ID].take(pa.array(own - start)).to_pylist()
        names.update(zip(own.tolist(), taken, strict=True))
        start += batch.num_rows
    return [names[row] for row in wanted.tolist()]


def _pair(path: Path, rows: tuple[int, int]) -> tuple[str, str]:
    first, second = names_of(path, rows)
    return first, second
