"""How even splits are, and how many samples move when a tenth more is added.

    python benchmarks/split_stability.py [--samples 20000] [--trials 5]

Three data sets are drawn: single samples of ten classes, samples of thirty labels of which each may
have several, and groups of about eight samples. Compared are going by hash alone, this project's
stratified way, and scikit-learn's ``StratifiedKFold`` and ``StratifiedGroupKFold`` (20 folds,
shared out 14:3:3; for samples with several labels, by the set of them). Deviation is how much of a
label a split has too much or too little, on average, as a part of what is due to it; moved is the
part of the old samples that another split has after a tenth was added.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from tasks.split.groups import Groups
from tasks.split.keys import hashed_fractions
from tasks.split.labels import SampleLabels
from tasks.split.stratifying import apportion

PARTS = np.array([0.7, 0.15, 0.15])


@dataclass(frozen=True)
class Drawn:
    """Samples with their groups and labels."""

    groups: Groups
    labels: SampleLabels

    def first(self, n: int) -> "Drawn":
        """Return what there was before the others were added."""
        rows = np.arange(n)
        return Drawn(self.groups.of(rows), self.labels.of(rows, len(self.groups.of_sample)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--trials", type=int, default=5)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="sklearn")
    kinds = {"classes": classes, "labels": several_labels, "groups": grouped}
    methods = {"hash": by_hash, "stratified": stratified, "scikit-learn": by_scikit_learn}
    print(f"{'data':<10}{'method':<14}{'deviation':>11}{'moved':>9}{'seconds':>9}")
    for kind, draw in kinds.items():
        for name, method in methods.items():
            trials = [trial(draw, method, options.samples, s) for s in range(options.trials)]
            deviation, moved, seconds = np.mean(trials, axis=0)
            print(f"{kind:<10}{name:<14}{deviation:11.2%}{moved:9.2%}{seconds:9.2f}")


def trial(
    draw: Callable[..., Drawn], method: Callable[[Drawn], np.ndarray], n: int, seed: int
) -> tuple[float, float, float]:
    later = draw(n + n // 10, np.random.default_rng(seed))
    before = method(later.first(n))
    begin = time.process_time()
    after = method(later)
    seconds = time.process_time() - begin
    return deviation(later.labels, after), float((before != after[:n]).mean()), seconds


def deviation(labels: SampleLabels, split: np.ndarray) -> float:
    counts = np.zeros((len(labels.names), 3))
    np.add.at(counts, (labels.labels, split[labels.rows]), 1)
    due = counts.sum(axis=1, keepdims=True) * PARTS
    return float(np.abs(counts / due - 1).mean())


def by_hash(drawn: Drawn) -> np.ndarray:
    drawn_at = hashed_fractions(drawn.groups.names, "0")
    return np.searchsorted(np.cumsum(PARTS)[:-1], drawn_at, side="right")[drawn.groups.of_sample]


def stratified(drawn: Drawn) -> np.ndarray:
    return apportion(drawn.groups, drawn.labels, PARTS.tolist(), "0")


def by_scikit_learn(drawn: Drawn) -> np.ndarray:
    n = len(drawn.groups.of_sample)
    sets = np.zeros((n, len(drawn.labels.names)), dtype=bool)
    sets[drawn.labels.rows, drawn.labels.labels] = True
    _, target = np.unique(sets, axis=0, return_inverse=True)
    single = len(drawn.groups) == n
    folds = (StratifiedKFold if single else StratifiedGroupKFold)(20, shuffle=True, random_state=0)
    fold = np.zeros(n, dtype=int)
    for i, (_, test) in enumerate(folds.split(np.zeros(n), target, drawn.groups.of_sample)):
        fold[test] = i
    return np.searchsorted([14, 17], fold, side="right")


def classes(n: int, rng: np.random.Generator) -> Drawn:
    frequency = [0.4, 0.3, 0.1, 0.05, 0.05, 0.04, 0.03, 0.02, 0.007, 0.003]
    return as_drawn(np.arange(n), np.arange(n), rng.choice(10, n, p=frequency), 10, rng)


def several_labels(n: int, rng: np.random.Generator) -> Drawn:
    rows, labels = np.nonzero(rng.random((n, 30)) < np.geomspace(0.3, 0.002, 30))
    return as_drawn(np.arange(n), rows, labels, 30, rng)


def grouped(n: int, rng: np.random.Generator) -> Drawn:
    group = rng.integers(0, n // 8, n)
    favourite = rng.integers(0, 10, n // 8)[group]
    target = np.where(rng.random(n) < 0.6, favourite, rng.integers(0, 10, n))
    return as_drawn(group, np.arange(n), target, 10, rng)


def as_drawn(
    group: np.ndarray, rows: np.ndarray, labels: np.ndarray, n: int, rng: np.random.Generator
) -> Drawn:
    names, of_sample = np.unique(group, return_inverse=True)
    drawn = np.unique(rng.integers(1, 2**63, 2 * len(names)).astype(np.uint64))[: len(names)]
    groups = Groups(drawn, of_sample.astype(np.int32))
    return Drawn(groups, SampleLabels(("y",) * n, tuple(map(str, range(n))), rows, labels))


if __name__ == "__main__":
    main()
