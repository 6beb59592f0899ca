"""Settings of the finetune stage: the model and how it is trained."""

from typing import Literal

from pydantic import Field

from tasks.params.section import Section

TrainedPart = Literal["none", "last_block", "all"]


class EncoderParams(Section):
    """The encoder of one input."""

    checkpoint: str = "pretrain"
    """``pretrain``: the encoder made by the pretrain stage. A folder in the transformers layout.
    ``hub:NAME@REVISION``: a model of the Hugging Face hub, the only form that uses the network."""

    image_size_pixels: int | None = Field(None, ge=8)
    """For an image encoder: the side of the pictures it reads; its own where null. Smaller is
    faster, and enough for small pictures."""

    train: TrainedPart | None = None
    """What of it is trained; as ``finetune.train_encoders`` where nothing is said."""


_FROM_PRETRAIN = EncoderParams.model_validate({})


class FinetuneParams(Section):
    """The model, and how it is trained."""

    encoders: dict[str, EncoderParams] = Field(default_factory=dict)
    """By input, or by modality for all inputs of it; the rest come from the pretrain stage."""

    train_encoders: TrainedPart = "all"
    fusion: Literal["concat", "gated", "cross_attention"] = "gated"
    width_features: int = Field(128, ge=8, multiple_of=4)
    """Width of each projected input and of the fused vector."""

    dropout: float = Field(0.1, ge=0, lt=1)

    epochs: int = Field(10, ge=1)
    batch_size_samples: int = Field(64, ge=1)
    learning_rate: float = Field(1.0e-3, gt=0)
    encoder_learning_rate_factor: float = Field(0.3, gt=0)
    """Trained encoders learn at this part of the learning rate."""

    weight_decay: float = Field(0.01, ge=0)
    warmup_fraction: float = Field(0.05, ge=0, lt=1)
    max_gradient_norm: float = Field(1.0, gt=0)
    early_stopping_epochs: int = Field(3, ge=1)
    """Stop after this many epochs in which the validation loss did not fall."""

    share_inputs: bool = True
    """Batch samples that share an input together, so that it is encoded once for all of them."""

    text_tokens: int = Field(64, ge=4)
    audio_seconds: float | None = Field(None, gt=0)
    """The longest recording an encoder reads; what its own front end says where null."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"

    def encoder_of(self, input_name: str, modality: str) -> EncoderParams:
        """Return the encoder that an input gets: by its own name, else by its modality."""
        return self.encoders.get(input_name) or self.encoders.get(modality) or _FROM_PRETRAIN

    def trained_part(self, input_name: str, modality: str) -> TrainedPart:
        """Return what of an input's encoder is trained."""
        return self.encoder_of(input_name, modality).train or self.train_encoders
