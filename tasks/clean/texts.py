"""Bring text to one form, so that equal labels and keys are equal; find blank text; mend faults."""

import unicodedata
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.clean.columns import LABEL_JOINT, categories_in
from tasks.clean.text_checks import null_like, ungarbled, without_odd_characters
from tasks.params.collect import ColumnType

_INVISIBLE = "[\u200b\u2060\ufeff]"
_EDGES = r"\A[\p{Z}\p{Cc}\p{Cf}]+|[\p{Z}\p{Cc}\p{Cf}]+\z"
_BLANK = r"\A[\p{Z}\p{Cc}\p{Cf}]*\z"


def normalised(column: pa.Array, kind: ColumnType) -> pa.Array:
    r"""Return a column in Unicode's composed form (NFC).

    Categories and keys also lose white space around them and characters that cannot be seen; what
    is blank then is null. Text keeps its own white space.

    >>> normalised(pa.array([" cat", "ca\u200bt", " "]), "category").to_pylist()
    ['cat', 'cat', None]
    """
    composed = _composed(column)
    if kind == "text":
        return composed
    seen = pc.replace_substring_regex(composed, _INVISIBLE, "")
    trimmed = pc.replace_substring_regex(seen, _EDGES, "")
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _composed(column: pa.Array) -> pa.Array:
    """Compose what is not ASCII; Arrow's own function decomposes whatever form it is asked for."""
    if pc.all(pc.string_is_ascii(column), min_count=0).as_py():
        return column
    texts = column.to_pylist()
    return pa.array(
        [text if text is None else unicodedata.normalize("NFC", text) for text in texts],
        pa.string(),
    )


def n_changed(before: pa.Array, after: pa.Array) -> int:
    """Count the values that are not what they were; one that became null counts."""
    same = pc.fill_null(pc.equal(before, after), False)
    return int(pc.sum(pc.and_(pc.is_valid(before), pc.invert(same))).as_py() or 0)


def is_blank(column: pa.Array) -> pa.Array:
    r"""Tell which texts hold nothing that can be seen; null where there is no text.

    >>> is_blank(pa.array(["a", " \u200b", None])).to_pylist()
    [False, True, None]
    """
    return pc.match_substring_regex(column, _BLANK)


class Mended(NamedTuple):
    """A column in the form it is kept in.

    Attributes:
        column: The values.
        changed: How many were brought to one form.
        fixed: By check: how many were mended.
        samples: By check: the first few before and after.
    """

    column: pa.Array
    changed: int
    fixed: dict[str, int]
    samples: dict[str, list[tuple[str, str]]]


FIXES: dict[str, Callable[[pa.Array], pa.Array]] = {}
"""By check: what mends the values that it finds."""


def mended(column: pa.Array, kind: ColumnType, fixes: Collection[str]) -> Mended:
    """Return a column of texts, categories or keys in the form it is kept in.

    Args:
        column: The values as collected.
        kind: The type of the column.
        fixes: Checks whose finds are mended; keys are never changed beyond their form.
    """
    form = normalised(column, kind)
    found = Mended(form, n_changed(column, form), {}, {})
    if kind == "key":
        return found
    now = form
    for check, fix in FIXES.items():
        if check not in fixes:
            continue
        after = on_distinct(now, fix) if kind in ("category", "labels") else fix(now)
        if after is not now and (n_fixed := n_changed(now, after)):
            found.fixed[check] = n_fixed
            found.samples[check] = changes(now, after)
            now = after
    return found._replace(column=now)


def on_distinct(column: pa.Array, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Change a column of few distinct values by changing each of those once."""
    encoded = column.dictionary_encode()
    after = change(encoded.dictionary)
    return column if after is encoded.dictionary else after.take(encoded.indices)


def changes(before: pa.Array, after: pa.Array, most: int = 6) -> list[tuple[str, str]]:
    """Return the first few different values that changed, each with what it became."""
    differs = pc.invert(pc.fill_null(pc.equal(before, after), False))
    changed = pc.fill_null(pc.and_(pc.is_valid(before), differs), False)
    pairs = zip(before.filter(changed).to_pylist(), after.filter(changed).to_pylist(), strict=True)
    told = dict.fromkeys((old, "" if new is None else new) for old, new in pairs)
    return list(told)[:most]


def rewritten(column: pa.Array, kind: ColumnType, spellings: Mapping[str, str]) -> pa.Array:
    """Return a column of categories with some of them written differently.

    >>> rewritten(pa.array(["Cat", None, "dog"]), "category", {"Cat": "cat"}).to_pylist()
    ['cat', None, 'dog']
    """

    def rewrite(values: pa.Array) -> pa.Array:
        cells = values.to_pylist()
        if kind == "labels":
            new = [_rewritten_cell(cell, spellings) for cell in cells]
        else:
            new = [spellings.get(cell, cell) for cell in cells]
        return values if new == cells else pa.array(new, pa.string())

    return on_distinct(column, rewrite) if spellings else column


def _rewritten_cell(cell: str, spellings: Mapping[str, str]) -> str:
    return LABEL_JOINT.join(sorted({spellings.get(part, part) for part in categories_in(cell)}))


def _without_mojibake(column: pa.Array) -> pa.Array:
    found = dict(ungarbled(column))
    if not found:
        return column
    texts = column.to_pylist()
    for place, meant in found.items():
        texts[place] = meant
    return pa.array(texts, pa.string())


def _without_null_like(column: pa.Array) -> pa.Array:
    found = pc.fill_null(null_like(column), False)
    if not pc.any(found, min_count=0).as_py():
        return column
    return pc.if_else(found, pa.scalar(None, pa.string()), column)


FIXES |= {
    "mojibake": _without_mojibake,
    "odd_characters": without_odd_characters,
    "null_like": _without_null_like,
}
