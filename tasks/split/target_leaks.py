"""Columns that give the target away: a copy of it, or a value that was known only afterwards.

Looked for in up to 50,000 samples, those with the lowest hash of their name. What is told as giving
the target away was learnt on one half of the groups and measured on the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.samples.schema import TARGET, Contract, SampleSchema
from tasks.samples.tables import iter_batches, open_table
from tasks.samples.wording import short
from tasks.split.keys import Keys, mixed, salt
from tasks.split.sample_keys import BATCH_ROWS, media_columns, text_columns

MOST_SAMPLES = 50_000
MOST_TEXTS = 5_000
MOST_CLASSES = 50
MOST_BINS = 1_000
FEWEST_SAMPLES = 20
COPIES = 0.999
GIVEN_AWAY = 0.99
NAMED, NAMED_BY_CHANCE = 0.95, 0.05
ORDER = "order of samples"

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class TargetLeak(Contract):
    """One column that gives the target away."""

    column: str
    """Its full name; "order of samples" for the order in which they stand."""

    kind: str
    """``copy``, ``copy_by_other_names``, ``gives_away``, ``names_target``, ``path_names_target``
    or ``order_gives_away``."""

    measure: str
    value: float
    n_samples: int
    is_input: bool
    """Whether a model reads it."""

    @property
    def is_copy(self) -> bool:
        """Whether an input is the target itself."""
        return self.is_input and self.kind.startswith("copy")

    @property
    def is_telling(self) -> bool:
        """Whether a person should know: no model reads paths or the order of samples."""
        return self.is_input or (self.kind == "order_gives_away" and self.column != ORDER)

    def line(self) -> str:
        """Say what was found."""
        words = {
            "copy": "is a copy of the target",
            "copy_by_other_names": "is the target by other names: each value goes with one class "
            "and each class with one value",
            "gives_away": "alone nearly gives the target",
            "names_target": "names the target in its text",
            "path_names_target": "names the target in its path; no model reads paths, so keep "
            "them out of the inputs",
            "order_gives_away": "goes in the order of the target",
        }[self.kind]
        return (
            f"'{self.column}' {words} ({self.measure} {self.value:.3f}, {self.n_samples:,} samples)"
        )


@dataclass(frozen=True)
class Sampled:
    """Some samples to look for leaks in.

    Attributes:
        table: Their target and columns.
        learnt_on: ``(n_sampled,)`` the half that is learnt from.
        place: ``(n_sampled,)`` where they stand among all samples.
    """

    table: pa.Table
    learnt_on: NDArray[np.bool_]
    place: Codes


def sample_some(path: Path, schema: SampleSchema, ids: Keys, groups: Keys) -> Sampled:
    """Read the samples to look for leaks in, a batch at a time.

    Args:
        path: The samples.
        schema: Their schema.
        ids: ``(n_samples,)`` keys of their names.
        groups: ``(n_samples,)`` keys of their groups.
    """
    drawn = mixed(ids ^ salt("target leaks"))
    rows = np.sort(np.argsort(drawn, kind="stable")[:MOST_SAMPLES])
    available = open_table(path).schema_arrow.names
    texts = text_columns(schema)
    tabular = [c.name for s in schema.inputs for c in s.columns]
    paths = [f"{c}.path" for c in media_columns(schema) if f"{c}.path" in available]
    columns = [TARGET, *dict.fromkeys([*tabular, *texts, *paths, *time_columns(path)])]
    parts, start = [], 0
    for batch in iter_batches(path, columns, BATCH_ROWS):
        own = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + len(batch))]
        parts.append(batch.take(pa.array(own - start)))
        start += len(batch)
    table = pa.Table.from_batches(parts)
    halves = mixed(groups[rows] ^ salt("halves")) >> np.uint64(63) == 0
    return Sampled(table, halves, rows)


def time_columns(path: Path) -> list[str]:
    """Return the columns of a samples table that hold times."""
    fields = open_table(path).schema_arrow
    return [field.name for field in fields if pa.types.is_timestamp(field.type)]


def find_target_leaks(sampled: Sampled, schema: SampleSchema) -> list[TargetLeak]:
    """Find the columns that give the target away, inputs first.

    A target that is a text or several classes is looked for as a copy only.
    """
    table = sampled.table
    if table.num_rows < FEWEST_SAMPLES or len(table[TARGET].unique()) < 2:
        return []
    target = _Target(table[TARGET], schema.target_kind, sampled.learnt_on)
    found: list[TargetLeak] = []
    inputs = [
        *(c.name for s in schema.inputs for c in s.columns),
        *text_columns(schema),
    ]
    for column in dict.fromkeys(inputs):
        found += _of_input(column, table[column], target, column in text_columns(schema))
    for column in table.column_names:
        if column.endswith(".path") and column.removesuffix(".path") in media_columns(schema):
            found += _named_in(column, table[column], target, "path_names_target", is_input=False)
        elif pa.types.is_timestamp(table[column].type):
            times = table[column].cast(pa.int64()).cast(pa.float64())
            found += _order(column, times, target)
    place = pa.chunked_array([pa.array(sampled.place.astype(np.float64))])
    return [*found, *_order(ORDER, place, target)]


def _of_input(
    column: str, values: pa.ChunkedArray, target: "_Target", is_text: bool
) -> Iterator[TargetLeak]:
    """Yield what an input gives away: the plainest finding only."""
    n, equal = target.equal_to(values)
    if n >= FEWEST_SAMPLES and equal >= COPIES:
        yield TargetLeak(
            column=column,
            kind="copy",
            measure="part equal",
            value=equal,
            n_samples=n,
            is_input=True,
        )
        return
    if not is_text and target.is_renamed(values):
        yield TargetLeak(
            column=column,
            kind="copy_by_other_names",
            measure="part in step",
            value=1.0,
            n_samples=n,
            is_input=True,
        )
        return
    if not is_text:
        measure, score, scored = target.given_away_by(values)
        if score > GIVEN_AWAY:
            yield TargetLeak(
                column=column,
                kind="gives_away",
                measure=measure,
                value=score,
                n_samples=scored,
                is_input=True,
            )
            return
    if not pa.types.is_floating(values.type):
        yield from _named_in(column, values, target, "names_target", is_input=True)


def _named_in(
    column: str, values: pa.ChunkedArray, target: "_Target", kind: str, is_input: bool
) -> Iterator[TargetLeak]:
    n, own, others = target.named_by(values)
    if n >= FEWEST_SAMPLES and own >= NAMED and others <= NAMED_BY_CHANCE:
        yield TargetLeak(
            column=column,
            kind=kind,
            measure="part that names it",
            value=own,
            n_samples=n,
            is_input=is_input,
        )


def _order(column: str, values: pa.ChunkedArray, target: "_Target") -> Iterator[TargetLeak]:
    measure, score, n = target.given_away_by(values)
    if score > GIVEN_AWAY:
        yield TargetLeak(
            column=column,
            kind="order_gives_away",
            measure=measure,
            value=score,
            n_samples=n,
            is_input=False,
        )


class _Target:
    """The target of some samples, and how well other columns tell it."""

    def __init__(self, values: pa.ChunkedArray, kind: str, learnt_on: NDArray[np.bool_]) -> None:
        self._values, self._kind, self._learnt_on = values, kind, learnt_on
        if kind == "number":
            self._numbers: Floats = values.to_numpy()
        else:
            coded = values.combine_chunks().dictionary_encode()
            self._names = coded.dictionary.to_pylist()
            self._codes: Codes = coded.indices.to_numpy().astype(np.int64)

    def equal_to(self, values: pa.ChunkedArray) -> tuple[int, float]:
        """Return how many cells there are, and the part that says the same as the target.

        A number says the same where it is the target in another unit.
        """
        there = values.is_valid().to_numpy()
        n = int(there.sum())
        if not n:
            return 0, 0.0
        numbers = _as_numbers(values)
        if self._kind == "number":
            both = there & np.isfinite(numbers) & np.isfinite(self._numbers)
            a, b = numbers[both], self._numbers[both]
            if len(a) < max(FEWEST_SAMPLES, COPIES * n) or a.std() == 0 or b.std() == 0:
                return n, 0.0
            in_step = float(abs(np.corrcoef(a, b)[0, 1]))
            return n, 1.0 if in_step > 1 - 1e-9 else float((a == b).sum() / n)
        if pa.types.is_floating(values.type):
            told = _as_numbers(self._values)
            return n, float((numbers[there] == told[there]).mean())
        same = pc.equal(_plain(values), _plain(self._values))
        return n, int(pc.sum(same).as_py() or 0) / n

    def is_renamed(self, values: pa.ChunkedArray) -> bool:
        """Return whether each value goes with one class, each class with one value, many times."""
        if self._kind != "category":
            return False
        coded = values.combine_chunks().dictionary_encode()
        there = coded.is_valid().to_numpy(zero_copy_only=False)
        codes = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)[there]
        n_values, n_seen = len(coded.dictionary), int(there.sum())
        if n_values < 2 or n_seen < FEWEST_SAMPLES or n_seen < 5 * n_values:
            return False
        own = self._codes[there]
        n_pairs = len(np.unique(codes.astype(np.int64) * len(self._names) + own))
        return n_pairs == n_values == len(np.unique(own))

    def given_away_by(self, values: pa.ChunkedArray) -> tuple[str, float, int]:
        """Return a measure, how well a column tells the target by it, and on how many samples.

        AUC of each class against the rest, on average; R² for a number. 0 where it cannot be told.
        """
        bins, n_bins = _bins(values, self._learnt_on)
        learn, judge = self._learnt_on, ~self._learnt_on
        if learn.sum() < FEWEST_SAMPLES or judge.sum() < FEWEST_SAMPLES or n_bins < 2:
            return "", 0.0, 0
        n = int(judge.sum())
        if self._kind == "number":
            return "R²", self._r2(bins, n_bins), n
        if self._kind != "category":
            return "", 0.0, 0
        n_each = np.bincount(self._codes, minlength=len(self._names))
        classes = np.argsort(-n_each, kind="stable")[:MOST_CLASSES]
        learnt = _counts(bins[learn], self._codes[learn], n_bins, len(self._names))[:, classes]
        seen = np.bincount(bins[learn], minlength=n_bins)
        judged = _counts(bins[judge], self._codes[judge], n_bins, len(self._names))[:, classes]
        of_bin = np.bincount(bins[judge], minlength=n_bins)
        prior = learnt.sum(axis=0) / max(1, learn.sum())
        likely = (learnt + prior) / (seen[:, None] + 1)
        areas = [
            _auc(likely[:, c], judged[:, c], of_bin - judged[:, c])
            for c in range(len(classes))
            if judged[:, c].sum() >= 3 and (of_bin - judged[:, c]).sum() >= 3
        ]
        return "AUC", float(np.mean(areas)) if areas else 0.0, n

    def _r2(self, bins: Codes, n_bins: int) -> float:
        learn, judge = self._learnt_on, ~self._learnt_on
        seen = np.bincount(bins[learn], minlength=n_bins)
        sums = np.bincount(bins[learn], weights=self._numbers[learn], minlength=n_bins)
        mean = self._numbers[learn].mean()
        told = np.where(seen > 0, sums / np.maximum(1, seen), mean)[bins[judge]]
        truth = self._numbers[judge]
        spread = float(((truth - truth.mean()) ** 2).sum())
        return 1 - float(((truth - told) ** 2).sum()) / spread if spread > 0 else 0.0

    def named_by(self, values: pa.ChunkedArray) -> tuple[int, float, float]:
        """Return how many texts were read, the part that names the own class, and another one."""
        if self._kind != "category" or len(self._names) > MOST_BINS:
            return 0, 0.0, 0.0
        there = np.flatnonzero(values.is_valid().to_numpy())[:MOST_TEXTS]
        texts, own = values.take(there).cast(pa.string()), self._codes[there]
        n_own, n_other, n_asked = 0, 0.0, 0
        n_each = np.bincount(own, minlength=len(self._names))
        for code in np.argsort(-n_each, kind="stable")[:MOST_CLASSES].tolist():
            if not n_each[code]:
                continue
            named = pc.match_substring_regex(texts, _as_word(self._names[code]), ignore_case=True)
            is_named = named.to_numpy(zero_copy_only=False).astype(bool)
            n_own += int(is_named[own == code].sum())
            n_other += float(is_named[own != code].mean()) if (own != code).any() else 0.0
            n_asked += int(n_each[code])
        n_classes = min(MOST_CLASSES, int((n_each > 0).sum()))
        return n_asked, n_own / max(1, n_asked), n_other / max(1, n_classes)


def _as_word(label: str) -> str:
    """Return a pattern (RE2) that finds a label where it stands by itself."""
    escaped = "".join(c if c.isalnum() or ord(c) > 127 else f"\\x{{{ord(c):x}}}" for c in label)
    return rf"(^|[^\pL\pN]){escaped}($|[^\pL\pN])"


def _as_numbers(values: pa.ChunkedArray) -> Floats:
    if not pa.types.is_floating(values.type):
        text = pc.utf8_trim_whitespace(values.cast(pa.string()))
        is_number = pc.match_substring_regex(text, r"^[+-]?\d+(\.\d+)?$")
        values = pc.if_else(is_number, text, pa.scalar(None, pa.string())).cast(pa.float64())
    return np.asarray(values.fill_null(np.nan).to_numpy())


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_lower(pc.utf8_trim_whitespace(values.cast(pa.string())))


def _bins(values: pa.ChunkedArray, learnt_on: NDArray[np.bool_]) -> tuple[Codes, int]:
    """Put values into bins: numbers by quantiles, others by value; no value is a bin too."""
    if pa.types.is_floating(values.type):
        numbers = values.fill_null(np.nan).to_numpy()
        there = np.isfinite(numbers)
        known = np.unique(numbers[there & learnt_on])
        if len(known) > MOST_BINS // 4:
            ends = np.linspace(0, 1, MOST_BINS // 4 + 1)[1:-1]
            known = np.unique(np.quantile(numbers[there & learnt_on], ends))
        bins = np.where(there, np.searchsorted(known, numbers, side="left") + 1, 0)
        return bins.astype(np.int64), len(known) + 2
    coded = values.combine_chunks().dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
    n_each = np.bincount(codes, minlength=len(coded.dictionary) + 1)
    kept = np.argsort(-n_each, kind="stable")[:MOST_BINS]
    place = np.full(len(n_each), len(kept), dtype=np.int64)
    place[kept] = np.arange(len(kept))
    return place[codes], len(kept) + 1


def _counts(bins: Codes, classes: Codes, n_bins: int, n_classes: int) -> NDArray[np.int64]:
    counts = np.bincount(bins * n_classes + classes, minlength=n_bins * n_classes)
    return counts.reshape(n_bins, n_classes)


def _auc(score: Floats, positive: Codes, negative: Codes) -> float:
    """Return the area under the curve of scores that come with counts; equal scores count half."""
    level, inverse = np.unique(score, return_inverse=True)
    up = np.bincount(inverse, weights=positive, minlength=len(level))
    down = np.bincount(inverse, weights=negative, minlength=len(level))
    below = np.cumsum(down) - down
    return float((up * (below + down / 2)).sum() / (up.sum() * down.sum()))


def require_no_copy(leaks: Sequence[TargetLeak], schema: SampleSchema) -> None:
    """Fail where an input column is a copy of the target.

    Raises:
        DataError: Naming each such column.
    """
    copies = [leak for leak in leaks if leak.is_copy]
    if copies:
        told = "; ".join(leak.line() for leak in copies)
        columns = ", ".join(leak.column for leak in copies)
        raise DataError(
            f"split: expected inputs from which '{schema.target_column}' has to be learnt, but "
            f"{told}; take {short(columns, 200)} out of align.inputs, or set split.target_leaks: "
            "report if it is known when predictions are made"
        )
