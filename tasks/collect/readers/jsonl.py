"""JSON lines: one object a line, its numbers and words kept as they are written."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks.collect.readers.header import missing_columns, require_rows
from tasks.collect.readers.lines import read_lines
from tasks.collect.rows import Fault, Notes, RawRow, excerpt, table_formats
from tasks.params.collect import TableSource

MAX_DIGITS = 1000
MAX_KEYS = 100
"""Keys to remember for messages; each object may have its own."""


class _BadLine(Exception):  # noqa: N818  (a verdict on a line, not a fault of the program)
    def __init__(self, reason: str, detail: str, column: str = "") -> None:
        self.fault = Fault(reason, detail, column)
        super().__init__(detail)


def _number(literal: str) -> str:
    if len(literal) > MAX_DIGITS:
        raise _BadLine("json_limits", f"a number of {len(literal):,} digits")
    return literal


def _constant(name: str) -> str:
    raise _BadLine("non_finite", f"{name} is no JSON value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    there = dict(pairs)
    if len(there) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _BadLine("duplicate_key", f"the key '{twice}' stands in one object twice")
    return there


_DECODER = json.JSONDecoder(
    parse_int=_number, parse_float=_number, parse_constant=_constant, object_pairs_hook=_object
)


@table_formats.register("jsonl")
def read_jsonl(source: TableSource, path: Path, file: str, notes: Notes) -> Iterator[RawRow]:
    """Read JSON lines; a key that an object lacks is no value, one that all lack is a fault.

    Raises:
        SourceError: No object has a declared column, or there are no rows.
    """
    wanted = tuple(source.columns)
    listed = {n: source.label_separator for n, kind in source.columns.items() if kind == "labels"}
    unseen = set(wanted)
    keys: dict[str, None] = {}
    row = line_number = 0
    for line in read_lines(path, source.encoding, newline="\n"):
        line_number += 1
        raw = line.rstrip("\r\n")
        if not raw.strip():
            notes.blank_lines += 1
            continue
        row += 1
        try:
            record = _decoded(raw, whole=line.endswith("\n"))
            cells = [_cell(record.get(name), name, listed.get(name)) for name in wanted]
        except _BadLine as bad:
            detail = f"line {line_number}: {bad.fault.detail}"
            yield RawRow(file, row, (), raw, bad.fault._replace(detail=detail))
            continue
        if unseen:
            unseen.difference_update(record)
        if len(keys) < MAX_KEYS:
            keys.update(dict.fromkeys(record))
        yield RawRow(file, row, cells, raw)
    require_rows(path, row)
    if unseen and keys:
        raise missing_columns(path, [name for name in wanted if name in unseen], list(keys))
    notes.saw_unused(name for name in keys if name not in source.columns)


table_formats.register("ndjson")(read_jsonl)


def joined_labels(labels: Sequence[Any], separator: str, name: str) -> str:
    """Write a list of categories as one cell.

    Raises:
        BadCell: ``not_a_scalar``, or ``bad_labels`` where one holds what parts them.
    """
    if not all(isinstance(label, str) for label in labels):
        raise _BadLine("not_a_scalar", "expected categories, found a list of other values", name)
    if any(separator in label for label in labels):
        raise _BadLine("bad_labels", f"a category holds '{separator}'; set label_separator", name)
    return separator.join(labels)


def _decoded(raw: str, whole: bool) -> dict[str, Any]:
    try:
        record = _DECODER.decode(raw)
    except RecursionError:
        raise _BadLine("json_limits", "values nested too deeply") from None
    except json.JSONDecodeError as fault:
        reason = "bad_json" if whole else "truncated_json"
        raise _BadLine(
            reason, f"{fault.msg} at character {fault.pos + 1}: {excerpt(raw)}"
        ) from None
    if not isinstance(record, dict):
        raise _BadLine("bad_json", f"expected an object, found {excerpt(raw)}")
    return record


def _cell(value: Any, name: str, separator: str | None = None) -> str | None:
    """Return a value as text: numbers as they are written, truth values in lower case.

    A list of texts is a value too where a separator for them is given.
    """
    if separator is not None and isinstance(value, list):
        return joined_labels(value, separator, name)
    if value is None or isinstance(value, str):
        if value is not None and "\0" in value:
            raise _BadLine("nul_byte", excerpt(value), name)
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    kind = "a list" if isinstance(value, list) else "an object"
    raise _BadLine("not_a_scalar", f"expected one value, found {kind}", name)
