import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.samples.quarantine import read_quarantine

COLUMNS = {"k": "key", "x": "text", "age": "number", "y": "category"}
ONE = {"base": "a", "inputs": ("x",), "target": "y"}


def test_a_record_without_target_or_inputs_is_set_aside_with_its_reason(aligned):
    aligned.source(
        "a", COLUMNS, k=["1", "2", "3"], x=["one", "two", None], age=[1.0, 2.0, 3.0],
        y=["c", None, "d"],
    )  # fmt: skip
    report = aligned.run(**ONE)
    assert report.quarantine_reasons == {"null_target": 1, "no_inputs": 1}
    assert (report.n_base, report.n_samples, report.n_quarantined) == (3, 1, 2)
    aside = read_quarantine(aligned.root / "data" / "align").to_pylist()
    assert [(r["record_id"], r["file"], r["row"], r["column"], r["reason"]) for r in aside] == [
        ("a-2", "a.csv", 2, "a.y", "null_target"),
        ("a-3", "a.csv", 3, "", "no_inputs"),
    ]
    assert report.target_before.classes == {"c": 1, "d": 1}
    assert report.target_after.classes == {"c": 1}


@pytest.mark.parametrize(("policy", "n_samples"), [("keep", 3), ("drop", 2)])
def test_a_sample_that_lacks_an_input_is_kept_or_set_aside(aligned, policy, n_samples):
    aligned.source(
        "a", COLUMNS, k=["1", "2", "3"], x=["one", None, "three"], age=[1.0, 2.0, 3.0],
        y=["c", "d", "c"],
    )  # fmt: skip
    report = aligned.run(base="a", inputs=("x", "age"), target="y", missing_inputs=policy)
    assert report.n_samples == n_samples
    assert report.quarantine_reasons == ({} if policy == "keep" else {"missing_input": 1})


def test_missing_inputs_fail_says_how_many_and_which(aligned):
    aligned.source(
        "a", COLUMNS, k=["1", "2"], x=["one", None], age=[1.0, 2.0], y=["c", "d"]
    )  # fmt: skip
    with pytest.raises(DataError, match=r"1 of 2 lack one \(x: 1; first ids: 'a-2'\)"):
        aligned.run(base="a", inputs=("x", "age"), target="y", missing_inputs="fail")
    assert not (aligned.root / "data" / "align").exists()


def test_a_number_that_is_not_finite_is_no_target(aligned):
    aligned.source(
        "a", COLUMNS, k=["1", "2", "3"], x=["a", "b", "c"], age=[1.5, float("nan"), float("inf")],
        y=["c", "c", "c"],
    )  # fmt: skip
    report = aligned.run(base="a", inputs=("x",), target="age")
    assert report.quarantine_reasons == {"null_target": 2}
    samples = aligned.read("samples")
    assert samples.schema.field("target").type == pa.float64()
    assert report.target_after.quartiles == (1.5,) * 5


def test_a_target_may_come_from_a_joined_source(aligned):
    aligned.source("a", {"k": "key", "x": "text"}, k=["1", "2", "3"], x=["p", "q", "r"])
    aligned.source("b", {"k": "key", "y": "category"}, k=["3", "1"], y=["three", "one"])
    join = {"on": "key", "right": "b", "left_on": "k", "relation": "one_to_one"}
    report = aligned.run(base="a", joins=(join,), inputs=("x",), target="y")
    assert aligned.read("samples")["target"].to_pylist() == ["one", "three"]
    assert report.quarantine_reasons == {"null_target": 1}


def test_too_many_records_set_aside_stop_the_stage(aligned):
    aligned.source(
        "a", COLUMNS, k=["1"] * 4, x=["a", "b", "c", "d"], age=[1.0] * 4, y=["c", None, None, "d"]
    )
    with pytest.raises(DataError, match="2 of 4 records are unusable"):
        aligned.run(max_bad_fraction=0.4, **ONE)
    assert aligned.run(max_bad_fraction=0.5, **ONE).n_samples == 2


def clocks(aligned, left, right, **join):
    aligned.source("a", {"t": "time", "y": "category"}, t=left, y=["c"] * len(left))
    aligned.source("b", {"t": "time", "z": "text"}, t=right, z=[f"z{i}" for i in range(len(right))])
    settings = {"on": "time", "right": "b", "left_on": "t", "tolerance_seconds": 0.2, **join}
    return aligned.run(base="a", joins=(settings,), inputs=("z",), target="y")


