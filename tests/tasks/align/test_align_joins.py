import numpy as np
import pytest

from tasks.errors import DataError, ParamsError
from tasks.samples.schema import SampleSchema

QUESTIONS = {"scan_id": "key", "question": "text", "answer": "category"}
SCANS = {"scan_id": "key", "shown_at": "time", "image": "image"}
TONES = {"recorded_at": "time", "tone": "audio"}
BY_KEY = {"on": "key", "right": "scans", "left_on": "scan_id"}
BY_TIME = {
    "on": "time",
    "left": "scans",
    "left_on": "shown_at",
    "right": "tones",
    "right_on": "recorded_at",
    "tolerance_seconds": 0.5,
}
ALL = {"base": "questions", "inputs": ("question", "image", "tone"), "target": "answer"}


def fill(aligned):
    """Five questions about three scans, of which two have a tone."""
    aligned.source(
        "questions",
        QUESTIONS,
        scan_id=["b", "a", "b", None, "zz"],
        question=["q1", "q2", "q3", "q4", "q5"],
        answer=["yes", "no", "yes", "no", "no"],
    )
    aligned.source(
        "scans",
        SCANS,
        scan_id=["a", "b", "c"],
        shown_at=[10.0, 20.0, 30.0],
        image=["img-a", "img-b", "img-c"],
    )
    aligned.source(
        "tones",
        TONES,
        recorded_at=[20.2, None, 30.1, 99.0],
        tone=["tone-b", "tone-x", "tone-c", "tone-y"],
    )


def test_a_match_is_carried_to_the_base_through_its_join(aligned):
    fill(aligned)
    report = aligned.run(joins=(BY_TIME, BY_KEY), **ALL)
    samples = aligned.read("samples")
    assert samples["sample_id"].to_pylist() == [f"questions-{i}" for i in range(1, 6)]
    assert samples["target"].to_pylist() == ["yes", "no", "yes", "no", "no"]
    assert samples["scans.image"].to_pylist() == ["img-b", "img-a", "img-b", None, None]
    assert samples["scans.image.path"].to_pylist()[:2] == ["img-b.bin", "img-a.bin"]
    assert samples["tones.tone"].to_pylist() == ["tone-b", None, "tone-b", None, None]
    assert samples.column_names == [
        "sample_id", "target", "questions.scan_id", "questions.question", "questions.answer",
        "scans.scan_id", "scans.shown_at", "scans.image", "scans.image.path",
        "tones.recorded_at", "tones.tone", "tones.tone.path",
    ]  # fmt: skip
    assert [i.n_missing for i in report.inputs] == [0, 2, 3]


def test_every_record_of_both_sides_is_counted_once(aligned):
    fill(aligned)
    report = aligned.run(joins=(BY_KEY, BY_TIME), **ALL)
    by_key, by_time = report.pairs
    for pair in report.pairs:
        left = pair.matched_left + pair.unmatched_left + pair.duplicate_matches_left
        right = pair.matched_right + pair.unmatched_right + pair.duplicate_matches_right
        assert (left, right) == (pair.n_left, pair.n_right)
    assert (by_key.matched_left, by_key.n_rows_reused) == (3, 1)
    assert by_key.unmatched_reasons_left == {"no_key": 1, "no_partner": 1}
    assert by_key.unmatched_reasons_right == {"no_partner": 1}
    assert by_time.matched_left == 2
    assert by_time.unmatched_reasons_right == {"no_time": 1, "no_partner": 1}
    assert by_time.time.absolute_difference_max_seconds == pytest.approx(0.2)
    assert sum(by_time.time.differences_seconds.counts) == 2
    unmatched = {
        (row["record_id"], row["source"], row["side"], row["partner"], row["reason"])
        for row in aligned.read("unmatched").to_pylist()
    }
    assert unmatched == {
        ("questions-4", "questions", "left", "scans", "no_key"),
        ("questions-5", "questions", "left", "scans", "no_partner"),
        ("scans-3", "scans", "right", "questions", "no_partner"),
        ("scans-1", "scans", "left", "tones", "no_partner"),
        ("tones-2", "tones", "right", "scans", "no_time"),
        ("tones-4", "tones", "right", "scans", "no_partner"),
    }


def test_one_to_one_is_about_the_left_source_not_about_the_samples_that_share_it(aligned):
    fill(aligned)
    aligned.run(joins=(BY_KEY, {**BY_TIME, "one_to_one": True}), **ALL)
    tones = aligned.read("samples")["tones.tone"].to_pylist()
    assert tones.count("tone-b") == 2


def test_the_schema_names_each_input_by_its_short_name(aligned):
    columns = {"k": "key", "photo": "image", "age": "number", "site": "category", "y": "category"}
    aligned.source("a", columns, k=["1"], photo=["p"], age=[3.0], site=["n"], y=["yes"])
    aligned.source("b", {"k": "key", "photo": "image"}, k=["1"], photo=["q"])
    aligned.run(
        base="a",
        joins=({"on": "key", "right": "b", "left_on": "k"},),
        inputs=("a.photo", "age", "b.photo", "site"),
        target="y",
    )
    schema = SampleSchema.of(aligned.read("samples"))
    assert [(s.name, s.modality, s.column) for s in schema.inputs] == [
        ("a.photo", "image", "a.photo"),
        ("tabular", "tabular", ""),
        ("b.photo", "image", "b.photo"),
    ]
    assert [(c.name, c.kind) for c in schema.inputs[1].columns] == [
        ("a.age", "number"),
        ("a.site", "category"),
    ]
    assert (schema.target_column, schema.target_kind) == ("a.y", "category")


