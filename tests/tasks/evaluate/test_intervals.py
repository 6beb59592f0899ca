"""Intervals hold the truth as often as they say, redraw whole groups, and pair what is compared."""

import time

import numpy as np
import pytest

from tasks.evaluate.intervals import (
    Resampling,
    estimate,
    exact_end,
    group_indices,
    percentile_interval,
    resampled_sums,
)
from tasks.evaluate.metrics import classification_statistics, metrics_of

ACCURACY = metrics_of("classification")[0]


def of_hits(hits: np.ndarray, groups: np.ndarray | None = None, n: int = 400, seed: int = 0):
    """Return the accuracy of rows that are right where ``hits`` says, with its interval."""
    actual = np.zeros(len(hits), dtype=int)
    statistics = classification_statistics(actual, np.where(hits, 0, 1), 2)
    resampling = Resampling(np.arange(len(hits)) if groups is None else groups, n, 0.95, seed)
    (sums,) = resampled_sums([statistics], resampling)
    whole = np.asarray(statistics.sum(axis=0)).ravel()
    return estimate(float(ACCURACY.of(whole)), ACCURACY.of(sums), resampling, proportion=True)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(11)
    covered = 0
    for trial in range(200):
        result = of_hits(random.random(120) < 0.8, seed=trial)
        covered += result.low <= 0.8 <= result.high
    assert 0.90 <= covered / 200 <= 0.99


def test_rows_of_one_group_are_no_independent_witnesses() -> None:
    random = np.random.default_rng(12)
    group_is_right = random.random(40) < 0.7
    groups = np.repeat(np.arange(40), 25)
    grouped = of_hits(group_is_right[groups], groups)
    naive = of_hits(group_is_right[groups])
    assert grouped.value == naive.value
    assert grouped.n_groups == 40
    assert naive.n_groups == 1000
    assert grouped.high - grouped.low > 3 * (naive.high - naive.low)


def test_equal_models_have_no_lead_in_any_resample() -> None:
    random = np.random.default_rng(13)
    actual, predicted = random.integers(3, size=50), random.integers(3, size=50)
    statistics = classification_statistics(actual, predicted, 3)
    resampling = Resampling(np.arange(50), 100, 0.95, 1)
    one, other = resampled_sums([statistics, statistics.copy()], resampling)
    assert np.array_equal(one, other)


def test_every_resample_draws_as_many_groups_as_there_are_over_several_portions() -> None:
    n = 150_000  # more than fit into memory at once
    rows = classification_statistics(np.zeros(n, dtype=int), np.zeros(n, dtype=int), 1)
    (sums,) = resampled_sums([rows], Resampling(np.arange(n), 33, 0.95, 0))
    assert sums.shape == (33, 4)
    assert np.all(sums[:, 0] == n)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    hits = np.random.default_rng(2).random(300) < 0.6
    assert of_hits(hits, seed=4) == of_hits(hits, seed=4)
    assert of_hits(hits, seed=4) != of_hits(hits, seed=5)


def test_a_perfect_score_on_three_rows_is_not_sure() -> None:
    result = of_hits(np.ones(3, dtype=bool))
    assert (result.value, result.high) == (1.0, 1.0)
    assert result.low == pytest.approx(exact_end(3, 0.95))
    none_right = of_hits(np.zeros(3, dtype=bool))
    assert none_right.low == 0.0
    assert none_right.high == pytest.approx(1 - exact_end(3, 0.95))


def test_a_value_that_few_resamples_have_gets_no_interval() -> None:
    values = np.full(100, np.nan)
    values[:50] = 0.5
    assert percentile_interval(values, 0.95) is None
    result = estimate(0.5, values, Resampling(np.arange(9), 100, 0.95, 0))
    assert result.value == 0.5
    assert result.low is None
    assert "resamples" in result.undefined


def test_groups_are_numbered_without_gaps() -> None:
    assert group_indices(["x", "y", "x", "a"]).tolist() == [1, 2, 1, 0]
    assert group_indices([]).tolist() == []


def test_a_thousand_resamples_of_ten_thousand_rows_take_seconds() -> None:
    random = np.random.default_rng(3)
    actual, predicted = random.integers(10, size=10_000), random.integers(10, size=10_000)
    statistics = classification_statistics(actual, predicted, 10)
    started = time.process_time()
    (sums,) = resampled_sums([statistics], Resampling(np.arange(10_000), 1000, 0.95, 0))
    for metric in metrics_of("classification"):
        metric.of(sums)
    assert time.process_time() - started < 5
