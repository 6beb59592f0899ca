"""Inputs of a sample in a form that a page can show: picture, recording, text, table."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from tasks.samples.decoding import Undecodable, decode_audio, decode_image
from tasks.samples.media import Media
from tasks.samples.schema import InputSpec
from tasks.samples.wording import short

THUMBNAIL_PIXELS = 192
AUDIO_SECONDS = 5.0
AUDIO_BYTES = 250_000
TEXT_CHARACTERS = 400


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


def data_uri(kind: str, content: bytes) -> str:
    """Return bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"


def _cell(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else short(str(value))
