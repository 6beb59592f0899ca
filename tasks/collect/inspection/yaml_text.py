"""Write what an inspection found as settings, with what speaks for each guess beside it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.collect.inspection.alignments import Alignment
from tasks.collect.inspection.columns import ColumnGuess
from tasks.collect.inspection.guesses import Declared
from tasks.collect.inspection.inspect import Inspection
from tasks.samples.wording import short

_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")
_NO_TEXT = frozenset(("true", "false", "null", "~", "."))
_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)
LEAST_RANGE = 4
"""Columns of like names that are written as one range, from this many on."""

_SPECIFIED = ("huggingface", "webdataset", "table")


def as_yaml(found: Inspection) -> str:
    """Return settings to check and paste: a whole ``params.yaml``, its other sections left out."""
    return "\n".join([*_head(found), *_collect(found), *_align(found.alignment), ""])


def _head(found: Inspection) -> Iterator[str]:
    yield f"# Guessed from the first {found.n_rows:,} rows of each table at most. A run guesses"
    yield "# nothing: check each line, then keep this as your settings (`fuseline run --params`)."
    for remark in found.remarks:
        yield f"# {_comment(remark, 300)}"
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", found.root.resolve().name).strip("-._") or "project"
    yield f"project: {{name: {_scalar(name)}, seed: 7, cpu_threads: 2, max_bad_fraction: 0.05}}"


def _collect(found: Inspection) -> Iterator[str]:
    yield "collect:"
    yield f"  root: {_scalar(str(found.root))}"
    yield "  sources:"
    for source in found.sources:
        yield from _source(source)


def _source(source: Declared) -> Iterator[str]:
    yield f"    - kind: {source.kind}"
    yield f"      name: {source.name}"
    place = dict(source.place)
    if source.kind in ("voc", "coco"):
        place["crop"] = True
    for key, value in place.items():
        yield f"      {key}: {_scalar(value)}"
    left_out = [column for column in source.columns if column.kind is None]
    if source.kind == "sensor":
        values = [c for c in source.known if c.kind in ("number", "category")]
        yield "      values:"
        yield from _columns(values, "        ")
    elif source.kind in _SPECIFIED:
        yield "      columns:"
        yield from _columns(source.known, "        ")
    elif source.metadata:
        yield "      metadata:"
        yield f"        path: {_scalar(source.metadata)}"
        yield "        columns:"
        yield from _columns(source.metadata_columns, "          ")
    if source.kind in ("folder", "voc", "coco"):
        for column in source.known:
            if column not in source.metadata_columns:
                yield f"      # {_comment(column.name)}: {_told(column)}"
    for column in left_out:
        yield f"      # left out: {_comment(column.name)} ({_comment(column.why)})"


def _columns(columns: Sequence[ColumnGuess], indent: str) -> Iterator[str]:
    """Yield a line for each column, or for a run of columns that differ only in their number."""
    i = 0
    while i < len(columns):
        n_alike = _run_length(columns, i)
        column = columns[i]
        if n_alike >= LEAST_RANGE:
            name = range_of(column.name, columns[i + n_alike - 1].name)
            told = f"{n_alike} columns; the first: {_told(column)}"
        else:
            n_alike, name, told = 1, column.name, _told(column)
        yield f"{indent}{_scalar(name)}: {column.kind}  # {told}"
        i += n_alike


def _run_length(columns: Sequence[ColumnGuess], start: int) -> int:
    """Count the columns from one on whose names count up, and that are alike otherwise."""
    first = columns[start]
    end = start + 1
    while end < len(columns):
        column = columns[end]
        alike = column.kind == first.kind and not column.remarks and not first.remarks
        if not alike or not _counts_up(columns[end - 1].name, column.name):
            break
        end += 1
    return end - start


def _counts_up(one: str, other: str) -> bool:
    parts = [_NUMBERED.fullmatch(name) for name in (one, other)]
    if not parts[0] or not parts[1] or "{" in one:
        return False
    (before, number, after), (b, n, a) = parts[0].groups(), parts[1].groups()
    padded = len(n) == len(number) or (number[0] != "0" and n[0] != "0")
    return (before, after, int(number) + 1) == (b, a, int(n)) and padded


def range_of(first: str, last: str) -> str:
    """Write names that differ in their number as one.

    >>> range_of("band_00", "band_31")
    'band_{00..31}'
    """
    start, end = _NUMBERED.fullmatch(first), _NUMBERED.fullmatch(last)
    assert start is not None
    assert end is not None
    return f"{start[1]}{{{start[2]}..{end[2]}}}{start[3]}"


def _told(column: ColumnGuess) -> str:
    parts = [_comment(column.why)]
    if column.n_rows:
        parts.append(f"{column.n_distinct:,} distinct")
    if column.n_null:
        parts.append(f"{column.n_null:,} of {column.n_rows:,} null")
    if column.examples:
        parts.append("such as " + ", ".join(repr(_comment(e, 24)) for e in column.examples))
    return "; ".join([*parts, *(f"NOTE: {remark}" for remark in column.remarks)])


def _align(guess: Alignment | None) -> Iterator[str]:
    if guess is None:
        yield "# Nothing here looks like a target with inputs; say what to predict, and from what:"
        yield "# align: {base: SOURCE, inputs: [COLUMN, ...], target: COLUMN}"
        return
    yield "align:"
    yield f"  base: {guess.base.name}"
    if guess.segments:
        yield f"  segments: {_flow(guess.segments)}"
    if guess.joins:
        yield "  joins:"
        yield from (f"    - {_flow(join)}" for join in guess.joins)
    yield f"  inputs: [{', '.join(map(_scalar, _in_ranges(guess.inputs)))}]"
    yield f"  target: {_scalar(f'{guess.base.name}.{guess.target.name}')}  # {guess.why}"
    for name in guess.unjoined:
        yield f"  # nothing seems to connect source '{name}' to these"
    if guess.split:
        yield f"split: {_flow(guess.split)}"


def _in_ranges(names: Sequence[str]) -> list[str]:
    shown: list[str] = []
    i = 0
    while i < len(names):
        end = i + 1
        while end < len(names) and _counts_up(names[end - 1], names[end]):
            end += 1
        many = end - i >= LEAST_RANGE
        shown.append(range_of(names[i], names[end - 1]) if many else names[i])
        i = end if many else i + 1
    return shown


def _flow(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in values.items()) + "}"


def _scalar(value: Any) -> str:
    """Write a value so that YAML reads the same."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    text = str(value)
    plain = _PLAIN.fullmatch(text) and text.lower() not in _NO_TEXT
    return text if plain else f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _comment(text: str, most: int = 60) -> str:
    return short(text, most)
