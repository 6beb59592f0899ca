"""Metrics as functions of sums over rows, so that a bootstrap reweights rows for next to nothing.

Every metric here needs only sums: of hits, of rows by actual and by predicted class, of losses and
errors. The statistics of a row are one row of a sparse matrix; reweighting the rows a thousand
times is then one matrix product, and each metric is computed for all resamples at once.
A metric that has no value, such as R² of a constant target, is NaN here and gets its reason in
:mod:`tasks.evaluate.evaluation`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Sums = NDArray[np.float64]
"""``(..., n_statistics)``: weighted sums of a statistics matrix."""

Objective = Literal["classification", "regression"]

SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)
"""Probabilities are float32: below this, a logarithm tells of rounding, not of the model."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: As in reports and settings.
        label: As in charts and tables.
        higher_is_better: False for errors and losses.
        of: Its values for sums of shape ``(..., n_statistics)``; NaN where it has none.
    """

    name: str
    label: str
    higher_is_better: bool
    of: Callable[[Sums], NDArray[np.float64]]


def classification_statistics(
    actual: NDArray[np.int64],
    predicted: NDArray[np.int64],
    n_classes: int,
    losses: NDArray[np.float64] | None = None,
) -> csr_matrix:
    """Return the statistics of classified rows: hit, actual and predicted by class, log loss.

    Args:
        actual: ``(n_rows,)`` class indices.
        predicted: ``(n_rows,)`` class indices.
        n_classes: How many classes there are, with those that only the data has.
        losses: ``(n_rows,)`` log losses; zeros where nothing is said.

    Returns:
        ``(n_rows, 3 * n_classes + 1)``.
    """
    n_rows = len(actual)
    rows = np.arange(n_rows)
    hit = np.flatnonzero(actual == predicted)
    losses = np.zeros(n_rows) if losses is None else losses
    ones = np.ones(len(hit) + 2 * n_rows)
    columns = [
        actual[hit],
        actual + n_classes,
        predicted + 2 * n_classes,
        np.full(n_rows, 3 * n_classes),
    ]
    return csr_matrix(
        (
            np.concatenate([ones, losses]),
            (np.concatenate([hit, rows, rows, rows]), np.concatenate(columns)),
        ),
        shape=(n_rows, 3 * n_classes + 1),
    )


def regression_statistics(
    actual: NDArray[np.float64], predicted: NDArray[np.float64]
) -> csr_matrix:
    """Return the statistics of predicted values: 1, squared and absolute error, target, target².

    The target is centred first, or its variance would drown in its mean.
    """
    error = predicted - actual
    centred = actual - actual.mean() if len(actual) else actual
    return csr_matrix(
        np.column_stack(
            [np.ones(len(actual)), error**2, np.abs(error), centred, centred**2]
        ).reshape(len(actual), 5)
    )


def log_losses(
    probabilities: NDArray[np.float32], actual: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the log loss of each row: minus the logarithm of what its true class was given."""
    given = probabilities[np.arange(len(actual)), actual].astype(np.float64)
    losses: NDArray[np.float64] = -np.log(np.clip(given, SMALLEST_PROBABILITY, 1.0))
    return losses


def metrics_of(objective: Objective) -> tuple[Metric, ...]:
    """Return the metrics of an objective, its primary metric first.

    >>> [metric.name for metric in metrics_of("regression")]
    ['rmse', 'mae', 'r2']
    """
    return _CLASSIFICATION if objective == "classification" else _REGRESSION


def _by_class(sums: Sums) -> tuple[Sums, Sums, Sums]:
    """Split sums into hits, rows by actual and rows by predicted class."""
    n_classes = (sums.shape[-1] - 1) // 3
    hits, actual, predicted = (sums[..., i * n_classes : (i + 1) * n_classes] for i in range(3))
    return hits, actual, predicted


def _ratio(above: Sums, below: Sums) -> NDArray[np.float64]:
    """Divide, with NaN where there is nothing to divide by."""
    out = np.full(np.shape(below), np.nan)
    return np.asarray(np.divide(above, below, out=out, where=below > 0))


def _mean_over_classes(values: Sums, counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    return _ratio(np.where(counted, values, 0.0).sum(-1), counted.sum(-1).astype(float))


def _where_two_classes(values: Sums, actual: Sums) -> NDArray[np.float64]:
    return np.where((actual > 0).sum(-1) > 1, values, np.nan)


def accuracy(sums: Sums) -> NDArray[np.float64]:
    """Part of the rows whose class is right."""
    hits, actual, _ = _by_class(sums)
    return _ratio(hits.sum(-1), actual.sum(-1))


def balanced_accuracy(sums: Sums) -> NDArray[np.float64]:
    """Mean recall of the classes that are there; none where there is only one."""
    hits, actual, _ = _by_class(sums)
    recall = np.nan_to_num(_ratio(hits, actual))
    return _where_two_classes(_mean_over_classes(recall, actual > 0), actual)


def macro_f1(sums: Sums) -> NDArray[np.float64]:
    """Mean F1 of the classes that are there or were predicted; none where there is only one."""
    hits, actual, predicted = _by_class(sums)
    seen = actual + predicted
    f1 = np.nan_to_num(_ratio(2 * hits, seen))
    return _where_two_classes(_mean_over_classes(f1, seen > 0), actual)


def matthews_correlation(sums: Sums) -> NDArray[np.float64]:
    """Correlation of actual and predicted class; none where either never varies.

    Source:
        Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation
        coefficient".
    """
    hits, actual, predicted = _by_class(sums)
    n = actual.sum(-1)
    above = hits.sum(-1) * n - (actual * predicted).sum(-1)
    below = (n**2 - (actual**2).sum(-1)) * (n**2 - (predicted**2).sum(-1))
    return _ratio(above, np.sqrt(np.maximum(below, 0.0)))


def log_loss(sums: Sums) -> NDArray[np.float64]:
    """Mean log loss."""
    _, actual, _ = _by_class(sums)
    return _ratio(sums[..., -1], actual.sum(-1))


def rmse(sums: Sums) -> NDArray[np.float64]:
    """Root of the mean squared error."""
    return np.sqrt(_ratio(sums[..., 1], sums[..., 0]))


def mae(sums: Sums) -> NDArray[np.float64]:
    """Mean absolute error."""
    return _ratio(sums[..., 2], sums[..., 0])


def r2(sums: Sums) -> NDArray[np.float64]:
    """Part of the target's variance that is explained; none where the target is constant."""
    n, squared, total = sums[..., 0], sums[..., 1], sums[..., 4]
    spread = total - np.nan_to_num(_ratio(sums[..., 3] ** 2, n))
    varies = spread > 1e-12 * np.maximum(total, np.finfo(float).tiny)
    return 1.0 - _ratio(squared, np.where(varies, spread, 0.0))


_CLASSIFICATION = (
    Metric("accuracy", "Accuracy", True, accuracy),
    Metric("balanced_accuracy", "Balanced accuracy", True, balanced_accuracy),
    Metric("macro_f1", "Macro F1", True, macro_f1),
    Metric("mcc", "Matthews correlation", True, matthews_correlation),
    Metric("log_loss", "Log loss", False, log_loss),
)
_REGRESSION = (
    Metric("rmse", "RMSE", False, rmse),
    Metric("mae", "Mean absolute error", False, mae),
    Metric("r2", "R²", True, r2),
)
