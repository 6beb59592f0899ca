"""What all media of a kind are like: formats, sizes, rates, and what decoding brought to one form.

Each distinct medium counts once. Sizes are kept as plain numbers, so that a million media cost
some megabytes.
"""

from array import array
from collections import Counter
from collections.abc import Iterable

import numpy as np
from pydantic import BaseModel, ConfigDict

from tasks.clean.audio_checks import AudioFacts
from tasks.clean.image_checks import ImageFacts


class Spread(BaseModel):
    """Smallest, middle and largest of some numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lowest: float
    median: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """Describe some numbers; None where there are none."""
        known = np.fromiter(values, dtype=np.float64)
        if len(known) == 0:
            return None
        low, middle, high = np.quantile(known, (0.0, 0.5, 1.0)).round(6).tolist()
        return cls(lowest=low, median=middle, highest=high)


class MediaSummary(BaseModel):
    """What the readable media of one kind are like."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    readable: int
    formats: dict[str, int]
    """By true format, whatever the files are called."""

    normalised: dict[str, int]
    """What decoding brought to one form: 8-bit RGB and upright; one channel."""

    rates_hz: dict[str, int]
    """Of recordings, as stored; each is resampled to the model's own rate when it is read."""

    width_pixels: Spread | None
    height_pixels: Spread | None
    seconds: Spread | None


class MediaCounts:
    """Counts what media are like, one after the other."""

    def __init__(self) -> None:
        self._formats: dict[str, Counter[str]] = {"image": Counter(), "audio": Counter()}
        self._normalised: dict[str, Counter[str]] = {"image": Counter(), "audio": Counter()}
        self._rates: Counter[int] = Counter()
        self._widths, self._heights, self._seconds = array("f"), array("f"), array("f")

    def add_image(self, facts: ImageFacts) -> None:
        """Count an image."""
        self._formats["image"][facts.format] += 1
        self._normalised["image"].update(facts.normalised)
        self._widths.append(facts.width)
        self._heights.append(facts.height)

    def add_recording(self, recording: AudioFacts) -> None:
        """Count a recording."""
        self._formats["audio"][recording.format] += 1
        if recording.n_channels > 1:
            taken = "first_channel" if recording.cancels_out else "mixed_down"
            self._normalised["audio"][taken] += 1
        self._rates[recording.rate_hz] += 1
        self._seconds.append(recording.seconds)

    def summaries(self) -> tuple[MediaSummary, ...]:
        """Return one summary for each kind of media that there is."""
        return tuple(
            MediaSummary(
                kind=kind,
                readable=formats.total(),
                formats=_by_count(formats),
                normalised=_by_count(self._normalised[kind]),
                rates_hz=_by_count(self._rates) if kind == "audio" else {},
                width_pixels=Spread.of(self._widths) if kind == "image" else None,
                height_pixels=Spread.of(self._heights) if kind == "image" else None,
                seconds=Spread.of(self._seconds) if kind == "audio" else None,
            )
            for kind, formats in self._formats.items()
            if formats
        )


def _by_count(counts: Counter[str] | Counter[int]) -> dict[str, int]:
    """Return counts, the largest first and then by name, so that equal data gives equal bytes."""
    return {str(k): n for k, n in sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))}
