"""Outputs of frozen encoders, computed once for each distinct input and kept."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.models.fusion_model import FusionModel
from tasks.models.kept_arrays import keep_array, kept_array
from tasks.models.prepared import PreparedInput
from tasks.models.processors.base import Processor

logger = logging.getLogger("tasks.models")
_BATCH = 256


def encode_distinct(
    model: FusionModel, name: str, prepared: PreparedInput, processor: Processor
) -> NDArray[np.float32]:
    """Return the pooled output of one encoder for each distinct value, ``(n_distinct, width)``."""
    encoder = model.encoder(name)
    device = model.missing.device
    was_training, _ = encoder.training, encoder.eval()
    outputs = np.empty((prepared.n_distinct, encoder.width), dtype=np.float32)
    order = np.arange(prepared.n_distinct)
    if prepared.distinct.dtype == np.int32:  # texts: batches of like length waste no padding
        order = np.argsort((prepared.distinct >= 0).sum(axis=1), kind="stable")
    with torch.inference_mode():
        for start in range(0, len(order), _BATCH):
            at = np.sort(order[start : start + _BATCH])
            values = processor.tensor(prepared.distinct[at], device)
            outputs[at] = model.pooled(name, values).float().cpu().numpy()
    encoder.train(was_training)
    return outputs


def with_frozen_features(
    model: FusionModel,
    prepared: Mapping[str, PreparedInput],
    processors: Mapping[str, Processor],
    cache: Path | None,
) -> dict[str, PreparedInput]:
    """Replace the inputs of frozen encoders by what those make of them.

    Only for fusions that read one vector an input. The outputs are kept in files named by the
    inputs and by the encoder's weights.
    """
    if model.fusion.reads_tokens:
        return dict(prepared)
    return {
        name: _features(model, name, p, processors[name], cache) if _is_frozen(model, name) else p
        for name, p in prepared.items()
    }


def _is_frozen(model: FusionModel, name: str) -> bool:
    encoder = model.encoder(name)
    return not any(parameter.requires_grad for parameter in encoder.parameters())


def _features(
    model: FusionModel, name: str, prepared: PreparedInput, processor: Processor, cache: Path | None
) -> PreparedInput:
    if not prepared.n_distinct or prepared.encoded:
        return prepared
    key = hashlib.sha256(f"{prepared.key}-{_weights_digest(model, name)}".encode()).hexdigest()
    features = kept_array(cache, key) if cache else None
    how = "taken from the cache" if features is not None else "encoded once"
    if features is None:
        features = encode_distinct(model, name, prepared, processor)
        if cache:
            features = keep_array([features], len(features), cache, key)
    logger.info("input '%s': its encoder is frozen; %s values %s", name, f"{len(features):,}", how)
    return replace(prepared, distinct=features, encoded=True)


def _weights_digest(model: FusionModel, name: str) -> str:
    digest = hashlib.sha256()
    for weight in model.encoder(name).state_dict().values():
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
