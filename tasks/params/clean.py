"""Settings of the clean stage: what makes a record unusable, odd, or mended."""

from typing import Literal

from pydantic import Field, field_validator

from tasks.errors import listing, nearest
from tasks.params.section import Section

Action = Literal["off", "flag", "drop", "fix"]
"""``off`` looks away, ``flag`` tells, ``drop`` sets the record aside, ``fix`` mends the value."""

_FLAG_ONLY: tuple[Action, ...] = ("off", "flag")
_DROPPABLE: tuple[Action, ...] = ("off", "flag", "drop")
_MENDABLE: tuple[Action, ...] = ("off", "flag", "drop", "fix")

CHECKS: dict[str, tuple[Action, ...]] = {
    "blank_image": _DROPPABLE,
    "blurred_image": _DROPPABLE,
    "dark_image": _DROPPABLE,
    "bright_image": _DROPPABLE,
    "animated_image": _DROPPABLE,
    "trailing_data": _DROPPABLE,
    "wrong_suffix": _DROPPABLE,
    "silent_audio": _DROPPABLE,
    "clipped_audio": _DROPPABLE,
    "over_full_scale": _DROPPABLE,
    "dc_offset": _DROPPABLE,
    "antiphase_channels": _DROPPABLE,
    "many_channels": _DROPPABLE,
    "odd_sample_rate": _DROPPABLE,
    "mojibake": _MENDABLE,
    "null_like": _MENDABLE,
    "odd_characters": _MENDABLE,
    "special_token": _DROPPABLE,
    "secret": _DROPPABLE,
    "personal_data": _DROPPABLE,
    "wrong_language": _DROPPABLE,
    "category_typo": _MENDABLE,
    "outlier": _DROPPABLE,
    "unit_jump": _DROPPABLE,
    "implausible_time": _DROPPABLE,
    "duplicate_time": _DROPPABLE,
    "unsorted_time": _FLAG_ONLY,
    "stuck_sensor": _DROPPABLE,
    "sensor_gap": _FLAG_ONLY,
    "null_column": _FLAG_ONLY,
    "constant_column": _FLAG_ONLY,
    "id_like_column": _FLAG_ONLY,
    "imbalanced_column": _FLAG_ONLY,
    "rare_category": _FLAG_ONLY,
    "lookalike_categories": _FLAG_ONLY,
}
"""What is looked for, and what can be done about it; all are ``flag`` where nothing is said."""


class NearDuplicateParams(Section):
    """Which values are nearly the same, so that split keeps them together.

    Nothing is dropped: each group of near duplicates gets a name, in
    ``data/clean/near_duplicates.parquet``.
    """

    images: Literal["group", "off"] = "group"
    """``group`` finds images that were resized, compressed, made grey, mirrored, or cropped by up
    to 5 % a side, across all image columns."""

    texts: Literal["group", "off"] = "group"
    """``group`` finds texts with nearly the same words, within each text column."""

    audio: Literal["group", "off"] = "group"
    """``group`` finds recordings of the same sound, across all audio columns."""

    image_distance_bits: int = Field(4, ge=0, le=8)
    """Bits of the 64 of a perceptual hash in which two images may differ; a look at both in small,
    with their colours, then decides."""

    symmetries: Literal["none", "flips", "all"] = "flips"
    """Whether an image is the same when mirrored (``flips``), and when turned by quarters too
    (``all``)."""

    text_similarity: float = Field(0.8, ge=0.5, le=1.0)
    """Part of the words and pairs of words of two texts that both have. Texts under three words or
    20 characters must be the same but for case and spaces."""


