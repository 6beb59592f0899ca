"""Floors are as good as a trivial model can be, and learn from train alone."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.evaluate.floors import (
    Parts,
    blind_floor,
    constant_floor,
    linear_heads,
    look_up,
    most_head_rows,
    standardiser,
    value_keys,
)
from tasks.samples.schema import InputSpec, TabularColumn

RANDOM = np.random.default_rng(8)


def parts(values: np.ndarray) -> Parts:
    a, b = len(values) // 2, len(values) * 3 // 4
    return Parts(values[:a], values[a:b], values[b:])


def test_the_majority_is_that_of_train_not_of_test() -> None:
    targets = Parts(np.array([1, 1, 0]), np.array([0]), np.array([0, 0, 0]))
    floor = constant_floor("classification", targets, ("no", "yes"))
    assert floor.predicted.tolist() == [1, 1, 1]
    assert "'yes'" in floor.method


def test_the_mean_is_that_of_train() -> None:
    targets = Parts(np.array([1.0, 3.0]), np.array([9.0]), np.array([9.0]))
    floor = constant_floor("regression", targets, ())
    assert floor.name == "mean"
    assert floor.predicted.tolist() == [2.0]


def test_a_look_up_knows_its_values_and_says_the_majority_of_a_new_one() -> None:
    keys = Parts(np.array([0, 0, 0, 1, 1]), np.array([0]), np.array([0, 1, 2]))
    targets = Parts(np.array([4, 4, 2, 2, 2]), np.array([4]), np.array([4, 2, 2]))
    assert look_up("classification", keys, targets).test.tolist() == [4, 2, 2]


def test_a_look_up_of_values_gives_means() -> None:
    keys = Parts(np.array([0, 0, 1]), np.array([0]), np.array([0, 1, 2]))
    targets = Parts(np.array([1.0, 2.0, 6.0]), np.array([1.5]), np.array([1.5, 6.0, 3.0]))
    assert look_up("regression", keys, targets).test.tolist() == [1.5, 6.0, 3.0]


def test_few_questions_are_looked_up() -> None:
    keys = RANDOM.integers(20, size=2000)
    answers = keys % 7
    noise = RANDOM.normal(size=(2000, 4)).astype(np.float32)
    floor = blind_floor(
        "question", "classification", parts(keys), parts(noise), np.arange(1000), parts(answers)
    )
    assert floor.name == "question_alone"
    assert floor.method.startswith("look-up")
    assert np.array_equal(floor.predicted, parts(answers).test)


def test_distinct_images_get_a_head_on_their_encoder() -> None:
    classes = RANDOM.integers(3, size=800)
    features = (np.eye(3)[classes] + RANDOM.normal(0, 0.3, (800, 3))).astype(np.float32)
    floor = blind_floor(
        "image", "classification", parts(np.arange(800)), parts(features), np.arange(400),
        parts(classes),
    )  # fmt: skip
    assert floor.method.startswith("logistic")
    assert (floor.predicted == parts(classes).test).mean() > 0.85


def test_a_number_gets_a_ridge_head_that_survives_missing_inputs() -> None:
    features = RANDOM.normal(size=(800, 3)).astype(np.float32)
    values = features @ np.array([1.0, -2.0, 0.5]) + 10
    features[::9] = np.nan
    floor = blind_floor(
        "image", "regression", parts(np.arange(800)), parts(features), np.arange(400), parts(values)
    )
    there = np.isfinite(parts(features).test).all(axis=1)
    error = floor.predicted - parts(values).test
    assert np.isfinite(floor.predicted).all()
    assert np.abs(error[there]).mean() < 0.3


@pytest.mark.parametrize("objective", ["classification", "regression"])
def test_weighted_distinct_rows_give_the_heads_that_all_rows_give(objective: str) -> None:
    keys = RANDOM.integers(30, size=600)
    features = RANDOM.normal(size=(30, 3)).astype(np.float32)[keys]
    targets = features.sum(axis=1).astype(float) + RANDOM.normal(0, 0.5, 600)
    if objective == "classification":
        targets = (targets > 0).astype(int)
    given = (parts(features), np.arange(300), parts(targets))
    shared = linear_heads(objective, parts(keys), *given)
    alone = linear_heads(objective, parts(np.arange(600)), *given)
    assert len(shared) == len(alone) == 3
    for one, other in zip(shared, alone, strict=True):
        assert one.method == other.method
        assert one.test == pytest.approx(other.test, abs=1e-6)


def test_an_input_that_is_always_missing_falls_back_to_a_look_up() -> None:
    nothing = np.full((40, 3), np.nan, dtype=np.float32)
    classes = np.array([0, 1] * 19 + [1, 1])
    floor = blind_floor(
        "image", "classification", parts(np.zeros(40, dtype=int)), parts(nothing), np.arange(20),
        parts(classes),
    )  # fmt: skip
    assert floor.method.startswith("look-up")


def test_one_class_in_train_needs_no_head() -> None:
    floor = blind_floor(
        "image", "classification", parts(np.arange(40)), parts(np.ones((40, 2))), np.arange(20),
        parts(np.zeros(40, dtype=int)),
    )  # fmt: skip
    assert floor.predicted.tolist() == [0] * 10


def test_no_validation_and_no_test_rows_are_no_fault() -> None:
    keys, classes = np.arange(30), np.array([0, 1] * 15)
    features = RANDOM.normal(size=(30, 2))
    none = slice(0, 0)
    floor = blind_floor(
        "image",
        "classification",
        Parts(keys, keys[none], keys[none]),
        Parts(features, features[none], features[none]),
        np.arange(30),
        Parts(classes, classes[none], classes[none]),
    )
    assert len(floor.predicted) == 0


def test_a_constant_feature_stays_finite() -> None:
    scale = standardiser(np.array([[1.0, 5.0], [1.0, 7.0]]))
    assert scale(np.array([[1.0, 6.0], [np.nan, np.nan]])).tolist() == [[0, 0, 0], [0, 0, 1]]


def test_values_are_numbered_with_missing_as_one_of_them() -> None:
    rows = pa.table({"s.a": ["x", None, "x", "y", None], "s.n": [1.0, 1.0, 2.0, 1.0, 1.0]})
    text = InputSpec(name="a", modality="text", column="s.a")
    keys = value_keys(text, rows)
    assert keys[0] == keys[2]
    assert keys[1] == keys[4]
    assert len(set(keys.tolist())) == 3
    both = InputSpec(
        name="tabular",
        modality="tabular",
        columns=(
            TabularColumn(name="s.a", kind="category"),
            TabularColumn(name="s.n", kind="number"),
        ),
    )
    keys = value_keys(both, rows)
    assert keys[1] == keys[4]
    assert len(set(keys.tolist())) == 4


def test_many_classes_leave_rows_out() -> None:
    assert most_head_rows(64, 10, 20_000) == 20_000
    assert most_head_rows(384, 1000, 20_000) == 1_000
