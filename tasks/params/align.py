"""Settings of the align stage: how records of several sources become samples."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from tasks.params.ranges import expanded_items
from tasks.params.section import Section

Relation = Literal["one_to_one", "many_to_one", "one_to_many", "many_to_many"]


class KeyJoin(Section):
    """Two sources that share a key."""

    on: Literal["key"]
    right: str
    """The source whose records are looked up."""

    left: str | None = None
    """The source they are looked up for; the base where nothing is said."""

    left_on: str
    right_on: str | None = None
    """The same name as ``left_on`` where nothing is said."""

    relation: Relation = "many_to_one"
    """What the keys must be like; the stage fails where they are not."""

    normalise: Literal["none", "spelling"] = "none"
    """``spelling`` sees no difference in case, width, spaces, or zeros in front of a number."""

    min_similarity: float | None = Field(None, gt=0, le=1)
    """Give a key that the other side lacks the one spelled most alike, if the two are at least this
    alike (0 to 1, edits by length) and no other comes close; null for equal keys alone. Every such
    match is listed in ``data/align/fuzzy_matches.parquet``."""


class TimeJoin(Section):
    """Two sources that saw the same events, each with its own clock."""

    on: Literal["time"]
    right: str
    left: str | None = None
    left_on: str
    right_on: str | None = None

    tolerance_seconds: float = Field(gt=0, le=1e9)
    """No record is matched to one further away in time; there is no default on purpose."""

    direction: Literal["nearest", "backward", "forward", "interpolated"] = "nearest"
    """``backward`` takes only what was there at the time, which keeps the future out.
    ``interpolated`` reads numbers off the line between the records before and after, both within
    the tolerance, and takes all other columns from the nearer one."""

    one_to_one: bool = True
    """Use each record of the right source at most once."""

    estimate_clock_offset: bool = False
    """Estimate how far the right clock is ahead, and how fast it drifts, and correct it before
    joining."""

    max_clock_offset_seconds: float = Field(60.0, gt=0)
    max_clock_drift_ppm: float = Field(500.0, ge=0)
    """The most the right clock may gain, in millionths; 0 for an offset alone."""

    min_clock_score: float = Field(5.0, ge=0)
    """An offset whose peak stands out less than this is reported, not applied."""

    @model_validator(mode="after")
    def _readings_between_are_shared(self) -> "TimeJoin":
        if self.direction == "interpolated" and self.one_to_one:
            raise ValueError(
                "direction: interpolated reads between two records, which others may read too; "
                "write one_to_one: false with it"
            )
        return self


class WindowJoin(Section):
    """Readings of a sensor before or around the time of each left record, on an even grid.

    The right source is of kind ``sensor``; name it among the inputs to have its windows read.
    """

    on: Literal["window"]
    right: str
    left: str | None = None
    left_on: str = "time"
    """The left time that the window ends at, or lies around."""

    series: str | None = None
    """The left column that says which recording the readings are of; all of them are one recording
    where null."""

    seconds: float = Field(gt=0)
    """Length of the window."""

    rate_hz: float = Field(gt=0)
    """Steps a second that readings are resampled to."""

    position: Literal["before", "around"] = "before"
    """``before`` ends at the left time and reads nothing later, which keeps the future out: a step
    after the last reading before that time holds its value."""

    tolerance_seconds: float = Field(gt=0, le=1e9)
    """A step further than this from the readings on either side has no value; nothing is
    extrapolated."""

    min_coverage: float = Field(0.5, ge=0, le=1)
    """A window where a smaller part of the steps has a value is no window."""

    estimate_clock_offset: bool = False
    """Estimate how far the right clock is ahead of the left, and how fast it drifts, by
    cross-correlation of what the two sensors saw; the left source is a base with segments."""

    max_clock_offset_seconds: float = Field(60.0, gt=0)
    max_clock_drift_ppm: float = Field(500.0, ge=0)
    """The most the right clock may gain, in millionths; 0 for an offset alone."""

    min_clock_score: float = Field(5.0, ge=0)
    """An offset whose peak stands out less than this is reported, not applied."""

    @property
    def n_steps(self) -> int:
        """Steps of each window."""
        return max(1, round(self.seconds * self.rate_hz))


Join = Annotated[KeyJoin | TimeJoin | WindowJoin, Field(discriminator="on")]


class Segments(Section):
    """How a base of kind ``sensor`` is cut into windows, each of which is a sample.

    Each recording is cut from its first reading on; a window that no reading lies in is not cut.
    """

    seconds: float = Field(gt=0)
    every_seconds: float = Field(ge=1e-4)
    """From the start of one window to that of the next."""

    rate_hz: float = Field(gt=0)
    """Steps a second that readings are resampled to: averaged around each step where they are at
    least twice as many, read off the line between the readings on either side where they are
    not."""

    label: Literal["majority", "last", "mean"] = "majority"
    """What of the target's readings in a window is its target: a category is the ``majority`` or
    the ``last``, a number the ``mean`` or the ``last``."""

    min_agreement: float = Field(0.0, ge=0, le=1)
    """For ``majority``: a window in which fewer readings agree is set aside."""

    tolerance_seconds: float = Field(0.5, gt=0, le=1e9)
    """A step further than this from readings on either side has no value."""

    min_coverage: float = Field(0.5, ge=0, le=1)
    """A window where a smaller part of the steps has a value is set aside."""

    @property
    def n_steps(self) -> int:
        """Steps of each window."""
        return max(1, round(self.seconds * self.rate_hz))


class SuspectParams(Section):
    """Samples that look wrong once they are joined: what to look for, and what becomes of them.

    ``off`` does not look. ``flag`` keeps them and lists them in ``data/align/flags.parquet`` and
    the report. ``drop`` sets them aside.
    """

    labels: Literal["off", "flag", "drop"] = "flag"
    """Targets that the inputs of the other samples speak against."""

    contradictions: Literal["off", "flag", "drop", "majority"] = "flag"
    """Samples with the very same inputs and different targets; ``drop`` sets all of them aside,
    ``majority`` keeps those that more than half of them agree on."""

    pairs: Literal["off", "flag", "drop"] = "flag"
    """Inputs that do not belong together, such as an image beside another one's text."""

    max_samples: int = Field(20_000, ge=100)
    """Labels and pairs are judged on at most this many samples, chosen by a hash of their names."""

    two_tower: str | None = None
    """A checkpoint with an encoder for images and one for texts, such as CLIP, that judges pairs of
    the two: a folder, or ``hub:NAME@REVISION``. Where null, the data itself is learnt from."""

    max_dropped_fraction: float = Field(0.05, ge=0, le=1)
    """The most of the samples that are set aside as suspects; the rest of them are flagged."""


class AlignParams(Section):
    """Which source gives the samples, what is joined to it, what is read and predicted."""

    base: str
    """The source with one record for each sample."""

    segments: Segments | None = None
    """For a base of kind ``sensor``: the windows it is cut into."""

    joins: tuple[Join, ...] = ()
    inputs: Annotated[tuple[str, ...], BeforeValidator(expanded_items)] = Field(min_length=1)
    """Columns (``column`` or ``source.column``) that the model reads; the name of a sensor source
    means its windows, and ``{00..31}`` in a name the numbers from 00 to 31."""

    target: str
    """The column to predict: a ``category`` is classified, a ``number`` is regressed."""

    missing_inputs: Literal["keep", "drop", "fail"] = "keep"
    """What becomes of a sample that lacks an input: kept with a mask, set aside, or an error."""

    required_inputs: tuple[str, ...] = ()
    """Inputs, as written in ``inputs``, without which a record is set aside even under ``keep``."""

    suspects: SuspectParams = Field(default_factory=lambda: SuspectParams.model_validate({}))
