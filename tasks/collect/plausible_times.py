"""Times that are far from all others of their column: a clock that was never set, or far ahead."""

from collections import Counter, defaultdict

import pyarrow as pa
import pyarrow.compute as pc

FAR_YEARS = 20


class Years:
    """How many times fall in each year, by column."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[int]] = defaultdict(Counter)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the times of some records."""
        for field in batch.schema:
            if pa.types.is_timestamp(field.type):
                found = pc.value_counts(pc.year(batch.column(field.name).drop_null()))
                self._counts[field.name].update(
                    dict(zip(*(found.field(i).to_pylist() for i in (0, 1)), strict=True))
                )

    def implausible(self) -> dict[str, int]:
        """Count, for each column, the times that are decades from the middle one, if any are."""
        far = {name: far_from_others(counts) for name, counts in self._counts.items()}
        return {name: count for name, count in far.items() if count}


def far_from_others(years: Counter[int]) -> int:
    """Count what lies decades from the median year.

    >>> far_from_others(Counter({2024: 90, 1970: 3, 2023: 50}))
    3
    """
    half, passed, middle = years.total() / 2, 0, 0
    for middle in sorted(years):
        passed += years[middle]
        if passed >= half:
            break
    return sum(count for year, count in years.items() if abs(year - middle) >= FAR_YEARS)
