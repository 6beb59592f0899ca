"""Measure a model: predictions, metrics with intervals, floors, and the lead over the best of them.

Everything is computed from what the model says of the rows of each split; nothing here knows where
a model or a table lies on disk.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from tasks.errors import DataError, ModelError, listing
from tasks.evaluate.floors import (
    Floor,
    Parts,
    blind_floor,
    constant_floor,
    most_head_rows,
    value_keys,
)
from tasks.evaluate.intervals import Estimate, Resampling, estimate, group_indices, resampled_sums
from tasks.evaluate.metrics import (
    Objective,
    classification_statistics,
    log_losses,
    metrics_of,
    regression_statistics,
)
from tasks.evaluate.notices import (
    category_notices,
    class_notices,
    counted,
    size_notices,
    suspicions,
    train_notices,
)
from tasks.evaluate.results import Evaluation, Measured, MeasuredFloor, TrainedModel
from tasks.params import Params
from tasks.samples.media import Media
from tasks.samples.schema import GROUP, PARENT_ID, SAMPLE_ID, SPLIT, SPLITS, TARGET

TRAIN_ROWS_MOST = 20_000
"""Train rows that are predicted and that a floor's head learns from; drawn where there are more."""


def evaluate(
    model: TrainedModel,
    samples: pa.Table,
    media: Media,
    params: Params,
    cache: Path | None = None,
) -> Evaluation:
    """Measure a model on every split of a samples table, beside its floors.

    Args:
        model: What is measured.
        samples: Rows with their split; augmented copies, which have a parent, are left out.
        media: Where the samples' media are.
        params: Seed, resamples, confidence and whether floors are measured.
        cache: Where the model may keep decoded inputs.

    Raises:
        DataError: The model gives no number for some sample.
        ModelError: The model gives something else than its classes promise.
    """
    originals = without_augmented(samples)
    rows = {split: originals.filter(pc.equal(originals[SPLIT], split)) for split in SPLITS}
    n_train = rows["train"].num_rows
    seen = sampled_rows(n_train, TRAIN_ROWS_MOST, params.project.seed)
    class_names = model.classes + unseen_classes(model.classes, originals[TARGET])
    targets = {split: coded_targets(rows[split], class_names) for split in SPLITS}
    shown = rows | {"train": rows["train"].take(seen)}
    known = targets | {"train": targets["train"][seen]}

    raw = checked_predictions(model, shown, media, cache)
    splits = {
        split: measure_split(
            model.objective, class_names, shown[split], known[split], raw[split], params
        )
        for split in SPLITS
    }
    notices = [*train_notices(n_train, len(seen)), *class_notices(model.classes, splits)]
    notices += category_notices(model.schema, rows)
    notices += size_notices(splits["test"])

    floors: list[Floor] = []
    if params.evaluate.floors and rows["train"].num_rows and rows["test"].num_rows:
        # The heads' matrices are so small that a second thread costs far more than it brings.
        with threadpool_limits(1):
            floors, said = floors_of(model, rows, targets, class_names, seen, media, params, cache)
        notices += said
    ranked, lead = compare_with_floors(
        model.objective, len(class_names), splits["test"], floors, params
    )
    notices += suspicions(model.objective, splits["test"], ranked)
    return Evaluation(
        objective=model.objective,
        metrics=metrics_of(model.objective),
        class_names=class_names,
        n_model_classes=len(model.classes),
        splits=splits,
        floors=ranked,
        lead=lead,
        confidence=params.evaluate.confidence,
        notices=tuple(notices),
    )


def without_augmented(samples: pa.Table) -> pa.Table:
    """Return the rows that were collected, without the copies that augmentation made of them."""
    if PARENT_ID not in samples.column_names:
        return samples
    return samples.filter(pc.is_null(samples[PARENT_ID]))


def sampled_rows(n_rows: int, most: int, seed: int) -> NDArray[np.int64]:
    """Return which rows to take: all, or ``most`` of them drawn at random, in their order."""
    if n_rows <= most:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, most, replace=False))


def unseen_classes(classes: tuple[str, ...], targets: pa.ChunkedArray) -> tuple[str, ...]:
    """Return the classes of the data that the model does not know; none for regression."""
    if not classes:
        return ()
    return tuple(sorted(set(pc.unique(targets).to_pylist()) - set(classes)))


