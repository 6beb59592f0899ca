"""Floors: the trivial models a good one must beat, measured on the very same test rows.

The first says always the same. Each of the others sees one input only, a *blind* model: either a
linear head on that input's own encoder, or, where the input has few distinct values, a look-up of
what train says most often for each value. Which of the two stands is decided on validation.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from tasks.evaluate.metrics import Objective
from tasks.samples.schema import InputSpec

HEAD_STRENGTHS = (0.01, 0.1, 1.0)
"""Inverse regularisation of the logistic head; one is chosen on validation."""

RIDGE_STRENGTHS = (1.0, 30.0, 1000.0)
"""Regularisation of the linear head of a regression."""

HEAD_ITERATIONS = 200
HEAD_CELLS = 60_000_000
"""Rows times features times classes a head may cost an iteration; rows are left out beyond it."""

FEW_REPEATS = 2.0
"""An input has few distinct values where each occurs at least this often in train, on average."""


@dataclass(frozen=True)
class Parts:
    """The same thing for the rows of each split."""

    train: NDArray[Any]
    validation: NDArray[Any]
    test: NDArray[Any]


@dataclass(frozen=True)
class Floor:
    """What a trivial model says of the test rows.

    Attributes:
        name: As in reports: ``majority``, ``mean`` or ``<input>_alone``.
        label: As in charts.
        method: How it comes to its predictions, in words.
        predicted: ``(n_test,)`` class indices or values.
    """

    name: str
    label: str
    method: str
    predicted: NDArray[Any]


@dataclass(frozen=True)
class _Candidate:
    method: str
    validation: NDArray[Any]
    test: NDArray[Any]


def constant_floor(objective: Objective, targets: Parts, class_names: tuple[str, ...]) -> Floor:
    """Return the model that always says the commonest class, or the mean, of train."""
    if objective == "regression":
        mean = float(targets.train.mean())
        method = f"always says {mean:.4g}, the mean of train"
        return Floor("mean", "mean of train", method, np.full(len(targets.test), mean))
    commonest = int(np.bincount(targets.train).argmax())
    method = f"always says '{class_names[commonest]}', the commonest class of train"
    predicted = np.full(len(targets.test), commonest, dtype=np.int64)
    return Floor("majority", "majority class", method, predicted)


def blind_floor(
    name: str,
    objective: Objective,
    keys: Parts,
    features: Parts,
    head_rows: NDArray[np.int64],
    targets: Parts,
) -> Floor:
    """Return the better, on validation, of the models that see only one input.

    Args:
        name: Name of the input.
        objective: What is predicted.
        keys: Number of the distinct value of the input in each row.
        features: What the input's encoder says of each row; of train, only ``head_rows``.
        head_rows: The train rows that ``features.train`` holds.
        targets: Class indices or values.
    """
    candidates = [look_up(objective, keys, targets)] if few_values(keys.train) else []
    candidates += linear_heads(objective, keys, features, head_rows, targets)
    if not candidates:
        candidates = [look_up(objective, keys, targets)]
    scores = [badness(objective, targets.validation, c.validation) for c in candidates]
    best = candidates[int(np.argmin(scores))]
    return Floor(f"{name}_alone", f"{name} alone", best.method, best.test)


def badness(objective: Objective, actual: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Return how bad predictions are: part of them wrong, or the mean squared error; 0 for none."""
    if not len(actual):
        return 0.0
    if objective == "classification":
        return float((actual != predicted).mean())
    return float(np.square(actual - predicted).mean())


def few_values(keys: NDArray[np.int64]) -> bool:
    """Tell whether values repeat often enough for a look-up to be worth trying.

    >>> few_values(np.array([0, 1, 0, 1])), few_values(np.array([0, 1, 2, 3]))
    (True, False)
    """
    return len(keys) >= FEW_REPEATS * len(np.unique(keys))


def look_up(objective: Objective, keys: Parts, targets: Parts) -> _Candidate:
    """Say what train says most often (or on average) for a value, and overall for a new value."""
    n_keys = 1 + max(int(part.max(initial=-1)) for part in (keys.train, keys.validation, keys.test))
    n_known = len(np.unique(keys.train))
    if objective == "regression":
        seen = np.bincount(keys.train, minlength=n_keys)
        total = np.bincount(keys.train, weights=targets.train, minlength=n_keys)
        table: NDArray[Any] = np.full(n_keys, targets.train.mean())
        np.divide(total, seen, out=table, where=seen > 0)
        method = f"look-up of the mean of train for each of {n_known:,} values"
    else:
        table = commonest_class_by_key(keys.train, targets.train, n_keys)
        method = f"look-up of the commonest class of train for each of {n_known:,} values"
    return _Candidate(method, table[keys.validation], table[keys.test])


