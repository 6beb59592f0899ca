"""Which samples went where, how alike the splits are, and what lies on both sides of a border."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.samples.report import StageReport
from tasks.samples.schema import SPLITS, Contract
from tasks.split.assignment import TRAIN
from tasks.split.target_leaks import TargetLeak

MOST_CLASSES = 200
NOTABLE_DEVIATION = 0.05
NOTABLE_GROUP = 0.2
NOTABLE_MAJORITY = 0.99
GROUP_SIZES = (1, 2, 3, 6, 11, 21, 51, 101, 1001)


class SplitCounts(Contract):
    """One split."""

    name: str
    n_samples: int
    n_groups: int
    fraction: float
    wanted_fraction: float | None
    """None where the data itself says what is in which split."""

    classes: dict[str, int] = Field(default_factory=dict)
    """Samples of each class, the commonest of all splits first; at most 200 of them."""

    target_quartiles: tuple[float, ...] = ()
    """For a number: minimum, lower quartile, median, upper quartile, maximum."""

    first_time: str | None = None
    last_time: str | None = None


class LeakReport(Contract):
    """Samples of one kind that lie in several splits."""

    kind: str
    column: str
    n_values: int
    """Groups, sets of equal samples, or windows."""

    n_samples: int
    """Samples that share with a later split."""

    told: str


class SharedMedium(Contract):
    """Media that train and a later split both show, with other inputs beside them."""

    column: str
    n_media: int
    n_samples: int
    """Samples of validation and test that show them."""

    examples: tuple[str, str]


class LabelBalance(Contract):
    """How evenly a label is shared out."""

    column: str
    label: str
    n_samples: tuple[int, ...]
    """By split."""

    deviation: float
    """The most that its part in a split differs from that split's part of all samples."""


