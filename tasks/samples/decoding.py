"""Decode images and recordings safely: an allow-list of formats, limits before pixels, no silence.

Every fault is an :class:`Undecodable` with a reason code, which becomes the reason in quarantine.
"""

import io
import os
import struct
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
MAX_IMAGE_PIXELS = 50_000_000

_DECODER_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    struct.error,
)
"""What Pillow raises where the bytes of an image are not as they should be."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image of each EXIF orientation upright."""

Image.MAX_IMAGE_PIXELS = None  # the limit is checked here, before any pixel is decoded
ImageFile.LOAD_TRUNCATED_IMAGES = False

# Broken EXIF and ICC blocks do not touch the pixels. The filter is set once and for all, since one
# set around each image is not safe where several threads decode.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class Undecodable(Exception):  # noqa: N818  (a verdict on a medium, not a fault of the program)
    """A medium that cannot be used, with the reason code for quarantine."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True)
class Recording:
    """A decoded recording.

    Attributes:
        samples: ``(n_samples,)`` float32, mono, nominally within -1 to 1.
        rate_hz: Samples a second.
        n_channels: Channels of the file, before they were mixed down.
        format: Of the file, such as ``WAV``.
        cancels_out: Whether its channels cancel each other out, so that the first one was taken.
    """

    samples: NDArray[np.float32]
    rate_hz: int
    n_channels: int
    format: str = ""
    cancels_out: bool = False

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return len(self.samples) / self.rate_hz


def decode_image(content: bytes, max_pixels: int = MAX_IMAGE_PIXELS) -> Image.Image:
    """Decode an image to 8-bit RGB, upright, on white where it is transparent.

    Raises:
        Undecodable: With one of ``empty_file``, ``not_an_image``, ``unsupported_format``,
            ``too_many_pixels``, ``metadata_too_large``, ``truncated``, ``corrupt``,
            ``float_image``.
    """
    return decode_opened(open_image(content, max_pixels))


def decode_opened(image: Image.Image, enough_pixels: int | None = None) -> Image.Image:
    """Decode an image that was opened, as :func:`decode_image` does.

    Args:
        image: From :func:`open_image`; nothing of it was decoded yet.
        enough_pixels: The image may be made smaller by a whole factor, as long as its longer side
            keeps so many pixels and its shorter side a quarter of that. A JPEG is then decoded to
            an eighth, a quarter or half of its size: all of its bytes are read and checked all the
            same, and only the sums and colours of fewer pixels are worked out.

    Raises:
        Undecodable: As :func:`decode_image`.
    """
    if enough_pixels is not None and image.format == "JPEG":
        factor = _spare_factor(image, enough_pixels)
        image.draft(None, (image.width // factor, image.height // factor))
    try:
        image.load()
        upright = _to_rgb(_upright(image))
    except Undecodable:
        raise
    except _DECODER_FAULTS as fault:
        text = str(fault)
        reason = "truncated" if "truncated" in text or "Truncated" in text else "corrupt"
        raise Undecodable(reason, text) from None
    factor = 1 if enough_pixels is None else _spare_factor(upright, enough_pixels)
    return upright if factor == 1 else upright.reduce(factor)


def _spare_factor(image: Image.Image, enough_pixels: int) -> int:
    short, long = sorted(image.size)
    return max(1, min(long // enough_pixels, 4 * short // enough_pixels))


def open_image(content: bytes, max_pixels: int = MAX_IMAGE_PIXELS) -> Image.Image:
    """Open an image and check its header; no pixel is decoded yet."""
    if not content:
        raise Undecodable("empty_file", "the file holds no bytes")
    try:
        image = Image.open(io.BytesIO(content), formats=IMAGE_FORMATS)
    except ValueError as fault:
        raise Undecodable("metadata_too_large", str(fault)) from None
    except _DECODER_FAULTS:
        raise _unidentified(content) from None
    if image.width * image.height > max_pixels:
        raise Undecodable(
            "too_many_pixels", f"{image.width} × {image.height}, more than {max_pixels:,} pixels"
        )
    return image


def _unidentified(content: bytes) -> Undecodable:
    head = content[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return Undecodable("not_an_image:html", "a web page, not an image")
    known = {
        b"<svg": "SVG",
        b"<?xml": "SVG or XML",
        b"%pdf": "PDF",
        b"%!ps": "PostScript",
        b"8bps": "Photoshop",
    }
    for magic, name in known.items():
        if head.startswith(magic):
            return Undecodable("unsupported_format", f"{name}; convert it to PNG or JPEG")
    if content[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return Undecodable("unsupported_format", "HEIC or AVIF; convert it to PNG or JPEG")
    return Undecodable("not_an_image", f"first bytes {content[:8]!r} are of no known image format")


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF block says; where that is broken, the pixels are as they are."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except _DECODER_FAULTS:
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB without the traps of ``convert``: 16 bits, floats, transparency."""
    if image.mode == "F":
        raise Undecodable("float_image", "floating-point pixels have no agreed range")
    if image.mode.startswith("I"):
        wide = np.asarray(image, dtype=np.int64)
        if wide.min() < 0 or wide.max() > 65_535:
            raise Undecodable("float_image", "pixels outside 0 to 65,535 have no agreed range")
        image = Image.fromarray((wide // 257).astype(np.uint8))
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        background = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(background, layer).convert("RGB")
    return image.convert("RGB")


def decode_audio(content: bytes, max_seconds: float = 3600.0) -> Recording:
    """Decode a recording to mono float32 at its own rate.

    Raises:
        Undecodable: With one of ``empty_file``, ``not_audio``, ``zero_length``, ``too_long``,
            ``bad_sample_rate``, ``truncated``, ``non_finite``.
    """
    if not content:
        raise Undecodable("empty_file", "the file holds no bytes")
    try:
        with soundfile.SoundFile(_Bytes(content)) as file:
            _check_audio_header(file, content, max_seconds)
            samples = file.read(dtype="float32", always_2d=True)
            declared, rate_hz, kind = file.frames, file.samplerate, file.format
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as fault:
        reason = "truncated" if content[:4] == b"fLaC" else "not_audio"
        raise Undecodable(reason, getattr(fault, "error_string", str(fault))) from None
    if len(samples) < declared:
        raise Undecodable("truncated", f"{len(samples):,} of {declared:,} frames are there")
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise Undecodable("non_finite", f"{bad:,} of {samples.size:,} samples are no number")
    mono, cancels_out = _mono(samples)
    return Recording(mono, rate_hz, samples.shape[1], kind, cancels_out)


class _Bytes(io.BytesIO):
    """Bytes whose reader may ask for places before the start, as that of a broken file does."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place; to the start where it lies before that."""
        return super().seek(max(0, offset) if whence == os.SEEK_SET else offset, whence)


def _check_audio_header(file: Any, content: bytes, max_seconds: float) -> None:
    if content[:4] == b"OggS" and not _ends_as_ogg(content):
        raise Undecodable("truncated", "the last page of the stream is missing")
    if file.frames == 0:
        raise Undecodable("zero_length", "a header without samples")
    if not 1000 <= file.samplerate <= 192_000:
        raise Undecodable("bad_sample_rate", f"{file.samplerate} Hz")
    if file.frames / file.samplerate > max_seconds:
        raise Undecodable("too_long", f"{file.frames / file.samplerate:,.0f} s")
    if (missing := _bytes_missing(content)) > 0:
        raise Undecodable("truncated", f"{missing:,} bytes of samples are missing")


def _bytes_missing(content: bytes) -> int:
    """Return how many bytes the header of a WAV or AIFF file declares that are not there."""
    if content[:4] == b"RIFF":
        return wav_bytes_missing(content)
    if content[:4] == b"FORM":
        return max(0, int.from_bytes(content[4:8], "big") + 8 - len(content))
    return 0


def _ends_as_ogg(content: bytes) -> bool:
    """Tell whether the last page of an Ogg stream is there whole and marked as the last."""
    at = content.rfind(b"OggS")
    n_segments = content[at + 26] if at + 26 < len(content) else 0
    lacing = content[at + 27 : at + 27 + n_segments]
    whole = len(lacing) == n_segments and len(content) >= at + 27 + n_segments + sum(lacing)
    return at + 26 < len(content) and whole and bool(content[at + 5] & 4)


def wav_bytes_missing(content: bytes) -> int:
    """Return how many bytes of the data chunk that a WAV header declares are not there."""
    at = 12
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name == b"data":
            return max(0, size - (len(content) - at - 8))
        at += 8 + size + size % 2
    return 0


def _mono(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], bool]:
    """Mix channels down; take the first, and say so, where they cancel each other out."""
    if samples.shape[1] == 1:
        return np.ascontiguousarray(samples[:, 0]), False
    mixed = samples.mean(axis=1, dtype=np.float64)
    power = np.square(samples, dtype=np.float64).mean()
    if np.square(mixed).mean() < 0.01 * power:
        return np.ascontiguousarray(samples[:, 0]), True
    return np.asarray(mixed, dtype=np.float32), False
