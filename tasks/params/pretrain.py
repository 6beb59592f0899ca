"""Settings of the pretrain stage: small encoders made on the training inputs themselves."""

from typing import Literal

from pydantic import Field

from tasks.params.section import Section


class PretrainParams(Section):
    """Encoders to make, without labels, for the modalities that have no real checkpoint."""

    modalities: tuple[Literal["text", "image", "audio"], ...] = ("text", "image", "audio")
    """A small encoder is made for each of these that the samples have."""

    epochs: int = Field(5, ge=0)
    """Passes over the distinct training inputs; 0 leaves the encoders at their random start."""

    batch_size_inputs: int = Field(128, ge=2)
    learning_rate: float = Field(1.0e-3, gt=0)

    image_size_pixels: int = Field(32, ge=8)
    width_features: int = Field(64, ge=8, multiple_of=8)
    """Width of the last layer of each encoder."""

    audio_rate_hz: int = Field(8000, ge=1000)
    audio_seconds: float = Field(1.0, gt=0)
    text_tokens: int = Field(32, ge=4)
    """The longest text an encoder reads; longer ones are cut."""
