import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.align.clock import count_differences, estimate_clock_offset

MIN_CLOCK_SCORE = 5.0  # the default of align.joins


def planted(seed: int, n: int, offset: float, jitter: float, missing: float = 0.1):
    """Two clocks' times of the same events, each missing some."""
    rng = np.random.default_rng(seed)
    events = np.sort(rng.uniform(0, 3.0 * n, n))
    left = events[rng.random(n) >= missing]
    right = events[rng.random(n) >= missing] + offset
    return left + rng.normal(0, jitter, len(left)), right + rng.normal(0, jitter, len(right))


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(60, 400),
    offset=st.floats(-55, 55),
    jitter=st.floats(0, 0.03),
)
@settings(max_examples=60, deadline=None)
def test_a_planted_offset_is_found_within_20_ms(seed, n, offset, jitter):
    left, right = planted(seed, n, offset, jitter)
    found = estimate_clock_offset(left, right, max_offset_seconds=60.0)
    assert abs(found.offset_seconds - offset) < 0.02
    assert found.score >= MIN_CLOCK_SCORE
    assert found.n_events >= 0.6 * n


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(3, 400), m=st.integers(3, 400))
@settings(max_examples=60, deadline=None)
def test_unrelated_clocks_score_low(seed, n, m):
    rng = np.random.default_rng(seed)
    span = 3.0 * max(n, m)
    found = estimate_clock_offset(rng.uniform(0, span, n), rng.uniform(0, span, m), 60.0)
    assert found.score < MIN_CLOCK_SCORE


@pytest.mark.parametrize("period", [0.01, 1.0])
def test_even_ticks_fit_at_many_offsets_and_so_score_low(period):
    ticks = np.arange(1000) * period
    assert estimate_clock_offset(ticks, ticks + 0.3, 60.0).score < 1


def test_order_and_repeats_of_events_do_not_matter():
    left, right = planted(3, 100, 12.5, 0.01)
    shuffled = np.random.default_rng(0).permutation(np.concatenate([left, left]))
    found = estimate_clock_offset(left, right, 60.0)
    assert estimate_clock_offset(shuffled, right[::-1], 60.0) == found


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_events_say_nothing(n):
    found = estimate_clock_offset(np.arange(float(n)), np.arange(50.0), 60.0)
    assert (found.score, found.n_events) == (0.0, 0)


def test_a_hundred_thousand_dense_events_are_counted_in_part_and_still_agree():
    rng = np.random.default_rng(1)
    events = np.sort(rng.uniform(0, 5_000, 100_000))
    left, right = events[rng.random(100_000) > 0.1], events[rng.random(100_000) > 0.1] - 31.25
    found = estimate_clock_offset(left, right, 60.0, most_pairs=5_000_000)
    assert abs(found.offset_seconds + 31.25) < 0.005
    assert found.score > 20


def test_differences_are_those_of_all_pairs_within_reach():
    rng = np.random.default_rng(5)
    left, right = np.sort(rng.uniform(0, 50, 80)), np.sort(rng.uniform(0, 50, 70))
    counts = count_differences(left, right, reach=10.0, width=0.5, most_pairs=10**6)
    every = (right[None, :] - left[:, None]).ravel()
    expected, _ = np.histogram(every, bins=40, range=(-10, 10))
    assert counts.tolist() == expected.tolist()


@pytest.mark.parametrize("hours", [1, 24])
@pytest.mark.parametrize("drift", [-200e-6, 150e-6])
def test_a_drift_is_found_with_the_offset(hours, drift):
    rng = np.random.default_rng(hours)
    events = np.sort(rng.uniform(0, hours * 3600, 150 * hours))
    seen = rng.random((2, len(events))) > 0.1
    left = events[seen[0]] + rng.normal(0, 0.01, seen[0].sum())
    right = events[seen[1]] + rng.normal(0, 0.01, seen[1].sum())
    found = estimate_clock_offset(left, right + 21.5 + drift * right, 60.0, 500.0)
    ends = np.asarray([0.0, hours * 3600.0])
    assert np.abs(found.to_left(ends + 21.5 + drift * ends) - ends).max() < 0.02
    assert found.drift_ppm == pytest.approx(drift * 1e6, abs=10)
    assert found.score > MIN_CLOCK_SCORE


def test_where_there_is_no_drift_none_is_made_up():
    left, right = planted(3, 120, 12.5, 0.02)
    found = estimate_clock_offset(left, right, 60.0, 500.0)
    assert found.drift_ppm == 0
    assert found.offset_seconds == pytest.approx(12.5, abs=0.02)
