"""Numbers and times mean what is written, or nothing."""

from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tasks.collect.cells import BadCell, epoch_parser, iso_parser, parse_number
from tasks.errors import SourceError
from tasks.params.collect import TableSource


def source(zone: str = "UTC") -> TableSource:
    return TableSource(kind="table", name="s", path="s.csv", columns={"t": "time"}, time_zone=zone)


def micros(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("", "not_a_number"),
        ("3,14", "not_a_number"),
        ("1_000", "not_a_number"),
        ("1 234", "not_a_number"),
        ("12%", "not_a_number"),
        ("٣", "not_a_number"),
        ("0x1f", "not_a_number"),
        ("nan", "non_finite"),
        ("-inf", "non_finite"),
        ("1e400", "non_finite"),
    ],
)
def test_cells_that_are_no_number(cell, reason):
    with pytest.raises(BadCell) as bad:
        parse_number(cell)
    assert bad.value.reason == reason


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_as_it_was_written(number):
    assert parse_number(repr(number)) == number


@pytest.mark.parametrize(
    ("cell", "zone", "expected"),
    [
        ("2024-03-01T09:00:03.256Z", "UTC", micros(2024, 3, 1, 9, 0, 3) + 256_000),
        ("2024-03-01 09:00", "UTC", micros(2024, 3, 1, 9)),
        ("2024-03-01 09:00", "Europe/Berlin", micros(2024, 3, 1, 8)),
        ("2024-07-01 09:00", "Europe/Berlin", micros(2024, 7, 1, 7)),
        ("2024-03-01T09:00+05:30", "Europe/Berlin", micros(2024, 3, 1, 3, 30)),
        ("2024-03-01", "UTC", micros(2024, 3, 1)),
    ],
)
def test_iso_times(cell, zone, expected):
    assert iso_parser(source(zone))(cell) == expected


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("13/02/2024", "bad_time"),
        ("yesterday", "bad_time"),
        ("2024-02-30", "bad_time"),
        ("1024-02-03", "bad_time"),
        ("9999-01-01", "bad_time"),
        ("2024-03-31T02:30", "dst_gap"),
        ("2024-10-27T02:30", "dst_ambiguous"),
    ],
)
def test_times_that_are_none(cell, reason):
    with pytest.raises(BadCell) as bad:
        iso_parser(source("Europe/Berlin"))(cell)
    assert bad.value.reason == reason


@pytest.mark.parametrize(
    ("unit", "cell", "microseconds"),
    [
        ("s", "1709283603.256", 1_709_283_603_256_000),
        ("ms", "1709283603256", 1_709_283_603_256_000),
        ("us", "1709283603256001", 1_709_283_603_256_001),
        ("ns", "1709283603256001999", 1_709_283_603_256_001),
    ],
)
def test_epochs_are_exact(unit, cell, microseconds):
    assert epoch_parser(unit)(cell) == microseconds


@pytest.mark.parametrize("cell", ["2024-03-01", "1e30", "nan", "1709283603256"])
def test_an_epoch_of_another_unit_is_found_where_the_year_shows_it(cell):
    with pytest.raises(BadCell):
        epoch_parser("s")(cell)


def test_an_unknown_zone_is_named():
    with pytest.raises(SourceError, match="'Mars/Base' is not known"):
        iso_parser(source("Mars/Base"))
