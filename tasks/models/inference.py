"""Use a fine-tuned model: exactly the processing of training, on any samples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from tasks.errors import ModelError
from tasks.models.batches import collate, shared_input
from tasks.models.features import encode_distinct, with_frozen_features
from tasks.models.fusion_model import FusionModel
from tasks.models.prepared import PreparedInput, prepare
from tasks.models.processors.audio import load_audio_processor
from tasks.models.processors.base import Processor
from tasks.models.processors.image import ImageProcessor
from tasks.models.processors.tabular import TabularProcessor
from tasks.models.processors.text import TextProcessor
from tasks.models.processors.timeseries import TimeSeriesProcessor
from tasks.models.runtime import choose_device, quiet_libraries
from tasks.samples.folders import manifest_faults
from tasks.samples.media import Media
from tasks.samples.schema import InputSpec, SampleSchema

PROCESSORS = "processors"
SCHEMA = "schema.json"
_BATCH = 256


class Predictor:
    """A fine-tuned model with its processors.

    Attributes:
        schema: The inputs and the target it was trained on.
        classes: Names of the classes, () for regression.
        objective: What is predicted.
    """

    def __init__(
        self, model: FusionModel, schema: SampleSchema, processors: Mapping[str, Processor]
    ) -> None:
        self.model = model.eval()
        self.schema = schema
        self.processors = dict(processors)
        self.classes: tuple[str, ...] = tuple(model.config.classes)
        self.objective: Literal["classification", "regression"] = model.config.objective

    @classmethod
    def load(cls, folder: Path, device: str = "auto", cpu_threads: int = 2) -> "Predictor":
        """Load the folder that the finetune stage wrote.

        Raises:
            ModelError: A file of the model is missing or damaged.
        """
        quiet_libraries()
        torch.set_num_threads(cpu_threads)
        schema = read_schema(folder)
        faults = manifest_faults(folder)
        if faults:
            raise ModelError(f"{faults[0]}; run `dvc repro --force finetune`")
        processors = {i.name: load_processor(schema, i, folder) for i in schema.inputs}
        return cls(FusionModel.load(folder).to(choose_device(device)), schema, processors)

    def predict(
        self, samples: pa.Table, media: Media, cache: Path | None = None
    ) -> NDArray[np.float32]:
        """Predict samples.

        Args:
            samples: The columns that the inputs name; null where an input is missing.
            media: Where images and recordings are read from.
            cache: Folder for decoded inputs; None keeps them in memory.

        Returns:
            ``(n, n_classes)`` probabilities, or ``(n,)`` values in the target's own unit.
        """
        prepared = prepare(samples, self.schema.inputs, self.processors, media, cache)
        prepared = with_frozen_features(self.model, prepared, self.processors, cache)
        outputs = predict_prepared(self.model, prepared, self.processors, len(samples))
        if self.objective == "regression":
            config = self.model.config
            values = outputs[:, 0] * config.target_scale + config.target_mean
            return np.asarray(values, dtype=np.float32)
        shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)

    def encode(
        self, samples: pa.Table, media: Media, cache: Path | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Return what each encoder alone makes of its input.

        Returns:
            By input: ``(n, width)`` pooled outputs, a row of NaN where the input is missing.
        """
        prepared = prepare(samples, self.schema.inputs, self.processors, media, cache)
        prepared = with_frozen_features(self.model, prepared, self.processors, cache)
        return {name: self._encoded(name, p) for name, p in prepared.items()}

    def _encoded(self, name: str, prepared: PreparedInput) -> NDArray[np.float32]:
        distinct = (
            np.asarray(prepared.distinct)
            if prepared.encoded
            else encode_distinct(self.model, name, prepared, self.processors[name])
        )
        rows = np.full((len(prepared.index), distinct.shape[1]), np.nan, dtype=np.float32)
        there = prepared.index >= 0
        rows[there] = distinct[prepared.index[there]]
        return rows


def predict_prepared(
    model: FusionModel,
    prepared: Mapping[str, PreparedInput],
    processors: Mapping[str, Processor],
    n_samples: int,
) -> NDArray[np.float32]:
    """Return the model's outputs for every sample, ``(n_samples, n_outputs)``, in their order."""
    rows = np.arange(n_samples)
    shared = shared_input(prepared, dict.fromkeys(prepared, True), rows, _BATCH)
    order = np.argsort(prepared[shared].index, kind="stable") if shared else rows
    outputs = np.empty((n_samples, model.config.n_outputs), dtype=np.float32)
    device = model.missing.device
    with torch.inference_mode():
        for start in range(0, n_samples, _BATCH):
            at = order[start : start + _BATCH]
            logits = model(inputs=collate(at, prepared, processors, device)).logits
            outputs[at] = logits.float().cpu().numpy()
    return outputs


def read_schema(folder: Path) -> SampleSchema:
    """Read the inputs and the target that a model was trained on."""
    path = folder / SCHEMA
    if not path.is_file():
        raise ModelError(f"{path}: missing; expected the folder that the finetune stage wrote")
    return SampleSchema.model_validate_json(path.read_text(encoding="utf-8"))


def processor_folder(schema: SampleSchema, spec: InputSpec, folder: Path) -> Path:
    """Return where a model keeps the processor of one input.

    Its place among the inputs names it: the name of a column can be anything, a path too.
    """
    return folder / PROCESSORS / f"{schema.inputs.index(spec)}-{spec.modality}"


def load_processor(schema: SampleSchema, spec: InputSpec, folder: Path) -> Processor:
    """Load the processor of one input from where the model keeps it."""
    own = processor_folder(schema, spec, folder)
    if spec.modality == "text":
        return TextProcessor.load(own)
    if spec.modality == "image":
        return ImageProcessor.load(own)
    if spec.modality == "audio":
        return load_audio_processor(own)
    if spec.modality == "timeseries":
        return TimeSeriesProcessor.load(own)
    return TabularProcessor.load(own)
