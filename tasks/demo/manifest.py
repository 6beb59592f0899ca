"""What is true of a digits-qa data set and what was planted in it, so that tests can count it."""

from pydantic import BaseModel, ConfigDict

FILE = "manifest.json"


class Record(BaseModel):
    """A frozen part of the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Planted(Record):
    """The dirt: each kind with the ids of the questions or scans, or the paths of the tones."""

    duplicate_questions: tuple[str, ...]
    """Questions that repeat an earlier one under an id of their own."""

    empty_answers: tuple[str, ...]
    unreadable_rows: tuple[str, ...]
    """Questions with an unquoted comma, so that their row has a cell too many."""

    wrong_answers: tuple[str, ...]
    missing_images: tuple[str, ...]
    """Scans whose image is listed and not there."""

    truncated_images: tuple[str, ...]
    scans_without_tone: tuple[str, ...]
    truncated_tones: tuple[str, ...]
    tones_without_scan: tuple[str, ...]
    tones_out_of_tolerance: tuple[str, ...]
    """Tones so far off their scan in time that they may not be matched to it."""


class DemoManifest(Record):
    """The truth about one data set; nothing in the pipeline reads it."""

    seed: int
    n_scans: int
    n_questions: int
    """Rows of the table of questions, the unreadable ones and the duplicates too."""

    n_tones: int
    clock_offset_seconds: float
    """How far the clock of the device that recorded the tones is ahead."""

    clock_jitter_seconds: float
    """Standard deviation of its error beyond that."""

    digit_of: dict[str, int]
    """The digit of each scan."""

    tone_of: dict[str, str]
    """The tone that belongs to each scan which has one, matched by the truth and not by time."""

    planted: Planted
