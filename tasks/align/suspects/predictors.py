"""Ways to predict targets from cheap features, each sample by a model that never saw it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.align.suspects.out_of_fold import Numbers, ridge_out_of_fold
from tasks.align.suspects.strata import Strata
from tasks.align.suspects.views import LANDMARKS_OF_ALL, MOST_LANDMARKS, View, lifted

MOST_CLASSES_OF_TREES = 8
TREE_ROUNDS = 60


@dataclass(frozen=True)
class Problem:
    """What is to be predicted from what.

    Attributes:
        views: The inputs.
        strata: The samples by their inputs of few values.
        folds: ``(n,)``.
        targets: ``(n, q)``: a mark for the class, or one number; whole columns for each sample.
        classes: ``(n,)`` the column of the mark; None for numbers.
        table: ``(n, d)`` plain features, where all inputs are tabular; else None.
        seed: Fixes what is drawn at random.
    """

    views: Sequence[View]
    strata: Strata
    folds: NDArray[np.int64]
    targets: Numbers
    classes: NDArray[np.int64] | None
    table: NDArray[np.float32] | None
    seed: int


def predictions(problem: Problem) -> Iterator[tuple[str, Numbers]]:
    """Yield what each way predicts, ``(n, q)``, with its name; the best one is to be chosen.

    added       every input has its say, and the sum decides
    by …        the same, by a model of its own for each value of inputs of few values
    joined      inputs are looked at together, as where two digits are to be added
    trees       boosted trees, where all inputs are tabular
    """
    every = np.arange(len(problem.folds))
    if problem.strata.by:
        yield from _in_strata(problem)
    for out in _centred_ridge(problem, _added(problem.views, every), every):
        yield "added", out
    if len(problem.views) > 1:
        together = np.concatenate([view.reduced_rows(every) for view in problem.views], axis=1)
        n_landmarks = min(MOST_LANDMARKS, LANDMARKS_OF_ALL)
        for out in _centred_ridge(problem, lifted(together, n_landmarks, problem.seed), every):
            yield "joined", out
    if problem.table is not None:
        yield from _trees(problem, problem.table)


def _added(views: Sequence[View], at: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.concatenate([view.lifted_rows(at) for view in views], axis=1)


def _centred_ridge(
    problem: Problem, features: NDArray[np.float32], at: NDArray[np.int64]
) -> list[Numbers]:
    targets = problem.targets[at]
    middle = targets.mean(axis=0)
    found = ridge_out_of_fold(features, targets - middle, problem.folds[at])
    return [out + middle for out in found]


def _in_strata(problem: Problem) -> Iterator[tuple[str, Numbers]]:
    strata = problem.strata
    # What a class never is, for a value, is far below anything that a ridge regression says.
    found: list[Numbers] = []
    for at in strata.parts():
        parts = _centred_ridge(problem, _added(strata.views, at), at)
        found = found or [np.zeros(problem.targets.shape) for _ in parts]
        never = ~problem.targets[at].any(axis=0) if problem.classes is not None else np.array(False)
        for whole, part in zip(found, parts, strict=True):
            whole[at] = np.where(never, -10.0, part)
    for out in found:
        yield f"by {' and '.join(strata.by)}", out


def _trees(problem: Problem, table: NDArray[np.float32]) -> Iterator[tuple[str, Numbers]]:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    settings = {
        "max_iter": TREE_ROUNDS,
        "max_leaf_nodes": 15,
        "early_stopping": False,
        "random_state": problem.seed,
    }
    out = np.zeros(problem.targets.shape)
    if problem.classes is not None and problem.targets.shape[1] > MOST_CLASSES_OF_TREES:
        return
    for fold in np.unique(problem.folds):
        own, others = problem.folds == fold, problem.folds != fold
        if not others.any():
            return
        if problem.classes is None:
            numbers = HistGradientBoostingRegressor(**settings)
            out[own, 0] = numbers.fit(table[others], problem.targets[others, 0]).predict(table[own])
            continue
        trees = HistGradientBoostingClassifier(**settings)
        trees.fit(table[others], problem.classes[others])
        if len(trees.classes_) < 2:
            return
        out[np.ix_(own, trees.classes_)] = trees.predict_proba(table[own])
    yield "trees", out if problem.classes is None else np.log(np.maximum(out, 1e-6))
