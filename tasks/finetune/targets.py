"""Targets as the loss wants them: class indices, or standardised values."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.errors import DataError, ModelError
from tasks.samples.schema import TARGET, SampleSchema


@dataclass(frozen=True)
class Targets:
    """How the target is learned, from the training samples alone.

    Attributes:
        objective: What is predicted.
        classes: The classes of the training samples, sorted; () for regression.
        mean: For regression: mean of the training targets.
        scale: For regression: their standard deviation.
    """

    objective: Literal["classification", "regression"]
    classes: tuple[str, ...]
    mean: float
    scale: float

    def labels(self, samples: pa.Table) -> tuple[NDArray[np.int64] | NDArray[np.float32], int]:
        """Return ``(n,)`` labels, and how many samples have a class unknown in training (-100)."""
        if self.objective == "regression":
            values = samples[TARGET].to_numpy()
            return ((values - self.mean) / self.scale).astype(np.float32), 0
        of = {name: i for i, name in enumerate(self.classes)}
        labels = np.asarray([of.get(name, -100) for name in samples[TARGET].to_pylist()])
        return labels.astype(np.int64), int((labels == -100).sum())


def learn_targets(train: pa.Table, schema: SampleSchema) -> Targets:
    """Find the classes, or the mean and scale, of the training samples.

    Raises:
        ModelError: The target is neither a category nor a number.
        DataError: There is only one class, or all values are equal: nothing can be learned.
    """
    if schema.target_kind not in ("category", "number"):
        raise ModelError(
            f"target '{schema.target_column}' is of type {schema.target_kind}, which no model "
            "learns yet; name a 'category' or a 'number' as align.target (the stages up to augment "
            "take this target too)"
        )
    if schema.target_kind == "number":
        values = train[TARGET].to_numpy()
        if not len(values) or values.std() == 0:
            raise DataError(
                f"target '{schema.target_column}': all {len(values):,} training values are equal; "
                "there is nothing to learn"
            )
        return Targets("regression", (), float(values.mean()), float(values.std()))
    classes = sorted(train[TARGET].unique().to_pylist())
    if len(classes) < 2:
        raise DataError(
            f"target '{schema.target_column}': the training samples have {len(classes)} class "
            f"({', '.join(classes)}); at least two are needed"
        )
    return Targets("classification", tuple(classes), 0.0, 1.0)
