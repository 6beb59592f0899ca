"""Guess what a column of text holds from some of its cells, and say why."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Literal

from tasks.params.collect import ColumnType

IMAGE_ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
AUDIO_ENDINGS = frozenset((".wav", ".flac", ".ogg", ".mp3", ".opus", ".aif", ".aiff"))
PARTS = frozenset(
    ["train", "training", "test", "testing", "val", "valid", "validate", "validation", "dev"]
)

TimeUnit = Literal["iso", "s", "ms", "us", "ns"]

_TIME_NAMES = frozenset(["t", "ts", "time", "timestamp", "date", "datetime", "at"])
_KEY_NAMES = re.compile(r"(^|_)(id|key|uuid|guid|code|no|nr)$")
_LOOKED_AT = 200
SENTENCE_WORDS = 3
"""Cells of as many words or more, on average, are language and not names."""

_EPOCHS: tuple[tuple[TimeUnit, float, float], ...] = (
    ("s", 6e8, 4e9),
    ("ms", 6e11, 4e12),
    ("us", 6e14, 4e15),
    ("ns", 6e17, 4e18),
)
"""Numbers since 1970 of the years 1989 to 2096, by unit."""


@dataclass(frozen=True)
class ColumnGuess:
    """What a column seems to hold.

    Attributes:
        name: The column.
        kind: Its type, or None where it should be left out.
        why: What speaks for that.
        n_rows: Rows that were looked at.
        n_null: Those of them without a value.
        n_distinct: Distinct values among them.
        examples: The first few distinct values.
        remarks: What to look out for, such as values that are nearly all the same.
        as_input: Whether a model could learn from it.
        time_unit: How a time is written.
        values: All the distinct values.
    """

    name: str
    kind: ColumnType | None
    why: str
    n_rows: int
    n_null: int
    n_distinct: int
    examples: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    as_input: bool = True
    time_unit: TimeUnit = "iso"
    values: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def is_unique(self) -> bool:
        """Tell whether each row has a value of its own."""
        return self.n_null == 0 and self.n_distinct == self.n_rows > 1


def guess_column(
    name: str, cells: Sequence[str | None], is_file: Callable[[str], bool]
) -> ColumnGuess:
    """Guess the type of a column.

    Args:
        name: The column.
        cells: Some of its cells; "" and None are no value.
        is_file: Tells whether a path, as a cell has it, is a file that is there.
    """
    values = [cell for cell in cells if cell]
    counts = Counter(values)
    kind, why, unit = _kind_of(name, values, counts, is_file)
    remarks = []
    as_input = kind in ("image", "audio", "text", "number", "category")
    if not values:
        remarks.append("no row has a value")
    elif len(counts) == 1 and len(values) > 1:
        remarks.append("constant")
        as_input = False
    elif counts.most_common(1)[0][1] >= 0.995 * len(values) and len(values) >= 200:
        remarks.append(f"near-constant: {counts.most_common(1)[0][1]:,} rows say the same")
        as_input = False
    if kind == "key" and len(counts) > 0.9 * len(values) and len(values) > 20:
        remarks.append("id-like: it names rows, so it is no input")
    return ColumnGuess(
        name=name,
        kind=kind,
        why=why,
        n_rows=len(cells),
        n_null=len(cells) - len(values),
        n_distinct=len(counts),
        examples=tuple(list(counts)[:3]),
        remarks=tuple(remarks),
        as_input=as_input,
        time_unit=unit,
        values=frozenset(counts),
    )


def _kind_of(
    name: str, values: Sequence[str], counts: Counter[str], is_file: Callable[[str], bool]
) -> tuple[ColumnType | None, str, TimeUnit]:
    if not values:
        return None, "all null", "iso"
    some = list(counts)[:_LOOKED_AT]
    if len(counts) == 1 and len(values) > 1:
        return ("category" if numbers_in(some) is None else "number"), "one value", "iso"
    if found := _files_kind(some, is_file):
        return (*found, "iso")
    if all(_is_iso(cell) for cell in some):
        return "time", "ISO 8601 times", "iso"
    numbers = numbers_in(values)
    if numbers is not None:
        return _number_kind(name, numbers, counts)
    if {value.lower() for value in counts} <= PARTS and len(counts) > 1:
        return "category", "names of sets", "iso"
    if _seem_labels(some, counts):
        return "labels", "several words parted by ';'", "iso"
    return (*_word_kind(name, values, counts), "iso")


def _files_kind(
    some: Sequence[str], is_file: Callable[[str], bool]
) -> tuple[ColumnType, str] | None:
    endings = Counter(PurePosixPath(cell).suffix.lower() for cell in some)
    ending, count = endings.most_common(1)[0]
    if not ending or count < 0.5 * len(some) or len(ending) > 8 or ending[1:].isdigit():
        return None
    there = sum(is_file(cell) for cell in some)
    kinds: dict[ColumnType, frozenset[str]] = {"image": IMAGE_ENDINGS, "audio": AUDIO_ENDINGS}
    for kind, known in kinds.items():
        if sum(endings[e] for e in known) >= 0.9 * len(some):
            if there >= 0.5 * len(some):
                return kind, f"{there:,} of {len(some):,} name a file that is there"
            return "key", f"names of {kind} files, of which only {there:,} are there"
    if there >= 0.9 * len(some):
        return "key", f"names files ending in {ending}"
    return None


def _number_kind(
    name: str, numbers: Sequence[float], counts: Counter[str]
) -> tuple[ColumnType, str, TimeUnit]:
    whole = all(number.is_integer() for number in numbers)
    unit = _epoch_unit(name, numbers)
    if unit is not None:
        return "time", f"numbers of {unit} that grow from row to row", unit
    if any(_is_padded(value) for value in counts):
        return "key", "numbers with zeros in front", "iso"
    words = set(name.lower().split("_"))
    if whole and (_KEY_NAMES.search(name.lower()) or len(counts) == len(numbers) > 20):
        return "key", "whole numbers that name something", "iso"
    whole = whole and not any("." in value or "e" in value.lower() for value in counts)
    few = len(counts) <= min(20, max(2, len(numbers) // 20))
    if whole and few and "count" not in words and "n" not in words:
        return "category", f"{_counted(len(counts), 'whole number')} that come back", "iso"
    return "number", "numbers", "iso"


def _epoch_unit(name: str, numbers: Sequence[float]) -> TimeUnit | None:
    """Return the unit of numbers that seem to be times: by their name, or by year and order."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    if len(set(numbers)) < 2 or min(numbers) < 0:
        return None
    grows = _n_steps_up(numbers) >= 0.95 * (len(numbers) - 1)
    within = [u for u, low, high in _EPOCHS if low <= min(numbers) and max(numbers) <= high]
    if within and (words & _TIME_NAMES or (grows and len(numbers) >= 20)):
        return within[0]
    return "s" if words & _TIME_NAMES and grows and len(numbers) >= 20 else None