def pair_up(aligned, left, right, relation):
    columns, same = {"k": "key", "x": "text", "y": "category"}, ["c"] * len(left)
    aligned.source("l", columns, k=left, x=same, y=same)
    aligned.source("r", {"k": "key", "z": "text"}, k=right, z=[f"z{i}" for i in range(len(right))])
    join = {"on": "key", "right": "r", "left_on": "k", "relation": relation}
    report = aligned.run(base="l", joins=(join,), inputs=("x", "z"), target="y")
    return report, aligned.read("samples")["r.z"].to_pylist()


@pytest.mark.parametrize(
    ("relation", "left", "right", "at_fault"),
    [
        ("many_to_one", ["a", "b"], ["a", "b", "a"], "r.k"),
        ("one_to_one", ["a", "b"], ["a", "b", "b"], "r.k"),
        ("one_to_one", ["a", "a"], ["a", "b"], "l.k"),
        ("one_to_many", ["a", "b", "b"], ["a", "a"], "l.k"),
    ],
)
def test_keys_are_held_to_the_relation(aligned, relation, left, right, at_fault):
    with pytest.raises(DataError, match=f"{at_fault}: relation {relation} expects each key once"):
        pair_up(aligned, left, right, relation)


def test_a_broken_relation_is_shown_with_its_count_key_and_rows(aligned):
    with pytest.raises(DataError, match=r"2 of 3 keys .* 'b' in 3: r\.csv row 1, r\.csv row 4"):
        pair_up(aligned, ["a"], ["b", "a", "c", "b", "a", "b"], "many_to_one")


@pytest.mark.parametrize("relation", ["one_to_many", "many_to_many"])
def test_of_many_right_records_the_first_is_taken_and_the_others_reported(aligned, relation):
    report, found = pair_up(aligned, ["a", "b"], ["b", "a", "a", "q"], relation)
    assert found == ["z1", "z0"]
    assert report.pairs[0].unmatched_reasons_right == {"no_partner": 1, "duplicate_match": 1}
    assert "1 records of r share a key" in report.notices[0]


def test_missing_keys_never_match_and_never_count_as_repeated(aligned):
    _, found = pair_up(aligned, ["a", None, None], [None, "a", None], "one_to_one")
    assert found == ["z1", None, None]


def test_keys_are_equal_however_their_accents_were_typed(aligned):
    _, found = pair_up(aligned, ["cafe\u0301", "x"], ["x", "caf\u00e9"], "one_to_one")
    assert found == ["z1", "z0"]


def test_row_order_of_the_tables_is_irrelevant(aligned):
    fill(aligned)
    aligned.run(joins=(BY_KEY, BY_TIME), **ALL)
    expected = aligned.read("samples").sort_by("sample_id")
    clean = aligned.root / "data" / "clean" / "records"
    rng = np.random.default_rng(2)
    for name, columns in list(aligned.columns.items()):
        from_disk = aligned.read(f"../clean/records/{name}")
        aligned.table(name, columns, from_disk.take(rng.permutation(from_disk.num_rows)))
    assert len(list(clean.iterdir())) == 3
    aligned.run(joins=(BY_KEY, BY_TIME), **ALL)
    assert aligned.read("samples").sort_by("sample_id").equals(expected)


def test_joins_that_do_not_reach_the_base_are_refused(aligned):
    fill(aligned)
    island = {**BY_KEY, "left": "tones", "left_on": "recorded_at", "right_on": "shown_at"}
    with pytest.raises(ParamsError, match="'tones', 'scans' cannot be reached from base 'quest"):
        aligned.run(joins=(BY_TIME, island), **ALL)


def test_a_key_that_is_text_here_and_a_number_there_is_refused(aligned):
    aligned.source("l", {"k": "key", "y": "category"}, k=["7"], y=["c"])
    aligned.source("r", {"k": "number", "z": "text"}, k=[7.0], z=["z"])
    with pytest.raises(ParamsError, match=r"l\.k \(string\) and r\.k \(double\)"):
        aligned.run(
            base="l",
            joins=({"on": "key", "right": "r", "left_on": "k"},),
            inputs=("z",),
            target="y",
        )


def test_join_columns_may_be_named_in_full(aligned):
    fill(aligned)
    full = {**BY_KEY, "left_on": "questions.scan_id", "right_on": "scans.scan_id"}
    assert aligned.run(joins=(full, BY_TIME), **ALL).pairs[0].left_on == "scan_id"


def test_a_join_column_of_another_source_is_refused(aligned):
    fill(aligned)
    astray = {**BY_TIME, "right_on": "scans.shown_at"}
    with pytest.raises(ParamsError, match=r"'scans\.shown_at' is not a column of 'tones'"):
        aligned.run(joins=(BY_KEY, astray), **ALL)
