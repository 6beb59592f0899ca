"""Predictions as tables: for programs as Parquet, for ``dvc plots`` as CSV."""

import csv
import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tasks.evaluate.results import Evaluation
from tasks.samples.schema import GROUP, SAMPLE_ID, SPLIT, TARGET
from tasks.samples.wording import harmless

FILE = "predictions.parquet"
MEASURED = ("validation", "test")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def predictions_table(evaluation: Evaluation) -> pa.Table:
    """Return one row for each sample of validation and test.

    Its columns are sample_id, group, split, target and predicted; for classes also probability (of
    the predicted class) and ``p_<class>`` for each, for values also error.
    """
    return pa.concat_tables([_predictions(evaluation, split) for split in MEASURED])


def _predictions(evaluation: Evaluation, split: str) -> pa.Table:
    measured = evaluation.splits[split]
    rows = measured.rows
    kept = [name for name in (SAMPLE_ID, GROUP, SPLIT, TARGET) if name in rows.column_names]
    table = rows.select(kept).replace_schema_metadata(None)
    if measured.probabilities is None:
        table = table.append_column("predicted", pa.array(measured.predicted, pa.float64()))
        error = measured.predicted - measured.actual
        return table.append_column("error", pa.array(error, pa.float64()))
    names = np.asarray(evaluation.class_names, dtype=object)
    table = table.append_column("predicted", pa.array(names[measured.predicted], pa.string()))
    sure = measured.probabilities.max(axis=1, initial=0.0)
    table = table.append_column("probability", pa.array(sure, pa.float32()))
    for i, name in enumerate(evaluation.class_names[: evaluation.n_model_classes]):
        given = pa.array(measured.probabilities[:, i], pa.float32())
        table = table.append_column(f"p_{name}", given)
    return table


def confusion_csv(evaluation: Evaluation) -> str:
    """Return actual and predicted of each test sample; values are rounded."""
    test = evaluation.test
    if evaluation.objective == "regression":
        pairs = [(f"{a:.3g}", f"{p:.3g}") for a, p in zip(test.actual, test.predicted, strict=True)]
    else:
        names = [safe_cell(name) for name in evaluation.class_names]
        pairs = [(names[a], names[p]) for a, p in zip(test.actual, test.predicted, strict=True)]
    return _csv(("actual", "predicted"), pairs)


def floors_csv(evaluation: Evaluation) -> str:
    """Return the model and its floors by the primary metric, with intervals."""
    named = [("model", evaluation.test.estimates[evaluation.primary.name])]
    named += [(each.floor.name, each.estimate) for each in evaluation.floors]
    return _csv(
        ("model", "value", "low", "high"),
        [(safe_cell(n), *(_written(x) for x in (e.value, e.low, e.high))) for n, e in named],
    )


def safe_cell(text: str) -> str:
    """Return a label that no spreadsheet takes for a formula.

    >>> safe_cell("=1+1"), safe_cell("-1"), safe_cell("yes")
    ("'=1+1", '-1', 'yes')
    """
    text = harmless(text)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _written(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
