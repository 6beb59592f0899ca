"""Settings of the clean stage: what makes a record unusable."""

from pydantic import Field

from tasks.params.section import Section


class CleanParams(Section):
    """Limits a record must keep to; one that does not goes to quarantine with its reason."""

    required: tuple[str, ...] = ()
    """Columns (``column`` or ``source.column``) that may not be empty."""

    drop_duplicates: bool = True
    """Set aside all but the first of records that agree in every column but their id."""

    max_image_pixels: int = Field(50_000_000, ge=1)
    min_image_side_pixels: int = Field(4, ge=1)
    max_image_aspect: float = Field(50.0, ge=1)
    min_audio_seconds: float = Field(0.02, ge=0)
    max_audio_seconds: float = Field(600.0, gt=0)
    max_text_characters: int = Field(100_000, ge=1)
