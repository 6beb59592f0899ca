"""What an evaluation is made of: the model that is measured, and what was found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.evaluate.floors import Floor
from tasks.evaluate.intervals import Estimate
from tasks.evaluate.metrics import Metric, Objective
from tasks.samples.media import Media
from tasks.samples.schema import SampleSchema


class TrainedModel(Protocol):
    """A model that predicts samples, and encodes each of their inputs."""

    schema: SampleSchema
    classes: tuple[str, ...]
    objective: Objective

    def predict(
        self, samples: pa.Table, media: Media, cache: Path | None = None
    ) -> NDArray[np.float32]:
        """Return ``(n, n_classes)`` probabilities, or ``(n,)`` values."""
        ...

    def encode(
        self, samples: pa.Table, media: Media, cache: Path | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Return for each input ``(n, width)``, NaN where it is missing."""
        ...


@dataclass(frozen=True)
class Measured:
    """One split: its rows, what the model says of them, and how good that is.

    Attributes:
        rows: The samples.
        actual: ``(n,)`` class indices, or values.
        predicted: ``(n,)`` class indices, or values.
        probabilities: ``(n, n_classes)`` of the model's own classes; None for regression.
        estimates: Each metric by name.
    """

    rows: pa.Table
    actual: NDArray[Any]
    predicted: NDArray[Any]
    probabilities: NDArray[np.float32] | None
    estimates: dict[str, Estimate]

    @property
    def n(self) -> int:
        """How many samples there are."""
        return int(self.rows.num_rows)

    @property
    def n_groups(self) -> int:
        """How many groups they are in."""
        return next(iter(self.estimates.values())).n_groups


@dataclass(frozen=True)
class MeasuredFloor:
    """A floor, and how good it is on test by the primary metric."""

    floor: Floor
    estimate: Estimate


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured.

    Attributes:
        objective: What is predicted.
        metrics: The metrics, the primary one first.
        class_names: The model's classes, then those that only the data has; () for regression.
        n_model_classes: How many of them are the model's.
        splits: By name; train is measured on rows as they were collected, without augmentation.
        floors: The trivial models, the best first.
        lead: How much better than the best floor the model is; positive is better.
        notices: What a reader of the figures must know.
    """

    objective: Objective
    metrics: tuple[Metric, ...]
    class_names: tuple[str, ...]
    n_model_classes: int
    splits: dict[str, Measured]
    floors: tuple[MeasuredFloor, ...]
    lead: Estimate | None
    confidence: float
    notices: tuple[str, ...]

    @property
    def primary(self) -> Metric:
        """The metric that decides."""
        return self.metrics[0]

    @property
    def test(self) -> Measured:
        """The rows that nothing was chosen on."""
        return self.splits["test"]

    @property
    def best_floor(self) -> MeasuredFloor | None:
        """The floor to beat."""
        return self.floors[0] if self.floors else None
