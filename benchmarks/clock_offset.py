"""Clock offset and drift found again: how often to within half a sample, and what the score knows.

    python benchmarks/clock_offset.py [--trials 200]

Each trial makes up a movement and lets two sensors see it, each turned its own way, with a rate, a
clock, noise and lost readings of its own. The right clock is up to 30 s ahead or behind and gains
up to 200 millionths. An estimate is right where it is never off by more than half a sample period
of the slower sensor, from the first reading to the last. The baseline is one plain
cross-correlation of the two signals' lengths, without drift.

A second table has hard trials as well, where the two see too little in common or nothing: there the
score must tell the right estimates from the wrong ones (the area under its ROC curve).
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tasks.align.recordings import Recording
from tasks.align.signal_clock import estimate_signal_clock

MAX_OFFSET_SECONDS = 60.0
MAX_DRIFT_PPM = 500.0
MIN_SCORE = 5.0
FINE_HZ = 400.0


@dataclass(frozen=True)
class Trial:
    """Two recordings of one movement, and how their clocks are related."""

    left: Recording
    right: Recording
    offset_seconds: float
    drift: float
    period_seconds: float

    def worst_error(self, offset: float, drift: float, at: float) -> float:
        """Return the largest error of an estimated clock over the recording, in seconds."""
        ends = self.left.times[[0, -1]] / 1e6
        true = self.offset_seconds + self.drift * ends
        return float(np.abs(offset + drift * (ends - at) - true).max())


def planted(rng: np.random.Generator, noise: float = 0.3, in_common: float = 1.0) -> Trial:
    """Make up a trial.

    Args:
        rng: Where chance comes from.
        noise: Deviation of the noise, in those of the signal.
        in_common: Part of the movement that both sensors see; the rest each sees alone.
    """
    seconds = rng.uniform(120, 600)
    rates = rng.uniform(25, 104, 2)
    offset, drift = rng.uniform(-30, 30), rng.uniform(-200e-6, 200e-6)
    shared, own_left, own_right = (movement(rng, seconds) for _ in range(3))
    left = in_common * shared + np.sqrt(1 - in_common**2) * own_left
    right = in_common * shared + np.sqrt(1 - in_common**2) * own_right
    of_left = sensed(rng, left, seconds, rates[0], noise)
    of_right = sensed(rng, right, seconds, rates[1], noise)
    seen = of_right.times / 1e6
    by_its_clock = np.round((seen + offset + drift * seen) * 1e6).astype(np.int64)
    return Trial(of_left, Recording(by_its_clock, of_right.values), offset, drift, 1 / rates.min())


def movement(rng: np.random.Generator, seconds: float) -> NDArray[np.float64]:
    """Return ``(n, 3)`` a movement of 0.3 to 6 Hz that comes and goes, deviation 1."""
    n = int(seconds * FINE_HZ)
    frequencies = np.fft.rfftfreq(n, 1 / FINE_HZ)
    heard = (frequencies > 0.3) & (frequencies < 6.0)
    spectrum = rng.normal(size=(2, 3, len(frequencies))) * heard / np.maximum(frequencies, 0.3)
    moved = np.fft.irfft(spectrum[0] + 1j * spectrum[1], n).T
    n_spells = max(2, int(seconds / 8))
    loud = np.interp(np.arange(n), np.linspace(0, n, n_spells), rng.uniform(0.1, 1.5, n_spells))
    moved *= loud[:, None]
    return np.asarray(moved / moved.std())


def sensed(
    rng: np.random.Generator, moved: NDArray[np.float64], seconds: float, rate: float, noise: float
) -> Recording:
    """Read a movement off with a turned sensor: jittered times, noise, a tenth of readings lost."""
    n = int((seconds - 1) * rate)
    at = rng.uniform(0, 0.5) + (np.arange(n) + rng.uniform(-0.1, 0.1, n)) / rate + 0.2 / rate
    at = at[rng.random(n) > 0.1]
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    fine = np.arange(len(moved)) / FINE_HZ
    read = np.stack([np.interp(at, fine, axis) for axis in (moved @ turn).T], axis=1)
    read = read * rng.uniform(0.5, 20) + 9.81 * turn[0]
    return Recording(
        np.round(at * 1e6).astype(np.int64),
        read + rng.normal(size=read.shape) * noise * (read - read.mean(axis=0)).std(),
    )


def plain_offset(trial: Trial) -> float:
    """The baseline: the lag at which the lengths of both signals correlate best."""
    step = trial.period_seconds
    grids = []
    first = min(trial.left.times[0], trial.right.times[0]) / 1e6
    last = max(trial.left.times[-1], trial.right.times[-1]) / 1e6
    at = np.arange(first, last, step)
    for side in (trial.left, trial.right):
        length = np.linalg.norm(side.values, axis=1)
        grids.append(np.interp(at, side.times / 1e6, length - length.mean(), left=0, right=0))
    size = 2 * len(at)
    found = np.fft.irfft(np.fft.rfft(grids[1], size) * np.conj(np.fft.rfft(grids[0], size)), size)
    lags = np.arange(size)
    lags = np.where(lags >= size // 2, lags - size, lags)
    allowed = np.abs(lags * step) <= MAX_OFFSET_SECONDS
    return float(lags[int(np.argmax(np.where(allowed, found, -np.inf)))] * step)


def tried(trial: Trial) -> tuple[float, float]:
    """Return the worst error of the estimate, in sample periods, and its score."""
    found = estimate_signal_clock(trial.left, trial.right, MAX_OFFSET_SECONDS, MAX_DRIFT_PPM)
    worst = trial.worst_error(found.offset_seconds, found.drift_ppm / 1e6, found.at_seconds)
    return worst / trial.period_seconds, found.score


def figures(n_trials: int, seed: int) -> dict[str, float]:
    """Run all trials and return the figures that are printed."""
    easy = [planted(np.random.default_rng([seed, i])) for i in range(n_trials)]
    started = time.process_time()
    results = np.asarray([tried(trial) for trial in easy])
    spent = (time.process_time() - started) / n_trials
    plain = [
        trial.worst_error(plain_offset(trial), 0.0, 0.0) / trial.period_seconds for trial in easy
    ]
    hard = []
    for i in range(n_trials):
        rng = np.random.default_rng([seed + 1, i])
        hard.append(tried(planted(rng, noise=rng.uniform(0.3, 2), in_common=rng.uniform(0, 1))))
    both = np.concatenate([results, np.asarray(hard)])
    right, score = both[:, 0] <= 0.5, both[:, 1]
    near = both[:, 0] <= 2.0
    return {
        "right": float((results[:, 0] <= 0.5).mean()),
        "median error, periods": float(np.median(results[:, 0])),
        "95 % of errors within, periods": float(np.quantile(results[:, 0], 0.95)),
        "lowest score": float(results[:, 1].min()),
        "right, plain correlation": float(np.mean(np.asarray(plain) <= 0.5)),
        "CPU-seconds a trial": spent,
        "hard: right": float(np.mean(np.asarray(hard)[:, 0] <= 0.5)),
        "AUROC of the score, right or not": float(roc_auc_score(right, score)),
        "AUROC of the score, within two periods or not": float(roc_auc_score(near, score)),
        "over min_clock_score and right within two periods": float(near[score >= MIN_SCORE].mean()),
        "applied though off by over two periods": float(((score >= MIN_SCORE) & ~near).sum()),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    for name, value in figures(options.trials, options.seed).items():
        print(f"{name:52} {value:8.3f}")


if __name__ == "__main__":
    main()
