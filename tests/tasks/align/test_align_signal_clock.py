import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tasks.align.recordings import Recording
from tasks.align.signal_clock import PooledCurve, SignalClock, estimate_signal_clock

MIN_CLOCK_SCORE = 5.0


@pytest.fixture(scope="module")
def trials():
    """The benchmark, whose trials these are."""
    path = Path(__file__).parents[3] / "benchmarks" / "clock_offset.py"
    spec = importlib.util.spec_from_file_location("clock_offset", path)
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their own module up.
    import sys

    sys.modules["clock_offset"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["clock_offset"]


def test_planted_offsets_and_drifts_are_found_to_half_a_sample(trials):
    found = [trials.tried(trials.planted(np.random.default_rng([3, i]))) for i in range(12)]
    errors, scores = np.asarray(found).T
    assert errors.max() <= 0.5
    assert scores.min() > MIN_CLOCK_SCORE


def test_sensors_that_saw_nothing_in_common_score_low(trials):
    found = [
        trials.tried(trials.planted(np.random.default_rng([4, i]), in_common=0.0)) for i in range(6)
    ]
    assert max(score for _, score in found) < MIN_CLOCK_SCORE


def test_a_clock_is_undone_over_the_whole_recording():
    left = np.arange(0, 600_000_000, 10_000, dtype=np.int64) + 1_700_000_000_000_000
    at = 1_700_000_300.0
    seconds = (left - 1_700_000_000_000_000) / 1e6
    right = left + np.round((12.5 + 150e-6 * (seconds - 300)) * 1e6).astype(np.int64)
    clock = SignalClock(12.5, 150.0, at, 9.0, 600.0)
    assert np.abs(clock.to_left(right) - left).max() <= 1


def movement(seed, seconds=300.0, rate=50.0):
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=int(seconds * rate))
    smooth = np.convolve(raw, np.hanning(25), mode="same")
    times = np.round(np.arange(len(raw)) / rate * 1e6).astype(np.int64)
    return Recording(times, smooth[:, None])


def test_a_recording_is_zero_from_itself_and_a_gap_does_not_matter():
    left = movement(1)
    keep = (left.times < 100_000_000) | (left.times > 160_000_000)
    right = Recording(left.times[keep] + 3_210_000, left.values[keep])
    found = estimate_signal_clock(left, right, 10.0, 300.0)
    assert found.offset_seconds == pytest.approx(3.21, abs=0.002)
    assert found.score > 10


def test_a_periodic_signal_fits_at_many_offsets_and_so_scores_low():
    times = np.arange(0, 120_000_000, 20_000, dtype=np.int64)
    wave = Recording(times, np.sin(2 * np.pi * times / 1e6)[:, None])
    assert estimate_signal_clock(wave, wave, 30.0, 0.0).score < 1


@pytest.mark.parametrize("n", [0, 1, 10])
def test_too_few_readings_say_nothing(n):
    few = Recording(np.arange(n, dtype=np.int64) * 10_000, np.zeros((n, 2)))
    assert estimate_signal_clock(few, movement(1), 5.0, 100.0).score == 0


def test_a_sensor_that_never_changes_says_nothing():
    stuck = Recording(movement(1).times, np.ones((15_000, 2)))
    assert estimate_signal_clock(stuck, movement(1), 5.0, 100.0).score == 0


def test_clocks_that_never_meet_say_nothing():
    late = Recording(movement(1).times + 10**15, movement(1).values)
    assert estimate_signal_clock(movement(1), late, 60.0, 100.0).score == 0


def test_short_recordings_that_share_an_offset_tell_it_together():
    pooled, apart = PooledCurve(2.0), PooledCurve(2.0)
    rng = np.random.default_rng(5)
    alone = []
    for i in range(40):
        left = movement(100 + i, seconds=8.0)
        noise = rng.normal(size=left.values.shape) * 2.5 * left.values.std()
        for pool, offset in ((pooled, 0.25), (apart, rng.uniform(-2, 2))):
            right = Recording(left.times + round(offset * 1e6), left.values + noise)
            clock = pool.add(estimate_signal_clock(left, right, 2.0, 0.0))
            alone.append(clock.score)
    assert np.median(alone) < MIN_CLOCK_SCORE
    assert pooled.clock().offset_seconds == pytest.approx(0.25, abs=0.02)
    assert pooled.clock().score > MIN_CLOCK_SCORE
    assert apart.clock().score < MIN_CLOCK_SCORE
