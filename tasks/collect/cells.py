"""What a cell means: text to a number or a moment, or the reason why it is neither."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tasks.collect.rows import excerpt
from tasks.errors import SourceError
from tasks.params.collect import CellMeaning, ColumnType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PER_UNIT = {"s": Decimal(10**6), "ms": Decimal(1000), "us": Decimal(1), "ns": Decimal("0.001")}
EARLIEST = (datetime(1900, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
LATEST = (datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND

Value = str | float | int
Parse = Callable[[str], Value | None]

LABEL_JOINT = ";"
"""What parts the categories of a ``labels`` cell once it is understood."""


class BadCell(Exception):  # noqa: N818  (a verdict on a cell, not a fault of the program)
    """A cell that does not hold what its column declares."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


def parser_of(kind: ColumnType, source: CellMeaning | None) -> Parse | None:
    """Return how cells of a type are understood; None where their text is what they mean."""
    if kind == "number":
        return parse_number
    if kind == "time" and source is not None:
        return epoch_parser(source.time_unit) if source.time_unit != "iso" else iso_parser(source)
    if kind == "labels" and source is not None:
        return labels_parser(source.label_separator)
    return None


def parse_number(cell: str) -> float:
    """Return a number in plain decimal or scientific notation.

    >>> parse_number(" 1.5e3")
    1500.0

    Raises:
        BadCell: ``not_a_number``, or ``non_finite``.
    """
    try:
        number = float(cell) if cell.isascii() and "_" not in cell else None
    except ValueError:
        number = None
    if number is None:
        raise BadCell("not_a_number", f"expected a number, found {excerpt(cell)}")
    if not math.isfinite(number):
        raise BadCell("non_finite", f"expected a finite number, found {excerpt(cell)}")
    return number


def labels_parser(separator: str) -> Callable[[str], str | None]:
    """Return a parser of several categories: trimmed, each once, sorted; none at all is no value.

    >>> labels_parser(",")("b, a ,b,")
    'a;b'
    """

    def parse(cell: str) -> str | None:
        labels = {label.strip() for label in cell.split(separator)} - {""}
        if separator != LABEL_JOINT and any(LABEL_JOINT in label for label in labels):
            raise BadCell(
                "bad_labels", f"a category in {excerpt(cell)} holds a '{LABEL_JOINT}'; rename it"
            )
        return LABEL_JOINT.join(sorted(labels)) or None

    return parse


def iso_parser(source: CellMeaning) -> Callable[[str], int]:
    """Return a parser of ISO 8601 times to microseconds since 1970.

    Raises:
        SourceError: The zone of times that carry none is not known.
    """
    zone = _zone(source)

    def parse(cell: str) -> int:
        try:
            moment = datetime.fromisoformat(cell.strip())
        except ValueError:
            raise BadCell("bad_time", f"expected an ISO 8601 time, found {excerpt(cell)}") from None
        if moment.tzinfo is None:
            moment = _localised(moment, zone, source.time_zone)
        return _in_range((moment - _EPOCH) // _MICROSECOND, cell)

    return parse


def epoch_parser(unit: str) -> Callable[[str], int]:
    """Return a parser of numbers since 1970 to microseconds."""
    per_unit = _PER_UNIT[unit]

    def parse(cell: str) -> int:
        try:
            count = Decimal(cell.strip()) if cell.isascii() and "_" not in cell else None
        except InvalidOperation:
            count = None
        if count is None or not count.is_finite() or abs(count) > 10**20:
            raise BadCell("bad_time", f"expected a number of {unit}, found {excerpt(cell)}")
        return _in_range(int(count * per_unit), cell)

    return parse


def _in_range(microseconds: int, cell: str) -> int:
    if not EARLIEST <= microseconds < LATEST:
        raise BadCell("bad_time", f"{excerpt(cell)} is not between the years 1900 and 2200")
    return microseconds


def _zone(source: CellMeaning) -> tzinfo:
    if source.time_zone == "UTC":
        return UTC
    try:
        return ZoneInfo(source.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise SourceError(
            f"the time_zone '{source.time_zone}' is not known; "
            "write one such as UTC or Europe/Berlin"
        ) from None


def _localised(moment: datetime, zone: tzinfo, name: str) -> datetime:
    """Put a local time into its zone; one that does not exist there, or twice, is refused."""
    first = moment.replace(tzinfo=zone)
    if zone is UTC:
        return first
    if first.utcoffset() != first.replace(fold=1).utcoffset():
        there = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment
        reason = "dst_ambiguous" if there else "dst_gap"
        times = "occurs twice" if there else "does not exist"
        raise BadCell(reason, f"{moment.isoformat()} {times} in {name}; write times with a zone")
    return first
