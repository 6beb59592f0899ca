"""Metrics agree with scikit-learn, weighted or not, and are undefined where they must be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tasks.evaluate.metrics import (
    classification_statistics,
    log_losses,
    metrics_of,
    regression_statistics,
)

RANDOM = np.random.default_rng(5)
BY_NAME = {m.name: m for o in ("classification", "regression") for m in metrics_of(o)}


def classified(n: int = 400, n_classes: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    actual = RANDOM.integers(n_classes, size=n)
    given_ = RANDOM.dirichlet(np.ones(n_classes), size=n).astype(np.float32)
    given_[np.arange(n), actual] += 0.4
    given_ /= given_.sum(axis=1, keepdims=True)
    return actual, given_, given_.argmax(axis=1)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("accuracy", sk.accuracy_score),
        ("balanced_accuracy", sk.balanced_accuracy_score),
        ("macro_f1", lambda a, p, **k: sk.f1_score(a, p, average="macro", **k)),
        ("mcc", sk.matthews_corrcoef),
    ],
)
def test_class_metrics_agree_with_scikit_learn(name: str, reference) -> None:
    actual, _, predicted = classified()
    weights = RANDOM.integers(0, 4, size=len(actual)).astype(float)
    statistics = classification_statistics(actual, predicted, 5)
    plain = np.asarray(statistics.sum(axis=0)).ravel()
    weighted = weights @ statistics
    assert BY_NAME[name].of(plain) == pytest.approx(reference(actual, predicted), abs=1e-12)
    expected = reference(actual, predicted, sample_weight=weights)
    assert BY_NAME[name].of(weighted) == pytest.approx(expected, abs=1e-12)


def test_log_loss_agrees_with_scikit_learn() -> None:
    actual, given_, predicted = classified()
    weights = RANDOM.random(len(actual))
    statistics = classification_statistics(actual, predicted, 5, log_losses(given_, actual))
    expected = sk.log_loss(actual, given_, sample_weight=weights, labels=range(5))
    assert BY_NAME["log_loss"].of(weights @ statistics) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "reference"),
    [("rmse", sk.root_mean_squared_error), ("mae", sk.mean_absolute_error), ("r2", sk.r2_score)],
)
@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_value_metrics_agree_with_scikit_learn(name: str, reference, offset: float) -> None:
    actual = RANDOM.normal(0, 3, 300) + offset
    predicted = actual + RANDOM.normal(0, 1, 300)
    weights = RANDOM.integers(0, 4, size=300).astype(float)
    ours = BY_NAME[name].of(weights @ regression_statistics(actual, predicted))
    assert ours == pytest.approx(reference(actual, predicted, sample_weight=weights), rel=1e-6)


def test_a_class_that_is_only_predicted_counts_in_f1_and_not_in_recall() -> None:
    actual, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    sums = np.asarray(classification_statistics(actual, predicted, 4).sum(axis=0)).ravel()
    assert BY_NAME["macro_f1"].of(sums) == pytest.approx(
        sk.f1_score(actual, predicted, average="macro")
    )
    assert BY_NAME["balanced_accuracy"].of(sums) == pytest.approx(0.75)


def test_one_class_leaves_accuracy_and_takes_the_others_away() -> None:
    actual, predicted = np.zeros(6, dtype=int), np.array([0, 0, 0, 1, 0, 0])
    sums = np.asarray(classification_statistics(actual, predicted, 2).sum(axis=0)).ravel()
    assert BY_NAME["accuracy"].of(sums) == pytest.approx(5 / 6)
    for name in ("balanced_accuracy", "macro_f1", "mcc"):
        assert np.isnan(BY_NAME[name].of(sums))


def test_r2_of_a_constant_target_is_undefined() -> None:
    statistics = regression_statistics(np.full(5, 1234.5), np.arange(5.0))
    assert np.isnan(BY_NAME["r2"].of(np.asarray(statistics.sum(axis=0)).ravel()))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30),
    data=st.data(),
)
def test_a_weight_is_the_same_as_a_repeated_row(rows: list[tuple[int, int]], data) -> None:
    weights = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    actual, predicted = (np.array(c) for c in zip(*rows, strict=True))
    weighted = np.array(weights) @ classification_statistics(actual, predicted, 4)
    repeated = classification_statistics(
        np.repeat(actual, weights), np.repeat(predicted, weights), 4
    )
    sums = np.asarray(repeated.sum(axis=0)).ravel()
    for metric in metrics_of("classification"):
        assert metric.of(np.asarray(weighted, dtype=float)) == pytest.approx(
            metric.of(sums), nan_ok=True
        )
