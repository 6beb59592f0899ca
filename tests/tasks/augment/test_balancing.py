"""Balance across classes and sets of inputs: by copies, by leaving out, by weights."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.augment.balancing import effective_weights
from tasks.errors import DataError
from tasks.samples.tables import read_table

quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TARGET = ["a"] * 6 + ["b"] * 2 + ["c"] + ["a", "b"]
SPLIT = ["train"] * 9 + ["validation", "test"]
IMAGE = ["i1", "i2", None, None, None, None, "i3", None, "i4", "i5", None]


def weights_of(table: pa.Table) -> dict[str, Any]:
    return dict(zip(table["sample_id"].to_pylist(), table["weight"].to_pylist(), strict=True))


def test_sets_of_inputs_can_be_balanced(augmenting, split_samples):
    samples = split_samples(TARGET, SPLIT, image=IMAGE)
    report = augmenting.run(samples, balance="modalities")
    assert report.modalities_before == {
        "question+tone+tabular": 5,
        "question+image+tone+tabular": 4,
    }
    assert set(report.modalities_after.values()) == {5}


def test_classes_and_sets_of_inputs_can_be_balanced_together(augmenting, split_samples):
    samples = split_samples(TARGET, SPLIT, image=IMAGE)
    augmenting.run(samples, balance="classes_and_modalities")
    rows = [row for row in augmenting.read().to_pylist() if row["split"] == "train"]
    cells = Counter((row["target"], row["q.image"] is None) for row in rows)
    assert set(cells.values()) == {4}
    assert len(cells) == 5


def test_a_number_can_be_balanced_by_its_inputs(augmenting, split_samples):
    samples = split_samples([1.0, 2.0, 3.0], ["train"] * 3, image=["i", None, None])
    report = augmenting.run(samples, balance="modalities")
    assert set(report.modalities_after.values()) == {2}
    with pytest.raises(DataError, match="expects a target that is a category, found number"):
        augmenting.run(samples, balance="classes_and_modalities")


@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    ratio=st.floats(1, 4),
    copies=st.integers(0, 2),
)
@quick
def test_undersampling_leaves_out_what_is_common_and_keeps_every_row_somewhere(
    augmenting, split_samples, sizes, ratio, copies
):
    target = [label for label, n in zip("abcd", sizes, strict=False) for _ in range(n)] + ["a"]
    samples = split_samples(target, ["train"] * (len(target) - 1) + ["test"])
    report = augmenting.run(
        samples, copies=copies, balance="classes", balance_by="undersample", max_imbalance=ratio
    )
    most = int(min(sizes) * ratio)
    for label, size in zip("abcd", sizes, strict=False):
        assert report.classes_after[label] == min(size, most) * (1 + copies)
    left_out = read_table(augmenting.root / "data" / "augment" / "left_out.parquet")
    written = augmenting.read()
    originals = written.filter(pa.compute.is_null(written["parent_id"]))
    together = originals["sample_id"].to_pylist() + left_out["sample_id"].to_pylist()
    assert sorted(together) == sorted(samples["sample_id"].to_pylist())
    assert report.n_left_out == left_out.num_rows
    assert left_out.schema.equals(samples.schema)
    assert set(written["parent_id"].drop_null().to_pylist()) <= set(
        originals["sample_id"].to_pylist()
    )
    assert "test" in originals["split"].to_pylist()


def test_who_is_left_out_does_not_depend_on_row_order(augmenting, split_samples):
    samples = split_samples(TARGET, SPLIT)
    chosen = {"balance": "classes", "balance_by": "undersample"}
    augmenting.run(samples, **chosen)
    before = set(augmenting.read()["sample_id"].to_pylist())
    order = np.random.default_rng(0).permutation(samples.num_rows)
    augmenting.run(samples.take(order), **chosen)
    assert set(augmenting.read()["sample_id"].to_pylist()) == before


def test_much_left_out_is_said(augmenting, split_samples):
    report = augmenting.run(
        split_samples(TARGET, SPLIT), balance="classes", balance_by="undersample"
    )
    assert report.n_left_out == 6
    assert "leaves out 6 of 9 training samples" in report.notices[0]


@pytest.mark.parametrize("copies", [0, 2])
def test_weights_are_one_over_the_effective_number_and_one_on_average(
    augmenting, split_samples, copies
):
    report = augmenting.run(
        split_samples(TARGET, SPLIT),
        copies=copies,
        balance="classes",
        balance_by="weights",
        effective_number_beta=0.9,
    )
    written = augmenting.read()
    weights = weights_of(written)
    assert weights["s9"] is None
    assert weights["s10"] is None
    given_weights = [w for w in weights.values() if w is not None]
    assert len(given_weights) == 9 * (1 + copies)
    assert np.mean(given_weights) == pytest.approx(1)
    effective = {"a": (1 - 0.9**6) / 0.1, "b": (1 - 0.9**2) / 0.1, "c": 1.0}
    assert weights["s6"] / weights["s0"] == pytest.approx(effective["a"] / effective["b"])
    assert weights["s8"] / weights["s0"] == pytest.approx(effective["a"] / effective["c"])
    assert report.weights["c"] == pytest.approx(weights["s8"])
    assert report.classes_before == {"a": 6, "b": 2, "c": 1}
    if copies:
        assert weights["s8~1"] == weights["s8"]


def test_without_weights_there_is_no_such_column(augmenting, split_samples):
    augmenting.run(split_samples(TARGET, SPLIT), balance="classes")
    assert "weight" not in augmenting.read().column_names


@given(n=st.lists(st.integers(0, 100_000), min_size=1, max_size=5), beta=st.floats(0, 0.99999))
@quick
def test_effective_weights_fall_with_the_number_of_samples(n, beta):
    weights = effective_weights(np.asarray(n), beta)
    assert np.isfinite(weights).all()
    for size, weight in zip(n, weights, strict=True):
        if size:
            naive = sum(beta**k for k in range(min(size, 3000))) if size <= 3000 else None
            assert naive is None or weight == pytest.approx(1 / naive, rel=1e-6)
        else:
            assert weight == 0
    order = np.argsort(n)
    there = weights[order][np.asarray(n)[order] > 0]
    assert (np.diff(there) <= 1e-12).all()
