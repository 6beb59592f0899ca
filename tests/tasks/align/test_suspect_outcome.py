"""What the stage does with suspects: flags, the quarantine, the report, the page."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.align.suspects.contradictions import find_contradictions
from tasks.align.suspects.doubts import Doubt, to_set_aside
from tasks.align.suspects.equality import combined_codes, input_codes, same_inputs
from tasks.samples.quarantine import read_quarantine
from tasks.samples.schema import InputSpec, TabularColumn
from tasks.samples.tables import write_table

COLUMNS = {"x": "text", "z": "number", "y": "category"}
ONE = {"base": "a", "inputs": ("x", "z"), "target": "y"}
CALM = {"labels": "off", "pairs": "off"}


def contradicting(aligned, n=60):
    """Fill a source: three samples of equal inputs say yes, no and yes; the others differ."""
    aligned.source(
        "a", COLUMNS,
        x=["same"] * 3 + [f"text {i}" for i in range(n - 3)], z=[1.0] * n,
        y=["yes", "no", "yes"] + ["yes", "no"] * ((n - 3) // 2) + ["yes"] * ((n - 3) % 2),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("deed", "flags", "dropped"),
    [
        ("off", [], []),
        ("flag", ["a-1", "a-2", "a-3"], []),
        ("drop", [], ["a-1", "a-2", "a-3"]),
        ("majority", ["a-1", "a-3"], ["a-2"]),
    ],
)
def test_contradicting_samples_are_flagged_or_set_aside(aligned, deed, flags, dropped):
    contradicting(aligned)
    report = aligned.run(suspects=CALM | {"contradictions": deed}, **ONE)
    assert aligned.read("flags")["sample_id"].to_pylist() == flags
    assert set(aligned.read("flags")["flag"].to_pylist()) <= {"contradicting_label"}
    aside = read_quarantine(aligned.root / "data" / "align").to_pylist()
    assert [(r["record_id"], r["row"]) for r in aside] == [(d, int(d[2:])) for d in dropped]
    assert all(r["reason"] == "contradicting_label" and r["column"] == "a.y" for r in aside)
    kept = aligned.read("samples")["sample_id"].to_pylist()
    assert kept == [f"a-{i}" for i in range(1, 61) if f"a-{i}" not in dropped]
    assert report.n_samples == len(kept) == 60 - report.n_quarantined
    assert report.quarantine_reasons == (
        {"contradicting_label": len(dropped)} if dropped else {}
    )  # fmt: skip
    assert report.target_after.n == len(kept)
    assert [one.n_present for one in report.inputs] == [len(kept)] * 2
    if deed == "flag":
        detail = aligned.read("flags")["detail"][0].as_py()
        assert detail == "samples with these very inputs say 'yes' 2×, 'no' 1×"
        assert aligned.read("flags")["score"].to_pylist() == pytest.approx([1 / 3, 2 / 3, 1 / 3])


def test_no_more_are_set_aside_than_the_settings_allow(aligned):
    contradicting(aligned)
    suspects = CALM | {"contradictions": "drop", "max_dropped_fraction": 0.04}  # 2 of 60
    report = aligned.run(suspects=suspects, **ONE)
    assert report.n_samples == 60
    assert report.suspects.n_spared == report.suspects.n_flagged == 3
    assert "flagged instead of set aside" in report.suspects.notices[0]
    assert aligned.read("flags").num_rows == 3


def test_inputs_that_do_not_determine_the_target_accuse_nobody(aligned):
    n = 200
    aligned.source(
        "a", COLUMNS, x=["same"] * n, z=[1.0, 2.0] * 100, y=["yes", "no", "no", "no"] * 50
    )
    report = aligned.run(suspects=CALM | {"contradictions": "drop"}, **ONE)
    found = report.suspects.contradictions
    assert (found.n_samples, found.trusted, found.n_flagged) == (100, False, 0)
    assert report.n_samples == n
    assert "do not determine the target" in report.suspects.notices[0]


def test_wrong_labels_are_set_aside_and_shown(aligned):
    rng = np.random.default_rng(5)
    animals = rng.choice(["cat", "dog"], 300)
    wrong = np.flatnonzero(rng.random(300) < 0.04)
    given_labels = animals.copy()
    given_labels[wrong] = np.where(animals[wrong] == "cat", "dog", "cat")
    words = {"cat": "purrs on the sofa", "dog": "barks at the gate"}
    aligned.source(
        "a", COLUMNS, x=[f"{words[a]} {i}" for i, a in enumerate(animals)],
        z=rng.normal(size=300).tolist(), y=given_labels.tolist(),
    )  # fmt: skip
    report = aligned.run(suspects={"labels": "drop"}, **ONE)
    aside = read_quarantine(aligned.root / "data" / "align").to_pylist()
    assert {r["reason"] for r in aside} == {"suspect_label"}
    assert {int(r["row"]) - 1 for r in aside} <= set(wrong.tolist())
    assert len(aside) == report.suspects.n_dropped >= 0.7 * len(wrong)
    assert report.n_samples + report.n_quarantined == report.n_base == 300
    assert any("labels look wrong" in line and "set aside" in line for line in report.lines())
    before = {each.name: each.n for each in report.suspects.classes}
    after = {each.name: each.n - each.n_dropped for each in report.suspects.classes}
    assert before.items() <= report.target_before.classes.items()
    assert after.items() <= report.target_after.classes.items()
    page = (aligned.root / "reports" / "align.html").read_text()
    assert "Suspect samples" in page
    assert "label looks wrong" in page
    assert aside[0]["record_id"] in page


def test_few_samples_are_not_judged_and_that_is_said(aligned):
    contradicting(aligned)
    report = aligned.run(**ONE)
    assert report.suspects.labels is None
    assert report.suspects.n_examined == 0
    assert "60 samples are too few" in report.suspects.notices[0]


def test_the_same_samples_give_the_same_bytes(aligned):
    rng = np.random.default_rng(3)
    y = rng.choice(["p", "q"], 150)
    aligned.source(
        "a", COLUMNS, x=[f"{v} {v} word{i % 9}" for i, v in enumerate(y)],
        z=rng.normal(size=150).tolist(), y=np.where(np.arange(150) % 25 == 0, "p", y).tolist(),
    )  # fmt: skip
    manifest = aligned.root / "data" / "align" / "MANIFEST.json"
    report = aligned.run(**ONE)
    first, page = manifest.read_bytes(), (aligned.root / "reports/align.html").read_bytes()
    assert aligned.run(**ONE) == report
    assert manifest.read_bytes() == first
    assert (aligned.root / "reports/align.html").read_bytes() == page


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([1.0, 2.0, None]), st.sampled_from("yn")),
        min_size=1,
        max_size=20,
    )
)
def test_contradictions_are_those_of_a_plain_search(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "samples.parquet"
    x, z, y = (list(column) for column in zip(*rows, strict=True))
    write_table(pa.table({"a.x": x, "a.z": pa.array(z, pa.float64())}), path)
    specs = (
        InputSpec(name="x", modality="text", column="a.x"),
        InputSpec(
            name="tabular", modality="tabular", columns=(TabularColumn(name="a.z", kind="number"),)
        ),
    )
    same = same_inputs([input_codes(path, spec) for spec in specs])
    found = find_contradictions(same, pa.array(y)).findings
    told = [
        any(o[:2] == row[:2] and o[2] != row[2] and None not in row for o in rows) for row in rows
    ]
    assert found.n_samples == sum(told)
    assert found.n_groups == len({row[:2] for row, t in zip(rows, told, strict=True) if t})


def test_numbers_contradict_where_they_are_far_apart():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 10, 200)
    values[:4] = [1.0, 1.5, 3.0, 40.0]
    same = np.array([0, 0, 1, 1, *range(2, 198)])
    found = find_contradictions(same, pa.array(values))
    assert found.at.tolist() == [2, 3]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 12),
            st.sampled_from(["suspect_label", "contradicting_label", "suspect_pair"]),
            st.floats(0, 1),
            st.booleans(),
            st.integers(-1, 3),
        ),
        max_size=30,
    ),
    st.integers(0, 12),
)
def test_set_aside_are_whole_groups_within_the_limit(drawn, most):
    doubts = [Doubt(p, f, s, "why", drop, group) for p, f, s, drop, group in drawn]
    chosen = to_set_aside(doubts, most)
    assert len(chosen) <= most
    assert list(chosen) == sorted(chosen)
    assert {d.place for d in chosen.values()} <= {d.place for d in doubts if d.to_drop}
    bound = {(d.flag, d.group) for d in chosen.values() if d.group >= 0}
    for doubt in doubts:
        if doubt.to_drop and (doubt.flag, doubt.group) in bound:
            assert doubt.place in chosen


def test_combinations_get_numbers_of_their_own():
    big = np.array([2**62, -1, 2**62, 5])
    assert combined_codes([big, np.array([1, 1, 2, 1])]).tolist() == [2, 0, 3, 1]
