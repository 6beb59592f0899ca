"""Bring text to one form: equal labels and keys become equal, and blank text is found."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

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


def lookalikes(labels: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Group labels that differ only in case, width or the like: probably one class misspelt.

    >>> lookalikes(["cat", "dog", "Cat"])
    (('Cat', 'cat'),)
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        folded = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
        groups[folded].add(label)
    return tuple(sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1))