def test_an_offset_clock_is_corrected_before_joining(aligned):
    rng = np.random.default_rng(4)
    events = 1.7e9 + np.cumsum(rng.uniform(0.5, 4, 120))
    order = rng.permutation(120)
    late = events[order] + 41.5 + rng.normal(0, 0.01, 120)
    report = clocks(aligned, events.tolist(), late.tolist(), estimate_clock_offset=True)
    pair = report.pairs[0]
    assert pair.time.clock_offset_seconds == pytest.approx(41.5, abs=0.02)
    assert pair.time.clock_offset_applied
    assert pair.time.clock_score > 5
    assert pair.matched_left == 120
    assert pair.time.n_right_out_of_order > 0
    assert pair.time.absolute_difference_max_seconds < 0.1
    assert aligned.read("samples")["b.z"].to_pylist() == [f"z{i}" for i in np.argsort(order)]
    assert any("clock offset +41.5" in line and "applied" in line for line in report.lines())


def test_an_offset_nobody_can_be_sure_of_is_reported_and_not_applied(aligned):
    rng = np.random.default_rng(5)
    left, right = rng.uniform(0, 100, 40), rng.uniform(0, 100, 40)
    report = clocks(aligned, left.tolist(), right.tolist(), estimate_clock_offset=True)
    found = report.pairs[0].time
    assert found.clock_offset_seconds is not None
    assert not found.clock_offset_applied
    assert "check it by hand" in report.notices[0]
    samples = aligned.read("samples")
    apart = np.abs(
        np.array(samples["a.t"].cast(pa.int64())) - np.array(samples["b.t"].cast(pa.int64()))
    )
    assert apart.max() <= 200_000


def test_odd_times_are_counted(aligned):
    report = clocks(aligned, [5e8, 5e8, None, 0.0, 4e8], [5e8, 4.2e9, 5e8 + 0.1], one_to_one=False)
    found = report.pairs[0].time
    assert (found.n_left_without_time, found.n_left_equal_times) == (1, 1)
    assert (found.n_left_out_of_order, found.n_implausible_times) == (1, 2)
    assert report.pairs[0].n_rows_reused == 1


@given(
    keys=st.lists(st.one_of(st.none(), st.sampled_from("abcd")), min_size=1, max_size=12),
    texts=st.lists(st.one_of(st.none(), st.sampled_from("xy")), min_size=12, max_size=12),
    targets=st.lists(st.one_of(st.none(), st.sampled_from("yn")), min_size=12, max_size=12),
    drop=st.booleans(),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_base_record_is_lost(aligned, keys, texts, targets, drop):
    n = len(keys)
    aligned.columns.clear()
    # The first record is whole, so that there is always a sample with every input.
    aligned.source(
        "a",
        {"k": "key", "x": "text", "y": "category"},
        k=["a", *keys], x=["x", *texts[:n]], y=["y", *targets[:n]],
    )  # fmt: skip
    aligned.source("b", {"k": "key", "z": "text"}, k=["a", "b"], z=["z1", "z2"])
    report = aligned.run(
        base="a",
        joins=({"on": "key", "right": "b", "left_on": "k"},),
        inputs=("x", "z"),
        target="y",
        missing_inputs="drop" if drop else "keep",
    )
    samples = set(aligned.read("samples")["sample_id"].to_pylist())
    aside = set(read_quarantine(aligned.root / "data" / "align")["record_id"].to_pylist())
    assert samples.isdisjoint(aside)
    assert samples | aside == {f"a-{i}" for i in range(1, n + 2)}
    assert report.n_samples == len(samples)
    assert aligned.read("samples")["target"].null_count == 0


def test_same_records_give_the_same_bytes(aligned):
    aligned.source(
        "a", COLUMNS, k=["1", "2"], x=["one", "two"], age=[1.0, 2.0], y=["c", "d"]
    )  # fmt: skip
    manifest = aligned.root / "data" / "align" / "MANIFEST.json"
    first_report = aligned.run(**ONE)
    first = manifest.read_bytes()
    assert aligned.run(**ONE) == first_report
    assert manifest.read_bytes() == first
