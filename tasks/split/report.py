"""Which samples went where, and how alike the splits are."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from tasks.samples.report import StageReport
from tasks.samples.schema import SPLITS, Contract
from tasks.split.strategies import TRAIN, SplitNumbers

MOST_CLASSES = 200
NOTABLE_DEVIATION = 0.05
NOTABLE_GROUP = 0.2


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


class SplitReport(StageReport):
    """Which samples went where."""

    strategy: str
    group_by: tuple[str, ...]
    n_samples: int
    n_groups: int
    largest_group: int
    splits: tuple[SplitCounts, ...]
    largest_class_deviation: float | None
    """The most that the part of a class in a split differs from its part in all samples."""

    notices: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the size of each split, how alike they are, and what to look at."""
        sizes = ", ".join(f"{s.name} {s.n_samples:,} ({s.fraction:.1%})" for s in self.splits)
        alike = ""
        if self.largest_class_deviation is not None:
            alike = f"; classes differ by at most {100 * self.largest_class_deviation:.1f} points"
        return [
            f"{sizes}",
            f"{self.n_groups:,} groups, none torn, the largest of {self.largest_group:,}{alike}",
            *(f"note: {notice}" for notice in self.notices),
        ]


def describe_split(
    target: pa.ChunkedArray,
    group: NDArray[np.str_],
    split: SplitNumbers,
    strategy: str,
    group_by: tuple[str, ...],
    wanted: tuple[float, ...] | None,
) -> SplitReport:
    """Count the samples, groups and classes of each split.

    Args:
        target: ``(n_samples,)`` targets.
        group: ``(n_samples,)`` names of groups.
        split: ``(n_samples,)`` positions in ``SPLITS``.
        strategy: Name of the strategy.
        group_by: Full names of the columns that groups were made by.
        wanted: The fraction each split was to have, where the settings say.
    """
    in_split = [split == s for s in range(len(SPLITS))]
    targets = [target.filter(pa.array(mask)) for mask in in_split]
    is_number = pa.types.is_floating(target.type)
    classes = {} if is_number else class_counts(target, targets)
    parts = tuple(
        SplitCounts(
            name=name,
            n_samples=int(in_split[s].sum()),
            n_groups=len(np.unique(group[in_split[s]])),
            fraction=float(in_split[s].mean()),
            wanted_fraction=None if wanted is None else wanted[s],
            classes={label: n[s] for label, n in list(classes.items())[:MOST_CLASSES]},
            target_quartiles=_quartiles(targets[s]) if is_number else (),
        )
        for s, name in enumerate(SPLITS)
    )
    _, sizes = np.unique(group, return_counts=True)
    return SplitReport(
        strategy=strategy,
        group_by=group_by,
        n_samples=len(split),
        n_groups=len(sizes),
        largest_group=int(sizes.max()),
        splits=parts,
        largest_class_deviation=class_deviation(classes) if classes else None,
        notices=tuple(notices(parts, classes, int(sizes.max()), len(split))),
    )


def class_counts(
    target: pa.ChunkedArray, targets: list[pa.ChunkedArray]
) -> dict[str, tuple[int, ...]]:
    """Count each class in each split, the commonest class first."""

    def counted(values: pa.ChunkedArray) -> dict[str, int]:
        return {e["values"]: e["counts"] for e in pc.value_counts(values).to_pylist()}

    in_all, in_each = counted(target), [counted(values) for values in targets]
    order = sorted(in_all, key=lambda label: (-in_all[label], label))
    return {label: tuple(counts.get(label, 0) for counts in in_each) for label in order}


def class_deviation(classes: dict[str, tuple[int, ...]]) -> float:
    """Return the most that a class's part in a split differs from its part in all samples.

    >>> class_deviation({"yes": (6, 1, 1), "no": (6, 1, 1)})
    0.0
    """
    counts = np.array(list(classes.values()), dtype=np.float64)
    in_each = counts / np.maximum(1, counts.sum(axis=0))
    in_all = counts.sum(axis=1, keepdims=True) / counts.sum()
    return float(np.abs(in_each - in_all).max())


def _quartiles(values: pa.ChunkedArray) -> tuple[float, ...]:
    numbers = values.to_numpy()
    if not len(numbers):
        return ()
    return tuple(float(q) for q in np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1]))


def notices(
    parts: tuple[SplitCounts, ...],
    classes: dict[str, tuple[int, ...]],
    largest_group: int,
    n_samples: int,
) -> Iterator[str]:
    """Yield what a person should know before trusting figures on these splits."""
    for part in parts:
        wanted = part.wanted_fraction
        if wanted is not None and abs(part.fraction - wanted) > NOTABLE_DEVIATION:
            yield (
                f"{part.name} has {part.fraction:.1%} of the samples where {wanted:.1%} were asked "
                "for; the groups allow no better, or are too few for strategy hashed"
            )
    if largest_group > NOTABLE_GROUP * n_samples:
        yield (
            f"one group holds {largest_group:,} of {n_samples:,} samples; "
            "they share values of split.group_by, or have the same inputs as others that do"
        )
    untrained = [label for label, n in classes.items() if not n[TRAIN]]
    if untrained:
        yield f"never trained on, yet in other splits: {_named(untrained)}"
    untested = [label for label, n in classes.items() if not n[-1]]
    if untested:
        yield f"not in test, so their quality is not measured: {_named(untested)}"


def _named(labels: list[str]) -> str:
    shown = ", ".join(f"'{label}'" for label in labels[:8])
    return shown if len(labels) <= 8 else f"{shown} and {len(labels) - 8} more classes"