def coded_targets(rows: pa.Table, class_names: tuple[str, ...]) -> NDArray[Any]:
    """Return targets as class indices, or as values where there are no classes."""
    if not class_names:
        return np.asarray(rows[TARGET].to_numpy(), dtype=np.float64)
    codes = pc.index_in(rows[TARGET], value_set=pa.array(class_names, pa.string()))
    return np.asarray(codes.to_numpy(), dtype=np.int64)


def checked_predictions(
    model: TrainedModel, rows: Mapping[str, pa.Table], media: Media, cache: Path | None
) -> dict[str, NDArray[Any]]:
    """Return what a model says of the rows of each split, once sure that it says something of each.

    All splits are predicted together, so that an input they share is decoded and encoded once.

    Raises:
        DataError: Predictions that are no number.
        ModelError: Predictions of another shape than the model's classes ask for.
    """
    together = pa.concat_tables(rows.values())
    n_rows = together.num_rows
    wanted = (n_rows, len(model.classes)) if model.classes else (n_rows,)
    said = np.asarray(model.predict(together, media, cache)) if n_rows else np.zeros(wanted)
    if said.shape != wanted:
        raise ModelError(
            f"the model gave predictions of shape {said.shape}, expected {wanted}; "
            "run `dvc repro --force finetune`"
        )
    bad = ~np.isfinite(said if model.classes else said[:, None]).all(axis=1)
    if bad.any():
        first = together[SAMPLE_ID].filter(pa.array(bad)).to_pylist()
        raise DataError(
            f"the model's predictions are no number for {int(bad.sum()):,} of {n_rows:,} samples "
            f"({listing(first, most=3)}); look for numbers without bounds in the inputs, or lower "
            "finetune.learning_rate, and run `dvc repro finetune`"
        )
    return by_split(said, rows)


def by_split(values: NDArray[Any], rows: Mapping[str, pa.Table]) -> dict[str, NDArray[Any]]:
    """Take apart what was computed for the rows of all splits together."""
    ends = np.cumsum([table.num_rows for table in rows.values()])[:-1]
    return dict(zip(rows, np.split(values, ends), strict=True))


def statistics_of(
    objective: Objective,
    n_classes: int,
    actual: NDArray[Any],
    predicted: NDArray[Any],
    losses: NDArray[np.float64] | None = None,
) -> csr_matrix:
    """Return the statistics that the metrics of an objective are computed from."""
    if objective == "regression":
        return regression_statistics(actual, predicted)
    return classification_statistics(actual, predicted, n_classes, losses)


def measure_split(
    objective: Objective,
    class_names: tuple[str, ...],
    rows: pa.Table,
    actual: NDArray[Any],
    raw: NDArray[Any],
    params: Params,
) -> Measured:
    """Return every metric of one split, with intervals, or why it has no value."""
    classified = objective == "classification"
    predicted = raw.argmax(axis=1) if classified else raw.astype(np.float64)
    n_known = raw.shape[1] if classified else 0
    losses = None
    if classified and (actual < n_known).all():
        losses = log_losses(raw, actual)
    metrics = metrics_of(objective)
    resampling = resampling_of(rows, params)
    reasons = why_undefined(objective, class_names, actual, predicted, n_known)
    if not rows.num_rows:
        estimates = {m.name: Estimate.without_value(reasons[m.name], 0, 0) for m in metrics}
    else:
        statistics = statistics_of(objective, len(class_names), actual, predicted, losses)
        whole = np.asarray(statistics.sum(axis=0)).ravel()
        (sums,) = resampled_sums([statistics], resampling)
        estimates = {
            m.name: estimate(
                float(m.of(whole)),
                m.of(sums),
                resampling,
                reason=reasons.get(m.name, ""),
                proportion=m.name == "accuracy",
            )
            for m in metrics
        }
    return Measured(rows, actual, predicted, raw if classified else None, estimates)


def resampling_of(rows: pa.Table, params: Params) -> Resampling:
    """Return how rows are redrawn: by group, or one by one where the table knows no groups."""
    names = rows[GROUP] if GROUP in rows.column_names else rows[SAMPLE_ID]
    return Resampling(
        groups=group_indices(names.to_pylist()),
        n_resamples=params.evaluate.bootstrap_resamples,
        confidence=params.evaluate.confidence,
        seed=params.project.seed,
    )