class CleanParams(Section):
    """Limits a record must keep to, and what is done about records that are merely odd.

    A record that breaks a limit goes to quarantine with its reason. What is odd is found by
    checks, each of which can be turned ``off``, made to ``flag`` the record (kept, counted, and
    listed in ``data/clean/flags.parquet``), to ``drop`` it (set aside with the check's name as its
    reason), or for some to ``fix`` the value (mended and counted).
    """

    required: tuple[str, ...] = ()
    """Columns (``column`` or ``source.column``) that may not be empty."""

    drop_duplicates: bool = True
    """Set aside all but the first of records that agree in every column; of the source that gives
    the samples, the id may differ."""

    near_duplicates: NearDuplicateParams = Field(
        default_factory=lambda: NearDuplicateParams.model_validate({})
    )

    checks: dict[str, Action] = Field(default_factory=dict)
    """What is done about what each check finds, by its name; ``flag`` where nothing is said. The
    page on reasons lists the checks."""

    max_image_pixels: int = Field(50_000_000, ge=1)
    min_image_side_pixels: int = Field(4, ge=1)
    max_image_aspect: float = Field(50.0, ge=1)
    min_image_sharpness: float = Field(4.0, ge=0)
    """Variance of the Laplacian (grey levels squared, with a longer side of at most 256 pixels)
    under which an image is ``blurred_image``; those with a longer side under 96 pixels are not
    judged."""

    min_audio_seconds: float = Field(0.02, ge=0)
    max_audio_seconds: float = Field(600.0, gt=0)
    min_text_characters: int = Field(1, ge=1)
    max_text_characters: int = Field(100_000, ge=1)

    languages: tuple[str, ...] = ()
    """Languages that texts may be in (``[en, de]``), for the check ``wrong_language``; none are
    looked at where it is empty. Needs the extra ``language``."""

    limits: dict[str, tuple[float | None, float | None]] = Field(default_factory=dict)
    """For a number column (``column`` or ``source.column``) its lowest and highest value, such as
    ``age: [0, 120]``; a record outside is set aside as ``out_of_range``."""

    categories: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """For a category column, all values it may have, such as ``answer: [yes, no]``; a record with
    another is set aside as ``unknown_category``."""

    merge_category_variants: Literal["spelling", "off"] = "spelling"
    """``spelling`` writes categories that differ in case or spaces alone as the commonest (or the
    declared) of them. Case alone never merges single characters, nor "mV" and "MV"."""

    min_records_per_category: int = Field(3, ge=1)
    """Categories with fewer records are told as rare."""

    outlier_deviations: float = Field(10.0, gt=0)
    """A number is an ``outlier`` this many robust deviations (of the median, on its own side) away;
    where over one in a hundred are, that is the shape of the column and it is only told."""

    max_constant_seconds: float = Field(60.0, gt=0)
    """A sensor's value that stays the same for longer is ``stuck_sensor``."""

    max_gap_seconds: float | None = Field(None, gt=0)
    """Time between two readings of a recording that is a ``sensor_gap``; where null, over ten times
    the middle step, and over twice the steps that are longer than 95 in 100."""

    @field_validator("checks")
    @classmethod
    def _checks_are_known(cls, checks: dict[str, Action]) -> dict[str, Action]:
        for name, action in checks.items():
            if name not in CHECKS:
                raise ValueError(
                    f"no check is named '{name}'; there are {listing(CHECKS)}."
                    f"{nearest(name, CHECKS)}"
                )
            if action not in CHECKS[name]:
                raise ValueError(
                    f"'{name}' cannot be set to '{action}'; write one of {listing(CHECKS[name])}"
                )
        return checks

    @field_validator("limits")
    @classmethod
    def _limits_are_in_order(
        cls, limits: dict[str, tuple[float | None, float | None]]
    ) -> dict[str, tuple[float | None, float | None]]:
        for name, (low, high) in limits.items():
            if low is not None and high is not None and low > high:
                raise ValueError(
                    f"the limits of '{name}' are [{low:g}, {high:g}]; write the lowest value first"
                )
        return limits

    def action(self, check: str) -> Action:
        """Return what is done about what a check finds."""
        return self.checks.get(check, "flag")
