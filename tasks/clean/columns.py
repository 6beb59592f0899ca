"""What the columns of a source hold, learnt in one pass before any record is judged.

Memory does not grow with the number of rows: values of categories are counted while they are few,
and of numbers, times and lengths a sample is kept.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MAX_DISTINCT = 20_000
MAX_SAMPLE = 20_000
LABEL_JOINT = ";"
"""What parts the categories of a cell that holds several."""


class ThinnedSample:
    """A sample of a stream of numbers: all of them while they are few, then ever fewer of them.

    Which are kept follows from their place in the stream alone, in no regular order.
    """

    def __init__(self) -> None:
        self._parts: list[NDArray[np.float64]] = []
        self._places: list[NDArray[np.uint64]] = []
        self._n_kept = self._n_seen = self._halvings = 0

    def add(self, values: NDArray[np.float64] | NDArray[np.int64]) -> None:
        """Take the next values; a moment in microseconds is exact as a number, too."""
        places = scattered(np.arange(self._n_seen, self._n_seen + len(values), dtype=np.uint64))
        self._n_seen += len(values)
        keep = _divisible(places, self._halvings)
        self._parts.append(values[keep].astype(np.float64))
        self._places.append(places[keep])
        self._n_kept += int(keep.sum())
        while self._n_kept > MAX_SAMPLE:
            self._halvings += 1
            all_places = np.concatenate(self._places)
            keep = _divisible(all_places, self._halvings)
            self._parts = [np.concatenate(self._parts)[keep]]
            self._places = [all_places[keep]]
            self._n_kept = int(keep.sum())

    @property
    def is_all(self) -> bool:
        """Whether nothing was left out."""
        return self._halvings == 0

    def values(self) -> NDArray[np.float64]:
        """Return what was kept."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0)


def scattered(places: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of numbers, so that neighbours have nothing in common.

    Source:
        Steele, Lea and Flood 2014, SplitMix64.
    """
    mixed = places + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


def _divisible(places: NDArray[np.uint64], halvings: int) -> NDArray[np.bool_]:
    return np.asarray(places & np.uint64(2**halvings - 1) == 0)


class Column:
    """What is known of any column: how many values there are, and how many are missing."""

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.kind = name, kind
        self.n_valid = self.n_null = 0

    def add(self, values: pa.Array) -> None:
        """Learn from the next values."""
        self.n_null += values.null_count
        self.n_valid += len(values) - values.null_count


class NumberColumn(Column):
    """A column of numbers."""

    def __init__(self, name: str, kind: str = "number") -> None:
        super().__init__(name, kind)
        self.sample = ThinnedSample()
        self.lowest, self.highest = np.inf, -np.inf
        self._counts_up = True
        self._before: float | None = None

    def add(self, values: pa.Array) -> None:
        """Learn from the next values; what is no finite number is judged elsewhere."""
        super().add(values)
        known = values.drop_null().to_numpy(zero_copy_only=False)
        known = known[np.isfinite(known)]
        if len(known) == 0:
            return
        self.sample.add(known)
        self.lowest = min(self.lowest, float(known.min()))
        self.highest = max(self.highest, float(known.max()))
        if self._counts_up:
            start = known[:1] - 1 if self._before is None else np.array([self._before])
            self._counts_up = bool((np.diff(np.concatenate([start, known])) == 1).all())
            self._before = float(known[-1])

    @property
    def is_row_number(self) -> bool:
        """Whether each value is one more than that before it."""
        return self._counts_up and self.n_valid > 0


class TextColumn(Column):
    """A column of texts, of which the lengths are kept and not the texts."""

    def __init__(self, name: str, kind: str = "text") -> None:
        super().__init__(name, kind)
        self.lengths = ThinnedSample()
        self._digests: set[int] = set()

    def add(self, values: pa.Array) -> None:
        """Learn from the next texts."""
        super().add(values)
        known = values.drop_null()
        self.lengths.add(pc.utf8_length(known).to_numpy(zero_copy_only=False).astype(np.int64))
        if len(self._digests) <= MAX_DISTINCT:
            self._digests.update(map(hash, known.to_pylist()))

    @property
    def n_distinct(self) -> int | None:
        """How many differ; None where that are over 20,000."""
        return len(self._digests) if len(self._digests) <= MAX_DISTINCT else None


class CategoryColumn(Column):
    """A column of categories, counted as long as they are few."""

    def __init__(self, name: str, kind: str = "category") -> None:
        super().__init__(name, kind)
        self._counts: Counter[str] = Counter()
        self.n_counted = 0
        """Values that were counted; fewer than there are where there are too many to count."""

    def add(self, values: pa.Array) -> None:
        """Learn from the next values."""
        super().add(values)
        if len(self._counts) > MAX_DISTINCT:
            return
        known = values.drop_null()
        counted = pc.value_counts(known)
        found = zip(
            counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True
        )
        for value, count in found:
            for category in categories_in(value) if self.kind == "labels" else (value,):
                self._counts[category] += count
        self.n_counted += len(known)

    @property
    def counts(self) -> dict[str, int]:
        """Records of each category, in the order of Unicode; {} where there are too many."""
        return dict(sorted(self._counts.items())) if len(self._counts) <= MAX_DISTINCT else {}

    @property
    def n_distinct(self) -> int | None:
        """How many differ; None where that are over 20,000."""
        return len(self._counts) if len(self._counts) <= MAX_DISTINCT else None

    @property
    def n_found(self) -> int:
        """How many differ among those that were counted."""
        return len(self._counts)


class TimeColumn(Column):
    """A column of moments."""

    def __init__(self, name: str, kind: str = "time") -> None:
        super().__init__(name, kind)
        self.sample = ThinnedSample()
        self.first: int | None = None
        self.last: int | None = None

    def add(self, values: pa.Array) -> None:
        """Learn from the next moments."""
        super().add(values)
        known = microseconds(values.drop_null())
        if len(known) == 0:
            return
        self.sample.add(known)
        first, last = int(known.min()), int(known.max())
        self.first = first if self.first is None else min(self.first, first)
        self.last = last if self.last is None else max(self.last, last)


AnyColumn = NumberColumn | TextColumn | CategoryColumn | TimeColumn | Column


def column_of(name: str, kind: str) -> AnyColumn:
    """Return what learns about a column of some type."""
    if kind == "number":
        return NumberColumn(name)
    if kind == "time":
        return TimeColumn(name)
    if kind == "text":
        return TextColumn(name)
    if kind in ("category", "labels", "key"):
        return CategoryColumn(name, kind)
    return Column(name, kind)


def microseconds(moments: pa.Array) -> NDArray[np.int64]:
    """Return moments, none of them null, as microseconds since 1970."""
    numbers = moments.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, dtype=np.int64)


def categories_in(cell: str) -> Sequence[str]:
    """Return the categories of a cell that holds several.

    >>> categories_in("red; green;")
    ['red', 'green']
    """
    return [part for each in cell.split(LABEL_JOINT) if (part := each.strip())]


def moment(microsecond: int) -> str:
    """Write a moment.

    >>> moment(1_700_000_000_000_000)
    '2023-11-14T22:13:20'
    """
    return str(np.datetime_as_string(np.datetime64(microsecond, "us"), unit="s"))
