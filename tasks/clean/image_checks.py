"""What an image's header and a small grey copy of it tell: what was normalised, what is odd.

Everything here is a pure function of the opened header or of one small array, so that it costs
little beside decoding.
"""

import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

GREY_SIDE_PIXELS = 256
MIN_JUDGED_SIDE_PIXELS = 96
DARK_LEVEL, BRIGHT_LEVEL = 24, 231
"""Of 255: an image is dark or bright where all but one in 200 of its pixels are beyond."""

_ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
}
_ALL_ENDINGS = frozenset(ending for endings in _ENDINGS.values() for ending in endings)
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_HEADER_FAULTS = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError)


class ImageFacts(NamedTuple):
    """What the header of an image says.

    Attributes:
        format: The true format, whatever the file is called.
        width: In pixels, as stored.
        height: In pixels, as stored.
        n_frames: More than one where it is an animation or has several pages.
        normalised: What decoding brings to the common form, 8-bit RGB and upright.
    """

    format: str
    width: int
    height: int
    n_frames: int
    normalised: tuple[str, ...]


def image_facts(image: Image.Image) -> ImageFacts:
    """Read the header of an image that was opened and not decoded yet."""
    n_frames = _n_frames(image)
    normalised = []
    if _orientation(image) in range(2, 9):
        normalised.append("exif_rotated")
    if image.mode == "CMYK":
        normalised.append("cmyk" if image.info.get("icc_profile") else "cmyk_without_profile")
    if image.mode.startswith("I"):
        normalised.append("sixteen_bit")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        normalised.append("transparency")
    if image.mode in ("P", "PA"):
        normalised.append("palette")
    if image.mode in ("1", "L", "LA", "La"):
        normalised.append("grey")
    if n_frames > 1:
        normalised.append("first_frame")
    return ImageFacts(
        image.format or "unknown", image.width, image.height, n_frames, tuple(normalised)
    )


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except _HEADER_FAULTS:
        return None


def _n_frames(image: Image.Image) -> int:
    """Count frames; 1 where what follows the first is damaged, since only the first is read."""
    try:
        return int(getattr(image, "n_frames", 1)) if getattr(image, "is_animated", False) else 1
    except _HEADER_FAULTS:
        return 1


def small_grey(image: Image.Image) -> NDArray[np.uint8]:
    """Return a grey copy ``(height, width)`` with a longer side of at most 256 pixels."""
    factor = max(image.size) // GREY_SIDE_PIXELS
    small = image.reduce(factor) if factor > 1 else image
    grey = small if small.mode == "L" else small.convert("L")
    if (longer := max(grey.size)) > GREY_SIDE_PIXELS:
        width, height = (max(1, side * GREY_SIDE_PIXELS // longer) for side in grey.size)
        grey = grey.resize((width, height), Image.Resampling.BOX)
    return np.asarray(grey)


def sharpness(grey: NDArray[np.uint8]) -> float:
    """Return the variance of the Laplacian of a grey image, in grey levels squared.

    Source:
        Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy".

    >>> flat = np.full((4, 4), 7, np.uint8)
    >>> sharpness(flat)
    0.0
    """
    if min(grey.shape) < 3:
        return 0.0
    wide = grey.astype(np.int16)
    laplacian = (
        wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] - 4 * wide[1:-1, 1:-1]
    )
    return float(laplacian.var(dtype=np.float32))


def pixel_flags(
    grey: NDArray[np.uint8], one_colour: bool, min_sharpness: float
) -> list[tuple[str, str]]:
    """Name what the pixels show: one colour alone, next to no light or shade, or blur.

    Args:
        grey: From :func:`small_grey`.
        one_colour: Whether all pixels of the image itself are alike.
        min_sharpness: Variance of the Laplacian under which an image is blurred.

    Returns:
        Pairs of a flag and a detail; a blank image has no other flag.
    """
    if one_colour:
        return [("blank_image", f"every pixel has the grey level {int(grey.flat[0])}")]
    low, high = _range_without_strays(grey)
    flags = []
    if high <= DARK_LEVEL:
        flags.append(("dark_image", f"99.5 % of it is at most {high} of 255"))
    if low >= BRIGHT_LEVEL:
        flags.append(("bright_image", f"99.5 % of it is at least {low} of 255"))
    if max(grey.shape) >= MIN_JUDGED_SIDE_PIXELS and not flags:
        found = sharpness(grey)
        if found < min_sharpness:
            detail = f"variance of the Laplacian {found:.2g}, under {min_sharpness:g}"
            flags.append(("blurred_image", detail))
    return flags


def _range_without_strays(grey: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the darkest and the brightest level, leaving out one pixel in 200 at either end."""
    up_to = np.bincount(grey.ravel(), minlength=256).cumsum()
    strays = grey.size // 200
    low, high = np.searchsorted(up_to, [strays + 1, grey.size - strays])
    return int(low), int(high)


def file_flags(content: bytes, facts: ImageFacts, suffix: str) -> list[tuple[str, str]]:
    """Name what is odd about an image's file: its ending, bytes after the image, many frames."""
    flags = []
    if suffix in _ALL_ENDINGS and suffix not in _ENDINGS.get(facts.format, (suffix,)):
        flags.append(("wrong_suffix", f"{facts.format} in a file that ends in {suffix}"))
    if (n_bytes := trailing_bytes(content, facts.format)) > 0:
        flags.append(("trailing_data", f"{n_bytes:,} bytes after the image"))
    if facts.n_frames > 1:
        flags.append(("animated_image", f"{facts.n_frames:,} frames, of which the first is read"))
    return flags


def png_damage(content: bytes) -> tuple[str, str] | None:
    """Return why a PNG is not as it was written, which decoders may not notice; else None.

    Its pixels and palette are held against their checksums, and its end must be there.
    """
    at = 8
    while at + 12 <= len(content):
        size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        end = at + 12 + size
        if end > len(content):
            break
        check = int.from_bytes(content[end - 4 : end], "big")
        if kind in _PNG_CHUNKS and zlib.crc32(memoryview(content)[at + 4 : end - 4]) != check:
            return "corrupt", f"the checksum of its {kind.decode()} at byte {at:,} is wrong"
        if kind == b"IEND":
            return None
        at = end
    return "truncated", f"it ends at byte {len(content):,}, before its IEND"


def trailing_bytes(content: bytes, kind: str) -> int:
    r"""Count bytes after the end of an image; padding with zeros does not count.

    >>> trailing_bytes(b"\xff\xd8 ... \xff\xd9PK..", "JPEG")
    4
    """
    end = _end_of_image(content, kind)
    return len(content[end:].rstrip(b"\0")) if 0 < end < len(content) else 0


def _end_of_image(content: bytes, kind: str) -> int:
    """Return where an image ends; the end of the bytes where its format does not say."""
    if kind in ("JPEG", "MPO"):
        return content.rfind(b"\xff\xd9") + 2
    if kind == "PNG":
        return content.rfind(b"IEND") + 8
    if kind == "WEBP":
        size = int.from_bytes(content[4:8], "little")
        return 8 + size + size % 2
    if kind == "GIF":
        return content.rfind(b"\x3b") + 1
    return len(content)
