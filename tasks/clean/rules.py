"""What one pass over a source teaches: how its columns are judged, and what is told of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.clean.categories import Typo, lookalikes, merges, typos
from tasks.clean.columns import AnyColumn, CategoryColumn, NumberColumn, TimeColumn
from tasks.clean.numbers import Usual, usual
from tasks.clean.sensors import SensorSurvey
from tasks.errors import listing
from tasks.params.clean import CleanParams
from tasks.samples.wording import number, percent, short

MIN_JUDGED = 20
ID_LIKE_FRACTION = 0.9
MIN_ID_LIKE = 50
IMBALANCED_FRACTION = 0.999
MIN_IMBALANCED = 100
_DAY_US = 86_400 * 10**6
_YEAR_US = 366 * _DAY_US
_MAX_TOLD = 5


class ColumnFinding(NamedTuple):
    """Something odd about a column as a whole."""

    column: str
    check: str
    detail: str


@dataclass(frozen=True)
class Declared:
    """What the settings say of a source's columns.

    Attributes:
        required: Columns that may not be empty.
        limits: Lowest and highest value of some numbers.
        categories: All values that some categories may have.
        compared: Columns that make two records duplicates where they agree in all of them.
    """

    required: tuple[str, ...]
    limits: Mapping[str, tuple[float | None, float | None]]
    categories: Mapping[str, frozenset[str]]
    compared: tuple[str, ...]


@dataclass(frozen=True)
class Rules:
    """How the records of a source are judged.

    Attributes:
        declared: What the settings say.
        merged: For each column, categories that are written differently from now on.
        typos: For each column, categories that are probably typing errors.
        usual: For each number column what is usual.
        times: For each time column the first and last plausible moment, in microseconds.
        sensor: What the readings of a sensor are like.
        max_gap_seconds: Time between two readings that is a gap; None to go by the usual ones.
    """

    declared: Declared
    merged: Mapping[str, dict[str, str]]
    typos: Mapping[str, dict[str, Typo]]
    usual: Mapping[str, Usual]
    times: Mapping[str, tuple[int, int]]
    sensor: SensorSurvey | None
    max_gap_seconds: float | None

    def longest_step_seconds(self, series: str) -> float:
        """Return how far two readings of a recording may be apart."""
        if self.max_gap_seconds is not None:
            return self.max_gap_seconds
        return self.sensor.longest_usual_seconds(series) if self.sensor else np.inf


def rules_of(
    columns: Mapping[str, AnyColumn],
    sensor: SensorSurvey | None,
    declared: Declared,
    limits: CleanParams,
) -> Rules:
    """Decide how records are judged, from what their columns hold."""
    merged: dict[str, dict[str, str]] = {}
    suspected: dict[str, dict[str, Typo]] = {}
    for name, column in columns.items():
        if not isinstance(column, CategoryColumn) or column.kind == "key":
            continue
        known = declared.categories.get(name, frozenset())
        spellings = merges(column.counts, known) if limits.merge_category_variants != "off" else {}
        after = counts_after(column.counts, spellings)
        found = {} if name in declared.categories else {t.written: t for t in typos(after)}
        if limits.action("category_typo") == "fix":
            spellings = followed(spellings, {t.written: t.meant for t in found.values()})
        if spellings:
            merged[name] = spellings
        if found:
            suspected[name] = found
    numbers = {n: c for n, c in columns.items() if isinstance(c, NumberColumn)}
    moments = {n: c for n, c in columns.items() if isinstance(c, TimeColumn)}
    return Rules(
        declared=declared,
        merged=merged,
        typos=suspected,
        usual={
            name: found_usual
            for name, column in numbers.items()
            if (found_usual := usual(column.sample.values(), limits.outlier_deviations))
        },
        times={
            name: bounds
            for name, column in moments.items()
            if (bounds := plausible_times(column.sample.values()))
        },
        sensor=sensor,
        max_gap_seconds=limits.max_gap_seconds,
    )


def counts_after(counts: Mapping[str, int], spellings: Mapping[str, str]) -> dict[str, int]:
    """Return how many records each category has once some are written differently."""
    after: dict[str, int] = {}
    for category, n in counts.items():
        stays = spellings.get(category, category)
        after[stays] = after.get(stays, 0) + n
    return after


def followed(first: Mapping[str, str], then: Mapping[str, str]) -> dict[str, str]:
    """Return one mapping that does what two do one after the other.

    >>> followed({"Cta": "cta"}, {"cta": "cat"})
    {'Cta': 'cat', 'cta': 'cat'}
    """
    return {old: then.get(new, new) for old, new in first.items()} | dict(then)


def plausible_times(sample: NDArray[np.float64]) -> tuple[int, int] | None:
    """Return the first and last moment that fit the bulk of some; None where there are too few.

    The bulk is all but the first and last of a hundred. A moment may lie as far outside as the
    bulk is long, and a day more; one of the first days of 1970, where clocks start that were never
    set, does not fit a bulk that is a year later or more.
    """
    if len(sample) < MIN_JUDGED:
        return None
    start, end = np.quantile(sample, (0.01, 0.99), method="nearest").tolist()
    margin = end - start + _DAY_US
    earliest = start - margin
    if start > _YEAR_US:
        earliest = max(earliest, _DAY_US)
    return int(earliest), int(end + margin)


def column_findings(
    columns: Mapping[str, AnyColumn], rules: Rules, limits: CleanParams
) -> list[ColumnFinding]:
    """Return what is odd about columns as a whole, for the checks that are on."""
    found = [
        finding
        for column in columns.values()
        for finding in _odd(column, rules, limits)
        if limits.action(finding.check) == "flag"
    ]
    return sorted(found)


def _odd(column: AnyColumn, rules: Rules, limits: CleanParams) -> Iterator[ColumnFinding]:
    name = column.name
    if column.n_valid == 0:
        if column.n_null:
            yield ColumnFinding(name, "null_column", "no record has a value in it")
        return
    if isinstance(column, NumberColumn):
        yield from _odd_numbers(column, rules.usual.get(name))
    elif isinstance(column, CategoryColumn) and column.kind != "key":
        yield from _odd_categories(column, rules.merged.get(name, {}), limits)


def _odd_numbers(column: NumberColumn, found: Usual | None) -> Iterator[ColumnFinding]:
    name = column.name
    if column.lowest == column.highest and column.n_valid > 1:
        yield ColumnFinding(name, "constant_column", f"every value is {number(column.lowest)}")
    elif column.is_row_number and column.n_valid >= MIN_ID_LIKE:
        yield ColumnFinding(name, "id_like_column", "each value is one more than the one before it")
    if found and found.long_tails:
        detail = (
            f"{percent(found.long_tails)} of its values are far from the middle; that is the shape "
            "of the column, so none is flagged"
        )
        yield ColumnFinding(name, "outlier", detail)
    if found and found.jump:
        detail = (
            f"some values are about {found.jump.factor:,.0f} times the others, as if in another "
            f"unit; they part at {number(found.jump.cut)}"
        )
        yield ColumnFinding(name, "unit_jump", detail)


def _odd_categories(
    column: CategoryColumn, spellings: Mapping[str, str], limits: CleanParams
) -> Iterator[ColumnFinding]:
    name = column.name
    if _is_id_like(column):
        n = f"{column.n_found:,}" if column.n_distinct is not None else f"over {column.n_found:,}"
        detail = f"{n} different values in {column.n_counted:,} records; a model learns little here"
        yield ColumnFinding(name, "id_like_column", detail)
        return
    counts = counts_after(column.counts, spellings)
    total = sum(counts.values())
    if len(counts) == 1 and total > 1:
        yield ColumnFinding(
            name, "constant_column", f"every value is '{short(next(iter(counts)))}'"
        )
    elif counts and total >= MIN_IMBALANCED and max(counts.values()) > IMBALANCED_FRACTION * total:
        most = max(counts, key=lambda category: counts[category])
        detail = f"{counts[most]:,} of its {total:,} values are '{short(most)}'"
        yield ColumnFinding(name, "imbalanced_column", detail)
    rare = sorted((n, c) for c, n in counts.items() if n < limits.min_records_per_category)
    if rare:
        told = ", ".join(f"'{short(c)}' ({n})" for n, c in rare[:_MAX_TOLD])
        more = f" and {len(rare) - _MAX_TOLD:,} more" if len(rare) > _MAX_TOLD else ""
        detail = (
            f"{len(rare):,} of {len(counts):,} categories have fewer than "
            f"{limits.min_records_per_category} records: {told}{more}"
        )
        yield ColumnFinding(name, "rare_category", detail)
    for group in lookalikes(counts):
        detail = f"{listing(short(c) for c in group)} look alike and are kept apart"
        yield ColumnFinding(name, "lookalike_categories", detail)


def _is_id_like(column: CategoryColumn) -> bool:
    if column.n_distinct is None:
        return True
    return column.n_valid >= MIN_ID_LIKE and column.n_distinct >= ID_LIKE_FRACTION * column.n_valid
