"""Records keep their names, and two never share one."""

import csv

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from tasks.collect.identity import rejected_repeats


@pytest.fixture
def collect(tmp_path, settings, table, outcome_of):
    def run(text, **more):
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / "rows.csv").write_text(text, encoding="utf-8", newline="")
        params = settings(table(**more), project={"max_bad_fraction": 1.0})
        return outcome_of("collect", params, tmp_path)

    return run


def test_ids_are_kept_as_they_are_written(collect):
    outcome = collect("id,text,label\n007,a,x\n7,b,y\n9007199254740993,c,x\n", id="id")
    names = [row["record_id"] for row in outcome.only()]
    assert names == ["007", "7", "9007199254740993"]


def test_a_repeated_row_is_kept_once_and_a_conflict_not_at_all(collect):
    outcome = collect("id,text,label\na,1,x\nb,1,x\na,1,x\nc,1,x\nb,2,x\nb,1,x\n", id="id")
    assert [row["record_id"] for row in outcome.only()] == ["a", "c"]
    told = {(row["record_id"], row["row"]): row["reason"] for row in outcome.quarantine}
    assert told == {
        ("a", 3): "duplicate_id",
        ("b", 2): "conflicting_id",
        ("b", 5): "conflicting_id",
        ("b", 6): "conflicting_id",
    }


def test_a_record_without_its_id_is_set_aside(collect):
    outcome = collect("id,text,label\n,a,x\nb,b,y\n", id="id")
    assert outcome.reasons == {"null_id": 1}


def test_names_by_content_outlast_new_rows_and_columns(collect):
    before = {r["text"]: r["record_id"] for r in collect("id,text,label\n1,a,x\n2,b,y\n").only()}
    after = collect("label,new,text,id\ny,?,c,3\ny,?,b,2\nx,?,a,1\n").only()
    now = {row["text"]: row["record_id"] for row in after}
    assert now["a"] == before["a"]
    assert now["b"] == before["b"]
    assert now["c"] not in before.values()


def test_equal_rows_without_ids_are_numbered(collect):
    names = [r["record_id"] for r in collect("id,text,label\n1,a,x\n2,b,y\n1,a,x\n1,a,x\n").only()]
    assert names[2:] == [f"{names[0]}-2", f"{names[0]}-3"]
    assert names[1] != names[0]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=12))
def test_what_stays_of_repeated_names_is_one_record_a_name(rows):
    names, contents = [name for name, _ in rows], [content for _, content in rows]
    rejected = rejected_repeats(names, contents)
    kept = [row for place, row in enumerate(rows) if place not in rejected]
    assert len({name for name, _ in kept}) == len(kept)
    agreeing = {name for name in names if len({c for n, c in rows if n == name}) == 1}
    assert {name for name, _ in kept} == agreeing


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(
    rows=st.lists(st.lists(cells, min_size=1, max_size=5), min_size=1, max_size=8),
    with_id=st.booleans(),
)
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_row_of_any_table_is_lost(collect, settings, table, outcome_of, tmp_path, rows, with_id):
    path = tmp_path / "any.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["id", "text", "label"], *rows])
    more = {"id": "id"} if with_id else {}
    outcome = collect(path.read_bytes().decode(), **more)  # which asserts that nothing is lost
    assert outcome.report.sources[0].collected == len(rows)
    whole = [row for row in rows if len(row) == 3 and not any("\0" in cell for cell in row)]
    if not with_id:
        assert [
            [record[name] or "" for name in ("id", "text", "label")] for record in outcome.only()
        ] == whole
    params = settings(table(**more), project={"max_bad_fraction": 1.0})
    cleaned = outcome_of("clean", params, tmp_path)
    assert cleaned.report.sources[0].collected == len(outcome.only())
    names = [row["record_id"] for row in (*cleaned.only(), *cleaned.quarantine)]
    assert sorted(names) == sorted(row["record_id"] for row in outcome.only())