def why_undefined(
    objective: Objective,
    class_names: tuple[str, ...],
    actual: NDArray[Any],
    predicted: NDArray[Any],
    n_known: int,
) -> dict[str, str]:
    """Return, for each metric that has no value on these rows, the reason."""
    names = [metric.name for metric in metrics_of(objective)]
    if not len(actual):
        return dict.fromkeys(names, "the split holds no samples")
    if objective == "regression":
        if len(np.unique(actual)) > 1:
            return {}
        return {"r2": f"every target of the split is {actual[0]:g}, so there is nothing to explain"}
    reasons = {}
    if (said := np.unique(predicted)).size == 1:
        reasons["mcc"] = f"every prediction is '{class_names[said[0]]}'"
    if (there := np.unique(actual)).size == 1:
        one = f"the split has only one class, '{class_names[there[0]]}'"
        reasons |= dict.fromkeys(("balanced_accuracy", "macro_f1", "mcc"), one)
    if n_unseen := int((actual >= n_known).sum()):
        reasons["log_loss"] = (
            f"{counted(n_unseen, 'sample')} of a class that was not in train, for which no "
            "probability is given"
        )
    return reasons


def floors_of(
    model: TrainedModel,
    rows: Mapping[str, pa.Table],
    targets: Mapping[str, NDArray[Any]],
    class_names: tuple[str, ...],
    seen: NDArray[np.int64],
    media: Media,
    params: Params,
    cache: Path | None,
) -> tuple[list[Floor], list[str]]:
    """Return the constant model and one blind model for each input, and what to say of them."""
    parts = Parts(*(targets[split] for split in SPLITS))
    floors = [constant_floor(model.objective, parts, class_names)]
    shown = {**rows, "train": rows["train"].take(seen)}
    encoded = model.encode(pa.concat_tables(shown.values()), media, cache)
    everything = pa.concat_tables(rows.values())
    notices = []
    for spec in model.schema.inputs:
        features = by_split(encoded[spec.name], shown)
        most = most_head_rows(features["train"].shape[1], max(1, len(class_names)), len(seen))
        used = sampled_rows(len(seen), most, params.project.seed)
        if len(used) < len(seen):
            notices.append(
                f"the floor '{spec.name} alone' learnt its head from {len(used):,} train rows "
                "drawn at random"
            )
        features["train"] = features["train"][used]
        floors.append(
            blind_floor(
                spec.name,
                model.objective,
                keys=Parts(**by_split(value_keys(spec, everything), rows)),
                features=Parts(**features),
                head_rows=seen[used],
                targets=parts,
            )
        )
    return floors, notices


def compare_with_floors(
    objective: Objective,
    n_classes: int,
    test: Measured,
    floors: list[Floor],
    params: Params,
) -> tuple[tuple[MeasuredFloor, ...], Estimate | None]:
    """Measure floors on test, best first, and the lead of the model over the best of them.

    Model and floors are redrawn together, so that the lead's interval is a paired one. The best
    floor is chosen on test, which can only make the lead smaller.
    """
    if not floors or not test.n:
        return (), None
    primary = metrics_of(objective)[0]
    resampling = resampling_of(test.rows, params)
    said = [test.predicted, *(floor.predicted for floor in floors)]
    statistics = [statistics_of(objective, n_classes, test.actual, each) for each in said]
    sums = resampled_sums(statistics, resampling)
    values = [float(primary.of(np.asarray(s.sum(axis=0)).ravel())) for s in statistics]
    resampled = [primary.of(each) for each in sums]
    sign = 1.0 if primary.higher_is_better else -1.0
    ranking = sorted(range(1, len(said)), key=lambda i: (-sign * values[i], floors[i - 1].name))
    ranked = tuple(
        MeasuredFloor(
            floors[i - 1],
            estimate(values[i], resampled[i], resampling, proportion=objective == "classification"),
        )
        for i in ranking
    )
    best = ranking[0]
    lead = estimate(
        sign * (values[0] - values[best]), sign * (resampled[0] - resampled[best]), resampling
    )
    return ranked, lead