def commonest_class_by_key(
    keys: NDArray[np.int64], classes: NDArray[np.int64], n_keys: int
) -> NDArray[np.int64]:
    """Return the commonest class of each key; ties, and keys not seen, go to the commoner class.

    >>> commonest_class_by_key(np.array([0, 0, 0, 1]), np.array([2, 2, 1, 1]), 3).tolist()
    [2, 1, 1]
    """
    overall = np.bincount(classes)
    pairs, counts = np.unique(np.column_stack([keys, classes]), axis=0, return_counts=True)
    order = np.lexsort((-pairs[:, 1], overall[pairs[:, 1]], counts))
    table = np.full(n_keys, int(overall.argmax()), dtype=np.int64)
    table[pairs[order, 0]] = pairs[order, 1]  # the last, and so the commonest, stays
    return table


def linear_heads(
    objective: Objective,
    keys: Parts,
    features: Parts,
    head_rows: NDArray[np.int64],
    targets: Parts,
) -> list[_Candidate]:
    """Return linear heads on an encoder's output, one for each strength; none where none can be.

    Rows with the same input and target are one row with a weight.
    """
    if not np.isfinite(features.train).any() or not len(head_rows):
        return []
    scale = standardiser(features.train)
    train, answers = targets.train[head_rows], keys.train[head_rows]
    if objective == "classification":
        if len(np.unique(train)) < 2:
            return []
        distinct = np.column_stack([answers, train])
        _, first, counts = np.unique(distinct, axis=0, return_index=True, return_counts=True)
        y = train[first]
    else:
        _, first, inverse, counts = np.unique(
            answers, return_index=True, return_inverse=True, return_counts=True
        )
        y = np.bincount(inverse, weights=train) / counts
    x, validation, test = map(scale, (features.train[first], features.validation, features.test))
    fit = _logistic_heads if objective == "classification" else _ridge_heads
    return [
        _Candidate(method, predict(validation), predict(test))
        for method, predict in fit(x, y, counts.astype(np.float64))
    ]


Predict = Callable[[NDArray[np.float64]], NDArray[Any]]


def _logistic_heads(
    x: NDArray[np.float64], y: NDArray[np.int64], weights: NDArray[np.float64]
) -> list[tuple[str, Predict]]:
    heads = []
    start: NDArray[np.float64] | None = None
    for strength in HEAD_STRENGTHS:
        head = LogisticRegression(C=strength, max_iter=HEAD_ITERATIONS, warm_start=True)
        if start is not None:
            head.coef_, head.intercept_ = start[:, :-1], start[:, -1]
        with warnings.catch_warnings():
            # A floor is cheap on purpose, so its iterations are bounded; and classes may be many.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", message="The number of unique classes")
            head.fit(x, y, sample_weight=weights)
        start = np.column_stack([head.coef_, head.intercept_])
        heads.append((f"logistic regression on its encoder, C = {strength:g}", _predictor(head)))
    return heads


def _ridge_heads(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> list[tuple[str, Predict]]:
    return [
        (
            f"ridge regression on its encoder, alpha = {strength:g}",
            _predictor(Ridge(alpha=strength).fit(x, y, sample_weight=weights)),
        )
        for strength in RIDGE_STRENGTHS
    ]


def _predictor(head: Any) -> Predict:
    """Return the head's predictions, of no rows too, which scikit-learn refuses."""

    def predict(x: NDArray[np.float64]) -> NDArray[Any]:
        if not len(x):
            return np.zeros(0, dtype=getattr(head, "classes_", np.zeros(0)).dtype)
        return np.asarray(head.predict(x))

    return predict


def standardiser(train: NDArray[np.floating[Any]]) -> Predict:
    """Return a function that scales features as train is scaled, with a mark for missing inputs."""
    there = train[np.isfinite(train).all(axis=1)].astype(np.float64)
    mean, spread = there.mean(axis=0), there.std(axis=0)
    spread[spread < 1e-9] = 1.0

    def scale(features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        missing = ~np.isfinite(features).all(axis=1)
        scaled = np.where(missing[:, None], 0.0, (features - mean) / spread)
        return np.column_stack([scaled, missing.astype(np.float64)])

    return scale


def most_head_rows(n_features: int, n_classes: int, cap: int) -> int:
    """Return how many rows a head may see, so that it stays cheap with many classes."""
    return max(1_000, min(cap, HEAD_CELLS // max(1, n_features * n_classes)))


def value_keys(spec: InputSpec, rows: pa.Table) -> NDArray[np.int64]:
    """Number the distinct values of an input, a missing one being a value too."""
    names = [c.name for c in spec.columns] if spec.modality == "tabular" else [spec.column]
    keys = np.zeros(rows.num_rows, dtype=np.int64)
    for name in names:
        column = pc.dictionary_encode(rows[name].combine_chunks(), null_encoding="encode")
        codes = column.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        _, keys = np.unique(keys * (codes.max(initial=0) + 1) + codes, return_inverse=True)
    return np.asarray(keys, dtype=np.int64)
