"""Settings of the align stage: how records of several sources become samples."""

from typing import Annotated, Literal

from pydantic import Field

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


class TimeJoin(Section):
    """Two sources that saw the same events, each with its own clock."""

    on: Literal["time"]
    right: str
    left: str | None = None
    left_on: str
    right_on: str | None = None

    tolerance_seconds: float = Field(gt=0)
    """No record is matched to one further away in time; there is no default on purpose."""

    direction: Literal["nearest", "backward", "forward"] = "nearest"
    """``backward`` takes only what was there at the time, which keeps the future out."""

    one_to_one: bool = True
    """Use each record of the right source at most once."""

    estimate_clock_offset: bool = False
    """Estimate how far the right clock is ahead, and correct it before joining."""

    max_clock_offset_seconds: float = Field(60.0, gt=0)
    min_clock_score: float = Field(5.0, ge=0)
    """An offset whose peak stands out less than this is reported, not applied."""


Join = Annotated[KeyJoin | TimeJoin, Field(discriminator="on")]


class AlignParams(Section):
    """Which source gives the samples, what is joined to it, what is read and predicted."""

    base: str
    """The source with one record for each sample."""

    joins: tuple[Join, ...] = ()
    inputs: tuple[str, ...] = Field(min_length=1)
    """Columns (``column`` or ``source.column``) that the model reads."""

    target: str
    """The column to predict: a ``category`` is classified, a ``number`` is regressed."""

    missing_inputs: Literal["keep", "drop", "fail"] = "keep"
    """What becomes of a sample that lacks an input: kept with a mask, set aside, or an error."""
