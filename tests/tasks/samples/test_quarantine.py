"""Quarantine keeps what was set aside, and too much of it stops a stage."""

import pytest

from tasks.errors import DataError
from tasks.samples.quarantine import (
    SetAside,
    read_quarantine,
    reasons,
    require_few,
    write_quarantine,
)
from tasks.samples.report import examples

RECORDS = [
    SetAside(f"r{i}", "rows", "rows.csv", i, "text", reason, "why", "0" * 64)
    for i, reason in enumerate(["late", "torn", "torn", "torn", "torn"])
]


def test_records_are_read_back(tmp_path):
    write_quarantine(iter(RECORDS), tmp_path)
    assert [SetAside(**row) for row in read_quarantine(tmp_path).to_pylist()] == RECORDS
    write_quarantine([], tmp_path)
    assert len(read_quarantine(tmp_path)) == 0


def test_reasons_and_examples():
    assert reasons(RECORDS) == {"torn": 4, "late": 1}
    assert list(reasons(RECORDS)) == ["torn", "late"]
    assert [e.record_id for e in examples(RECORDS, of_each=2)] == ["r0", "r1", "r2"]


def test_too_many_are_a_fault():
    require_few(2, 10, 0.2, "rows", {"torn": 2})
    require_few(0, 0, 0.0, "rows", {})
    with pytest.raises(DataError, match=r"rows: 3 of 10 records are unusable \(torn: 3\)"):
        require_few(3, 10, 0.2, "rows", {"torn": 3})
