"""Build the model that params.yaml describes, from its checkpoints."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import ModelError
from tasks.finetune.report import EncoderRecord
from tasks.finetune.targets import Targets
from tasks.models.checkpoints import Checkpoint, encoder_config, find_checkpoint, load_encoder
from tasks.models.config import FusionConfig
from tasks.models.encoders.backbone import BackboneEncoder, choose_trained
from tasks.models.fusion_model import FusionModel
from tasks.models.processors.audio import load_audio_processor
from tasks.models.processors.base import Processor
from tasks.models.processors.image import ImageProcessor
from tasks.models.processors.tabular import TabularProcessor
from tasks.models.processors.text import TextProcessor
from tasks.models.processors.timeseries import TimeSeriesProcessor
from tasks.params.finetune import FinetuneParams
from tasks.samples.media import Media
from tasks.samples.schema import InputSpec, SampleSchema
from tasks.samples.windows import decode_window

WITHOUT_CHECKPOINT = ("tabular", "timeseries")
"""Modalities whose encoder is small and learnt from the training rows alone."""


@dataclass(frozen=True)
class BuiltModel:
    """A model before it is trained, with the processors of its inputs."""

    model: FusionModel
    processors: dict[str, Processor]
    checkpoints: dict[str, Checkpoint]


def build_model(
    params: FinetuneParams,
    schema: SampleSchema,
    train: pa.Table,
    targets: Targets,
    pretrain: Path,
    root: Path,
    media: Media,
) -> BuiltModel:
    """Put encoders, fusion and head together, and load the pre-trained weights.

    Raises:
        ModelError: A checkpoint is missing, unsafe, or does not fit its modality.
    """
    checkpoints = {
        spec.name: find_checkpoint(
            params.encoder_of(spec.name, spec.modality).checkpoint, spec.modality, pretrain, root
        )
        for spec in schema.inputs
        if spec.modality not in WITHOUT_CHECKPOINT
    }
    processors = {
        spec.name: _processor(spec, params, train, checkpoints.get(spec.name), media)
        for spec in schema.inputs
    }
    config = FusionConfig(
        inputs=[
            _input_config(spec, params, processors[spec.name], checkpoints.get(spec.name))
            for spec in schema.inputs
        ],
        fusion=params.fusion,
        width=params.width_features,
        dropout=params.dropout,
        objective=targets.objective,
        classes=list(targets.classes),
        target_mean=targets.mean,
        target_scale=targets.scale,
    )
    model = FusionModel(config)
    for name, checkpoint in checkpoints.items():
        _load_backbone(model, name, checkpoint)
    return BuiltModel(model, processors, checkpoints)


def describe_encoders(built: BuiltModel) -> dict[str, EncoderRecord]:
    """Return what each encoder is and how much of it is trained."""
    records = {}
    for spec, encoder in zip(built.model.config.inputs, built.model.encoders, strict=True):
        name = spec["name"]
        checkpoint = built.checkpoints.get(name)
        processor = built.processors[name]
        records[name] = EncoderRecord(
            checkpoint=checkpoint.name if checkpoint else "none",
            architecture=_architecture(encoder),
            trained=spec["trained"],
            n_parameters=sum(p.numel() for p in encoder.parameters()),
            n_trained_parameters=sum(p.numel() for p in encoder.parameters() if p.requires_grad),
            n_texts_cut=processor.n_cut if isinstance(processor, TextProcessor) else 0,
        )
    return records


def _architecture(encoder: Any) -> str:
    return type(encoder.backbone if isinstance(encoder, BackboneEncoder) else encoder).__name__


def _processor(
    spec: InputSpec,
    params: FinetuneParams,
    train: pa.Table,
    checkpoint: Checkpoint | None,
    media: Media,
) -> Processor:
    if spec.modality == "timeseries":
        distinct = pc.unique(train[spec.column].drop_null()).to_pylist()
        windows = (decode_window(media.read(digest)) for digest in distinct)
        return TimeSeriesProcessor.fit(windows, spec.channels, spec.n_steps)
    if checkpoint is None:
        return TabularProcessor.fit(train, spec.columns)
    encoder = params.encoder_of(spec.name, spec.modality)
    if spec.modality == "text":
        return TextProcessor.load(checkpoint.folder, params.text_tokens)
    if spec.modality == "image":
        return ImageProcessor.load(checkpoint.folder, encoder.image_size_pixels)
    return load_audio_processor(checkpoint.folder, params.audio_seconds)


def _input_config(
    spec: InputSpec, params: FinetuneParams, processor: Processor, checkpoint: Checkpoint | None
) -> dict[str, Any]:
    described: dict[str, Any] = {"name": spec.name, "modality": spec.modality}
    if checkpoint is None:
        described |= {"encoder": {}, "trained": "all", "frozen_norms": False}
        if isinstance(processor, TimeSeriesProcessor):
            return described | {"n_channels": len(processor.channels)}
        assert isinstance(processor, TabularProcessor)
        return described | {
            "n_numbers": len(processor.numbers),
            "n_values": processor.n_values,
        }
    return described | {
        "encoder": encoder_config(checkpoint),
        "trained": params.trained_part(spec.name, spec.modality),
        "frozen_norms": not checkpoint.made_here,
    }


def _load_backbone(model: FusionModel, name: str, checkpoint: Checkpoint) -> None:
    at = model.names.index(name)
    encoder = model.encoder(name)
    assert isinstance(encoder, BackboneEncoder)
    pretrained = load_encoder(checkpoint)
    try:
        encoder.backbone.load_state_dict(pretrained.state_dict(), strict=True)
    except RuntimeError as fault:
        raise ModelError(
            f"checkpoint '{checkpoint.name}' does not rebuild from its own config.json: {fault}"
        ) from None
    choose_trained(encoder.backbone, model.config.inputs[at]["trained"])
