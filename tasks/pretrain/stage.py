"""Pretrain: make small encoders from the training inputs alone, without labels.

The offline stand-in for downloaded weights. Each modality that is asked for and that the samples
have gets an encoder in the transformers layout; ``finetune`` takes it as checkpoint ``pretrain``.

Reads   data/split/samples.parquet    the training rows
        data/collect/media            images and recordings
Writes  data/pretrain/<modality>      config.json, model.safetensors and the processor's files
        reports/pretrain/loss.csv     the curves, for ``dvc plots``
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from tasks.models.prepared import prepare
from tasks.models.runtime import fix_randomness, quiet_libraries
from tasks.params import Params
from tasks.params.pretrain import PretrainParams
from tasks.pretrain.architectures import (
    SmallEncoder,
    small_audio_encoder,
    small_image_encoder,
    small_text_encoder,
)
from tasks.pretrain.learning import learn
from tasks.pretrain.objectives import contrastive_loss, masked_loss
from tasks.pretrain.report import PretrainedEncoder, PretrainReport
from tasks.samples.folders import StageFolders, write_text
from tasks.samples.media import Media, sample_media
from tasks.samples.schema import SPLIT, InputSpec, SampleSchema
from tasks.samples.tables import read_table

READS = ("collect", "align", "split")


def run(params: Params, folders: StageFolders) -> PretrainReport:
    """Make one encoder for each modality, over all training inputs of it."""
    quiet_libraries()
    samples = read_table(folders.of("split") / "samples.parquet")
    schema = SampleSchema.of(samples)
    train = samples.filter(pc.equal(samples[SPLIT], "train"))
    media = sample_media(folders)

    made: dict[str, PretrainedEncoder] = {}
    curves = ["modality,epoch,loss"]
    for modality in params.pretrain.modalities:
        inputs = [spec for spec in schema.inputs if spec.modality == modality]
        if not inputs:
            continue
        fix_randomness(params.project.seed, params.project.cpu_threads)
        small = _small_encoder(modality, params.pretrain, train, inputs)
        arrays = _training_arrays(train, inputs, small, media, folders.cache / "decoded")
        losses = _learn(modality, small, arrays, params.pretrain, params.project.seed)
        _save(small, folders.output / modality)
        curves += [f"{modality},{epoch},{loss:.6f}" for epoch, loss in enumerate(losses, start=1)]
        made[modality] = _describe(modality, small, len(arrays), losses)

    write_text(folders.reports / "pretrain" / "loss.csv", "\n".join(curves) + "\n")
    return PretrainReport(encoders=made)


def _small_encoder(
    modality: str, params: PretrainParams, train: pa.Table, inputs: list[InputSpec]
) -> SmallEncoder:
    if modality == "image":
        return small_image_encoder(params)
    if modality == "audio":
        return small_audio_encoder(params)
    texts = [t for spec in inputs for t in train[spec.column].drop_null().unique().to_pylist()]
    return small_text_encoder(params, texts)


def _training_arrays(
    train: pa.Table, inputs: list[InputSpec], small: SmallEncoder, media: Media, cache: Path
) -> Tensor:
    """Return every distinct training input of a modality, as the encoder reads it."""
    processors = {spec.name: small.processor for spec in inputs}
    prepared = prepare(train, inputs, processors, media, cache)
    arrays = [p.distinct for p in prepared.values() if p.n_distinct]
    if inputs[0].modality == "text":
        width = max(a.shape[1] for a in arrays)
        arrays = [np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=-1) for a in arrays]
    return small.processor.tensor(np.concatenate(arrays), torch.device("cpu"))


def _learn(
    modality: str, small: SmallEncoder, inputs: Tensor, params: PretrainParams, seed: int
) -> list[float]:
    """Train an encoder and return its loss in each epoch; none where there is nothing to learn."""
    if params.epochs == 0 or len(inputs) < 2:
        return []
    small.model.train()
    parameters = list(small.model.parameters())
    if modality == "text":
        mask_id = small.processor.tokenizer.mask_token_id  # type: ignore[attr-defined]

        def loss_of(rows: Tensor, generator: torch.Generator) -> Tensor:
            return masked_loss(small.model, inputs[rows], mask_id, generator)
    else:
        width = params.width_features
        projector = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        parameters += list(projector.parameters())

        def loss_of(rows: Tensor, generator: torch.Generator) -> Tensor:
            return contrastive_loss(
                small.model, projector, inputs[rows], generator, of_sound=modality == "audio"
            )

    losses = learn(
        modality,
        parameters,
        loss_of,
        len(inputs),
        epochs=params.epochs,
        batch_size=params.batch_size_inputs,
        learning_rate=params.learning_rate,
        seed=seed,
    )
    small.model.eval()
    return losses


def _save(small: SmallEncoder, folder: Path) -> None:
    small.encoder.save_pretrained(folder)
    small.processor.save(folder)


def _describe(
    modality: str, small: SmallEncoder, n_inputs: int, losses: list[float]
) -> PretrainedEncoder:
    return PretrainedEncoder(
        architecture=type(small.encoder).__name__,
        objective="masked word pieces" if modality == "text" else "contrastive views",
        n_inputs=n_inputs,
        n_parameters=sum(p.numel() for p in small.encoder.parameters()),
        epochs=len(losses),
        first_loss=losses[0] if losses else None,
        last_loss=losses[-1] if losses else None,
    )