class SplitReport(StageReport):
    """Which samples went where."""

    strategy: str
    group_by: tuple[str, ...]
    fold: int | None = None
    inner_fold: int | None = None
    n_samples: int
    """In the three splits together."""

    n_groups: int
    largest_group: int
    n_unused: int = 0
    """Training samples left out for few-shot learning."""

    n_quarantined: int = 0
    quarantine_reasons: dict[str, int] = Field(default_factory=dict)
    splits: tuple[SplitCounts, ...]
    largest_class_deviation: float | None
    """The most that the part of a class in a split differs from its part in all samples."""

    mean_label_deviation: float | None = None
    """How much of a label a split has too much or too little, on average over labels and splits."""

    labels: tuple[LabelBalance, ...] = ()
    """Labels that the splits were to be alike in, the least even first; at most 200."""

    group_sizes: dict[str, int] = Field(default_factory=dict)
    """Groups by their number of samples."""

    near_duplicates: dict[str, int] = Field(default_factory=dict)
    """Values with near duplicates, by column; they bind samples together."""

    train_digest: str = ""
    """``tasks.samples.membership`` of the training samples: what was learnt from, exactly."""

    leaks: tuple[LeakReport, ...] = ()
    torn: bool = False
    """Whether what leaks was left in: ``on_leak`` is report."""

    shared_media: tuple[SharedMedium, ...] = ()
    target_leaks: tuple[TargetLeak, ...] = ()
    notices: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the size of each split, how alike they are, and what to look at."""
        sizes = ", ".join(f"{s.name} {s.n_samples:,} ({s.fraction:.1%})" for s in self.splits)
        alike = ""
        if self.largest_class_deviation is not None:
            alike = f"; classes differ by at most {100 * self.largest_class_deviation:.1f} points"
        torn = "some torn" if self.torn else "none torn"
        aside = "".join(f"; {n:,} {what}" for n, what in self.left_out() if n)
        return [
            f"{sizes}{aside}",
            f"{self.n_groups:,} groups, {torn}, the largest of {self.largest_group:,}{alike}",
            *(f"note: {notice}" for notice in self.notices),
        ]

    def left_out(self) -> tuple[tuple[int, str], ...]:
        """Return how many samples are in no split, and why."""
        return (self.n_quarantined, "set aside"), (self.n_unused, "unused (few-shot)")


def group_sizes(sizes: NDArray[np.int64]) -> dict[str, int]:
    """Count groups by size.

    >>> group_sizes(np.array([1, 1, 4]))
    {'1': 2, '3 to 5': 1}
    """
    ends = [*(n - 1 for n in GROUP_SIZES[1:]), None]
    counts = np.bincount(np.searchsorted(GROUP_SIZES, sizes, side="right") - 1)
    told = {}
    for begin, end, n in zip(GROUP_SIZES, ends, counts, strict=False):
        if n:
            many = f"{begin:,} and more" if end is None else f"{begin} to {end}"
            told[str(begin) if end == begin else many] = int(n)
    return told


def class_deviation(classes: dict[str, tuple[int, ...]]) -> float:
    """Return the most that a class's part in a split differs from its part in all samples.

    >>> class_deviation({"yes": (6, 1, 1), "no": (6, 1, 1)})
    0.0
    """
    counts = np.array(list(classes.values()), dtype=np.float64)
    in_each = counts / np.maximum(1, counts.sum(axis=0))
    in_all = counts.sum(axis=1, keepdims=True) / counts.sum()
    return float(np.abs(in_each - in_all).max())


def label_balances(
    columns: Sequence[str],
    names: Sequence[str],
    counts: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> tuple[list[LabelBalance], float | None]:
    """Say how evenly each label is shared out, the least even first, and the mean deviation.

    Args:
        columns: ``(n_labels,)`` the column of each label.
        names: ``(n_labels,)``.
        counts: ``(n_labels, n_splits)`` samples.
        sizes: ``(n_splits,)`` samples of each split.
    """
    in_all = counts.sum(axis=1)
    present = np.flatnonzero(in_all).tolist()
    if not present:
        return [], None
    off = np.abs(counts[present] / in_all[present, None] - sizes / max(1, sizes.sum()))
    balances = [
        LabelBalance(
            column=columns[i],
            label=names[i],
            n_samples=tuple(counts[i].tolist()),
            deviation=float(deviation),
        )
        for i, deviation in zip(present, off.max(axis=1), strict=True)
    ]
    balances.sort(key=lambda b: (-b.deviation, b.column, b.label))
    return balances, float(off.mean())


def notices(
    parts: Sequence[SplitCounts],
    classes: dict[str, tuple[int, ...]],
    largest_group: int,
    strategy: str,
    n_groups: int,
) -> Iterator[str]:
    """Yield what a person should know before trusting figures on these splits."""
    n_samples = sum(part.n_samples for part in parts)
    for part in parts:
        wanted = part.wanted_fraction
        if wanted is not None and abs(part.fraction - wanted) > NOTABLE_DEVIATION:
            yield (
                f"{part.name} has {part.fraction:.1%} of the samples where {wanted:.1%} were asked "
                f"for: {reason_for_sizes(strategy, largest_group, n_samples, n_groups)}"
            )
    if largest_group > NOTABLE_GROUP * n_samples:
        yield (
            f"one group holds {largest_group:,} of {n_samples:,} samples; they share values of "
            "split.group_by, have the same inputs or near duplicates, or are linked by others that "
            "do"
        )
    total = {label: sum(n) for label, n in classes.items()}
    commonest = max(total, key=lambda label: total[label], default=None)
    if commonest is not None and total[commonest] > NOTABLE_MAJORITY * sum(total.values()):
        yield (
            f"{total[commonest] / sum(total.values()):.1%} of the samples are of class "
            f"'{commonest}'; accuracy says little here, go by balanced accuracy or macro F1"
        )
    untrained = [label for label, n in classes.items() if not n[TRAIN]]
    if untrained:
        yield f"never trained on, yet in other splits: {_named(untrained)}"
    untested = [label for label, n in classes.items() if not n[-1] and n[TRAIN]]
    if untested:
        alone = [label for label in untested if total[label] < len(SPLITS)]
        why = f"; fewer than {len(SPLITS)} samples have {_named(alone)}" if alone else ""
        yield f"not in test, so their quality is not measured: {_named(untested)}{why}"


def reason_for_sizes(strategy: str, largest_group: int, n_samples: int, n_groups: int) -> str:
    """Say why splits are not as large as was asked for, and what would help in this situation."""
    if largest_group > NOTABLE_DEVIATION * n_samples:
        return "large groups allow no better; make split.group_by finer if you can"
    if strategy in ("random", "grouped"):
        return f"{n_groups:,} groups are few to go by hash; strategy stratified is exact"
    if strategy == "by_time":
        return "many samples share a time, or a group lasts long"
    return "whole groups allow no better"


def _named(labels: list[str]) -> str:
    shown = ", ".join(f"'{label}'" for label in labels[:8])
    return shown if len(labels) <= 8 else f"{shown} and {len(labels) - 8} more classes"