def _n_steps_up(numbers: Sequence[float]) -> int:
    return sum(b >= a for a, b in pairwise(numbers))


def _word_kind(name: str, values: Sequence[str], counts: Counter[str]) -> tuple[ColumnType, str]:
    n_words = sum(len(value.split()) for value in counts) / len(counts)
    few = len(counts) <= max(20, min(200, len(values) // 20))
    longest = max(map(len, counts))
    if _KEY_NAMES.search(name.lower()):
        return "key", "its name says that it names something"
    comes_back = few and len(counts) < max(2, 0.5 * len(values))
    if comes_back and longest <= 60 and n_words < SENTENCE_WORDS:
        return "category", f"{_counted(len(counts), 'word')} that come back"
    if n_words < 1.5 and longest <= 80:
        return "key", f"{_counted(len(counts), 'single word')}"
    return "text", f"{n_words:.0f} words on average"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("s" if count != 1 else "")


def _seem_labels(some: Sequence[str], counts: Counter[str]) -> bool:
    several = [cell for cell in some if ";" in cell]
    tokens = Counter(token.strip() for cell in counts for token in cell.split(";"))
    short = all(len(token) <= 40 for token in tokens)
    return len(several) >= 0.2 * len(some) and short and len(tokens) < 0.5 * tokens.total()


def _is_iso(cell: str) -> bool:
    if len(cell) < 8 or not cell[:4].isdigit() or not ({"-", "T", ":"} & set(cell)):
        return False
    try:
        datetime.fromisoformat(cell.strip())
    except ValueError:
        return False
    return True


def _is_padded(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == "0" and cell.isdigit()


def numbers_in(cells: Sequence[str]) -> list[float] | None:
    """Return cells as numbers, or None where one of them is none.

    >>> numbers_in(["1", "2.5"]), numbers_in(["1", "nan"]), numbers_in(["1_0"])
    ([1.0, 2.5], None, None)
    """
    numbers = []
    for cell in cells:
        try:
            number = float(cell) if "_" not in cell else math.nan
        except ValueError:
            return None
        if not math.isfinite(number):
            return None
        numbers.append(number)
    return numbers
