"""Boxes on images: each checked against its image, and cut out of it where that is asked for."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

from tasks.collect.cells import BadCell, parse_number
from tasks.collect.media_files import read_regular_file, resolve_inside
from tasks.collect.rows import Cell, Fault, Medium, Notes, RawRow
from tasks.params.collect import BoxSource
from tasks.samples.decoding import Undecodable, decode_image, open_image

CLIPPED = "boxes that left their image, cut to it"
_TURNED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


@dataclass(frozen=True)
class Box:
    """A box as an annotation file has it.

    Attributes:
        row: Its number in the file, counted from 1.
        name: What names the record.
        raw: What stands in the file.
        label: What the box shows.
        left: As written, like the next three; in pixels.
        marked: Whether it is called difficult, or a crowd.
        fault: What is known to be wrong already.
    """

    row: int
    name: str
    raw: str
    label: str | None = None
    left: str = ""
    top: str = ""
    width: str = ""
    height: str = ""
    marked: bool = False
    fault: Fault | None = None


@dataclass(frozen=True)
class Annotated:
    """An image that has boxes.

    Attributes:
        path: Relative to ``collect.root``.
        size: Its width and height in pixels as the annotations say them, if they do.
        part: train, validation or test, if that is known.
        file: The annotation file, relative to ``collect.root``.
    """

    path: str
    size: tuple[int, int] | None
    part: str | None
    file: str


def box_rows(
    source: BoxSource, root: Path, image: Annotated, boxes: Sequence[Box], notes: Notes
) -> Iterator[RawRow]:
    """Yield a row for each box of an image, which is opened once, and decoded once where needed.

    Args:
        source: The source as it is declared.
        root: ``collect.root``, its own links followed.
        image: The image.
        boxes: Its boxes.
        notes: Told of boxes that were cut to their image.
    """
    opened = _opened(root, image, must_decode=source.crop)
    for box in boxes:
        placed = _checked(box, opened)
        if isinstance(placed, Fault) or isinstance(opened, Fault):
            fault = placed if isinstance(placed, Fault) else opened
            assert isinstance(fault, Fault)
            yield RawRow(image.file, box.row, (), box.raw, fault, box.name)
            continue
        notes.counts[CLIPPED] += placed.clipped
        shown: Cell = image.path
        if opened.pixels is not None:
            shown = Medium(image.path, _png(opened.pixels, placed), ".png")
        cells = (shown, *_said(image, box, placed, opened.size))
        yield RawRow(image.file, box.row, cells, box.raw, None, box.name)
    notes.counts = +notes.counts


@dataclass(frozen=True)
class _Place:
    left: float
    top: float
    width: float
    height: float
    clipped: bool


@dataclass(frozen=True)
class _Opened:
    """An image: its size when upright, and its pixels where boxes are cut out of it."""

    size: tuple[int, int] | None
    pixels: Image.Image | None = None


def _checked(box: Box, opened: "_Opened | Fault") -> _Place | Fault:
    if box.fault is not None:
        return box.fault
    return opened if isinstance(opened, Fault) else _placed(box, opened.size)


def _opened(root: Path, image: Annotated, must_decode: bool) -> _Opened | Fault:
    """Read an image and compare its size with what the annotations say of it."""
    try:
        content = read_regular_file(resolve_inside(root, image.path), image.path)
    except BadCell as bad:
        return Fault(bad.reason, bad.detail, "image")
    try:
        size = _upright_size(open_image(content))
        pixels = decode_image(content) if must_decode else None
    except Undecodable as bad:
        # Whether an image is good is for the next stage to say, unless a box is cut out of it here.
        fault = Fault(bad.reason, bad.detail, "image")
        return fault if must_decode else _Opened(image.size)
    if image.size is not None and image.size != size:
        said, found = (f"{width} × {height}" for width, height in (image.size, size))
        detail = f"the annotation says {said} pixels, the image has {found} when it stands upright"
        return Fault("image_size_mismatch", detail, "image")
    return _Opened(size, pixels)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except (OSError, SyntaxError, ValueError, LookupError, TypeError):
        orientation = None  # a broken block turns nothing, here as when the image is decoded
    return (image.height, image.width) if orientation in _TURNED else image.size


def _placed(box: Box, size: tuple[int, int] | None) -> _Place | Fault:
    """Check where a box is, and cut it to its image."""
    numbers = []
    for column, cell in (
        ("x", box.left),
        ("y", box.top),
        ("width", box.width),
        ("height", box.height),
    ):
        try:
            numbers.append(parse_number(cell))
        except BadCell as bad:
            return Fault(bad.reason, bad.detail, column)
    left, top, width, height = numbers
    if width <= 0 or height <= 0:
        return Fault("empty_box", f"{width:g} × {height:g} pixels hold nothing", "width")
    if size is None:
        return _Place(left, top, width, height, clipped=False)
    right, bottom = min(left + width, size[0]), min(top + height, size[1])
    kept_left, kept_top = max(left, 0.0), max(top, 0.0)
    if right <= kept_left or bottom <= kept_top:
        detail = f"{left:g}, {top:g} to {left + width:g}, {top + height:g} of {size[0]} × {size[1]}"
        return Fault("box_outside_image", detail, "x")
    clipped = (kept_left, kept_top, right, bottom) != (left, top, left + width, top + height)
    return _Place(kept_left, kept_top, right - kept_left, bottom - kept_top, clipped)


def _said(
    image: Annotated, box: Box, place: _Place, size: tuple[int, int] | None
) -> tuple[Cell, ...]:
    """Return the cells after the first, in the order of the source's columns."""
    width, height = (str(size[0]), str(size[1])) if size else (None, None)
    return (
        box.label,
        *(repr(number) for number in (place.left, place.top, place.width, place.height)),
        width,
        height,
        Path(image.path).stem,
        image.part,
        "yes" if place.clipped else "no",
        "yes" if box.marked else "no",
    )


def _png(pixels: Image.Image, place: _Place) -> bytes:
    right, bottom = math.ceil(place.left + place.width), math.ceil(place.top + place.height)
    file = io.BytesIO()
    cut = pixels.crop((math.floor(place.left), math.floor(place.top), right, bottom))
    cut.save(file, format="PNG", compress_level=1)  # others cost five times the time
    return file.getvalue()
