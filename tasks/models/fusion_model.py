"""The model: an encoder for each input, a fusion, a head."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from tasks.errors import ModelError
from tasks.models.config import FusionConfig
from tasks.models.encoders.backbone import (
    BackboneEncoder,
    choose_trained,
    freeze_batch_norm,
    pool,
)
from tasks.models.encoders.tabular import TabularEncoder
from tasks.models.encoders.timeseries import TimeSeriesEncoder
from tasks.models.fusions import fusions
from tasks.models.heads.prediction import PredictionHead, prediction_loss

WEIGHTS = "model.safetensors"

Encoder = BackboneEncoder | TabularEncoder | TimeSeriesEncoder


@dataclass
class FusionOutput(ModelOutput):
    """What a forward pass gives: the mean loss, where labels were given, and the outputs."""

    loss: Tensor | None = None
    logits: Tensor | None = None


class FusionModel(PreTrainedModel):
    """A fine-tuned multimodal model.

    A batch names the *distinct* values of each input and which sample has which, so that an image
    shared by ten questions is encoded once::

        {"image": {"values": (n_distinct, …), "index": (n_present,), "present": (n,)}, …}

    ``features`` in place of ``values`` are pooled outputs that a frozen encoder gave before.
    """

    config_class = FusionConfig
    main_input_name = "inputs"

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        self.names = [str(i["name"]) for i in config.inputs]
        encoders = [_build_encoder(i) for i in config.inputs]
        self.encoders = nn.ModuleList(encoders)
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(encoder.width, config.width), nn.LayerNorm(config.width))
            for encoder in encoders
        )
        self.missing = nn.Parameter(torch.randn(len(config.inputs), config.width) * 0.02)
        self.fusion = fusions.get(config.fusion)(
            n_inputs=len(config.inputs), width=config.width, dropout=config.dropout
        )
        self.head = PredictionHead(config.width, config.n_outputs, config.dropout)
        for spec, encoder in zip(config.inputs, encoders, strict=True):
            if isinstance(encoder, BackboneEncoder):
                choose_trained(encoder.backbone, spec["trained"])
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave every module as torch, or its own library, built it."""

    def train(self, mode: bool = True) -> "FusionModel":
        """Switch to training, but for what is frozen: that stays as it is used later."""
        super().train(mode)
        for spec, encoder in zip(self.config.inputs, self.encoders, strict=True):
            if spec["trained"] == "none":
                encoder.eval()
            elif spec["frozen_norms"]:
                freeze_batch_norm(encoder)
        return self

    def forward(
        self, inputs: Mapping[str, Mapping[str, Tensor]], labels: Tensor | None = None
    ) -> FusionOutput:
        """Predict a batch; see the class for what a batch is."""
        fuse = self._fuse_tokens if self.fusion.reads_tokens else self._fuse_vectors
        logits = self.head(fuse(inputs))
        loss = None if labels is None else prediction_loss(logits, labels, self.config.objective)
        return FusionOutput(loss=loss, logits=logits)

    def encoder(self, name: str) -> Encoder:
        """Return the encoder of one input."""
        found = self.encoders[self.names.index(name)]
        assert isinstance(found, Encoder)
        return found

    def pooled(self, name: str, values: Tensor) -> Tensor:
        """Return the pooled output of one encoder for distinct values, ``(n, width)``."""
        return pool(*self.encoder(name).tokens(values))

    def _fuse_vectors(self, inputs: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        vectors, present = [], []
        for i, name in enumerate(self.names):
            given = inputs[name]
            there = given["present"]
            vector = self.missing[i].expand(len(there), -1)
            if there.any():
                features = given.get("features")
                pooled = self.pooled(name, given["values"]) if features is None else features
                projected = self.projections[i](pooled)
                vector = vector.to(projected.dtype).masked_scatter(
                    there.unsqueeze(-1), projected[given["index"]]
                )
            vectors.append(vector)
            present.append(there)
        fused: Tensor = self.fusion(torch.stack(vectors, dim=1), torch.stack(present, dim=1))
        return fused

    def _fuse_tokens(self, inputs: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        all_tokens, all_there = [], []
        for i, name in enumerate(self.names):
            given = inputs[name]
            present = given["present"]
            n = len(present)
            if present.any():
                tokens, there = self.encoder(name).tokens(given["values"])
                projected = self.projections[i](tokens)
                rows = present.nonzero().squeeze(1)
                spread = projected.new_zeros((n, *projected.shape[1:]))
                spread = spread.index_copy(0, rows, projected[given["index"]])
                seen = there.new_zeros((n, there.shape[1])).index_copy(
                    0, rows, there[given["index"]]
                )
                all_tokens.append(spread + self.missing[i])
                all_there.append(seen)
            all_tokens.append(self.missing[i].expand(n, 1, -1))
            all_there.append(~present.unsqueeze(1))
        fused: Tensor = self.fusion(torch.cat(all_tokens, dim=1), torch.cat(all_there, dim=1))
        return fused

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Write config.json and model.safetensors, every weight under the name it has here.

        The library's own way renames weights of nested models on saving, and can map them back
        wrongly on loading.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.config.architectures = [type(self).__name__]
        self.config.save_pretrained(folder)
        weights = {n: t.detach().contiguous().cpu() for n, t in self.state_dict().items()}
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})

    def load_weights(self, folder: Path) -> None:
        """Load the weights that :meth:`save_pretrained` wrote; every one must be there.

        Raises:
            ModelError: A weight is missing, left over, of another shape, or not a finite number.
        """
        path = folder / WEIGHTS
        if not path.is_file():
            raise ModelError(f"{path}: no weights here; run `dvc repro finetune`")
        try:
            weights = load_file(path)
        except SafetensorError as fault:
            raise ModelError(f"{path}: damaged ({fault}); run `dvc repro finetune`") from None
        broken = [n for n, t in weights.items() if t.is_floating_point() and not t.isfinite().all()]
        if broken:
            raise ModelError(f"{path}: '{broken[0]}' holds values that are no finite number")
        try:
            self.load_state_dict(weights, strict=True)
        except RuntimeError as fault:
            raise ModelError(f"{path}: does not fit its config.json: {fault}") from None

    @classmethod
    def load(cls, folder: Path) -> "FusionModel":
        """Build a saved model and load its weights."""
        model = cls(FusionConfig.from_pretrained(folder))
        model.load_weights(folder)
        model.eval()
        return model


def _build_encoder(spec: Mapping[str, Any]) -> Encoder:
    if spec["modality"] == "tabular":
        return TabularEncoder(spec["n_numbers"], list(spec["n_values"]), width=64)
    if spec["modality"] == "timeseries":
        return TimeSeriesEncoder(spec["n_channels"])
    return BackboneEncoder(spec["modality"], dict(spec["encoder"]))
