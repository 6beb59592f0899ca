"""Inputs of a sample in a form that a page can show: picture, recording, text, table."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from tasks.samples.decoding import Undecodable, decode_audio, decode_image
from tasks.samples.media import Media
from tasks.samples.schema import InputSpec
from tasks.samples.windows import decode_window
from tasks.samples.wording import short

THUMBNAIL_PIXELS = 192
AUDIO_SECONDS = 5.0
AUDIO_BYTES = 250_000
TEXT_CHARACTERS = 400
_SERIES_WIDTH, _SERIES_HEIGHT, _SERIES_MOST = 192, 72, 6
_SERIES_COLOURS = ("#2f5fd0", "#d9822b", "#2e9e6b", "#a04fc4", "#c0392b", "#7a8798")


@dataclass(frozen=True)
class Piece:
    """One input of a sample, ready to be shown.

    Attributes:
        name: Of the input.
        kind: ``image``, ``audio``, ``text``, ``table`` or ``note``.
        content: A data URI, a text, or what is to be said instead.
        cells: Of a table: names and values.
        path: Where the user's file is, as the user wrote it.
        small: Of an image: whether its pixels are so few that they are to be seen.
    """

    name: str
    kind: str
    content: str = ""
    cells: tuple[tuple[str, str], ...] = ()
    path: str = ""
    small: bool = False


def piece_of(spec: InputSpec, sample: dict[str, Any], media: Media) -> Piece:
    """Return one input of a sample in a form that a page can show."""
    name = short(spec.name)
    if spec.modality == "tabular":
        cells = tuple((short(c.name), _cell(sample[c.name])) for c in spec.columns)
        return Piece(name, "table", cells=cells)
    value = sample[spec.column]
    if value is None:
        return Piece(name, "note", "missing")
    if spec.modality == "text":
        return Piece(name, "text", _cut(value, TEXT_CHARACTERS))
    if spec.modality == "timeseries":
        return series_piece(name, decode_window(media.read(value)), spec.channels, spec.rate_hz)
    path = short(str(sample.get(f"{spec.column}.path") or ""), 60)
    show = image_piece if spec.modality == "image" else audio_piece
    try:
        return show(name, media.read(value), path)
    except Undecodable as verdict:
        return Piece(name, "note", f"cannot be shown: {short(str(verdict), 120)}", path=path)


def image_piece(name: str, content: bytes, path: str) -> Piece:
    """Return a thumbnail; small images keep their pixels."""
    image = decode_image(content)
    small = max(image.size) <= THUMBNAIL_PIXELS // 2
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return Piece(name, "image", data_uri("image/png", buffer.getvalue()), path=path, small=small)


def audio_piece(name: str, content: bytes, path: str) -> Piece:
    """Return a playable recording: its first seconds, mixed down, as WAV."""
    recording = decode_audio(content)
    kept = recording.samples[: min(int(AUDIO_SECONDS * recording.rate_hz), AUDIO_BYTES // 2)]
    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.clip(kept, -1.0, 1.0), recording.rate_hz, format="WAV", subtype="PCM_16"
    )
    told = f"{recording.seconds:.1f} s"
    if len(kept) < len(recording.samples):
        told = f"the first {len(kept) / recording.rate_hz:.1f} s of {told}"
    return Piece(name, "audio", data_uri("audio/wav", buffer.getvalue()), (("length", told),), path)


def series_piece(
    name: str, window: NDArray[np.float32], channels: Sequence[str], rate_hz: float | None
) -> Piece:
    """Return a window of a time series as lines, one a channel, each within its own range.

    Args:
        name: Of the input.
        window: ``(n_steps, n_channels)``, NaN where there is no value.
        channels: What the columns are.
        rate_hz: Steps a second.
    """
    at = np.linspace(0, _SERIES_WIDTH, max(2, len(window)))
    lines = "".join(
        f'<polyline fill="none" stroke="{_SERIES_COLOURS[i % len(_SERIES_COLOURS)]}" '
        f'points="{points}"/>'
        for i in range(min(window.shape[1], _SERIES_MOST))
        for points in _runs(at, _in_range(window[:, i]))
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_SERIES_WIDTH}" '
        f'height="{_SERIES_HEIGHT}">{lines}</svg>'
    )
    seconds = f", {len(window) / rate_hz:g} s" if rate_hz else ""
    told = f"{len(window):,} steps{seconds}: {', '.join(map(short, channels[:_SERIES_MOST]))}"
    return Piece(name, "image", data_uri("image/svg+xml", svg.encode()), path=short(told, 120))


def _in_range(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return heights in the picture, NaN where there is no value."""
    there = values[np.isfinite(values)].astype(np.float64)
    if not len(there):
        return np.full(len(values), np.nan)
    low, spread = there.min(), float(np.ptp(there)) or 1.0
    return np.asarray(_SERIES_HEIGHT - 2 - (_SERIES_HEIGHT - 4) * (values - low) / spread)


def _runs(at: NDArray[np.float64], heights: NDArray[np.float64]) -> Iterator[str]:
    """Yield the points of each stretch without a gap."""
    there = np.flatnonzero(np.isfinite(heights))
    for run in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1):
        if len(run):
            yield " ".join(f"{at[i]:.1f},{heights[i]:.1f}" for i in run)


def data_uri(kind: str, content: bytes) -> str:
    """Return bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"


def _cell(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else short(str(value))
