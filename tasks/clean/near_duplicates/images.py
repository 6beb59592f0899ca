"""Find images that show the same picture: resized, compressed, without colour, cropped, mirrored.

A small picture of each image is made from the very decode that verifies it. Codes of the picture,
of its crops and of its mirror images say which pairs to compare; the small pictures, colour
included, decide.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.clean.near_duplicates.grouping import Grouping, Near, Places, grouped, hamming_tables
from tasks.clean.near_duplicates.pictures import (
    SIDE,
    Form,
    Pictures,
    codes,
    halved,
    likeness,
    portions,
)

Symmetries = Literal["none", "flips", "all"]

IMAGE_SKETCH = np.dtype(
    [
        ("light", np.uint8, (SIDE, SIDE)),
        ("colour", np.uint8, (2, SIDE // 2, SIDE // 2)),
        ("fine", np.uint8),
    ]
)
"""A small picture: its light, its two colour differences, and whether it shows small details."""

FEW_PIXELS = 5000
"""Of so few pixels a drawing says little: another one may look the same but for a shift."""

MIN_CORRELATION, MAX_APART = 0.985, 0.8
MIN_FINE_CORRELATION, MAX_FINE_APART = 0.99, 0.5
COLOURLESS = 2.0
MOST_LOOKED_AT, MOST_LOOKED_AT_EACH = 20_000, 32
"""Pairs of pictures that are looked at in all, and in all for each picture more."""

_PAIRS_AT_ONCE = 512

_CROPS = tuple(
    Form(rows, columns)
    for rows, columns in (
        ((0.025, 0.975), (0.025, 0.975)),
        ((0.05, 0.95), (0.05, 0.95)),
        ((0.0, 0.95), (0.0, 0.95)),
        ((0.0, 0.95), (0.05, 1.0)),
        ((0.05, 1.0), (0.0, 0.95)),
        ((0.05, 1.0), (0.05, 1.0)),
    )
)
_MIRRORED: dict[Symmetries, tuple[Form, ...]] = {
    "none": (),
    "flips": (Form(flip_columns=True), Form(flip_rows=True)),
    "all": tuple(
        Form(flip_rows=rows, flip_columns=columns, transpose=transpose)
        for transpose in (False, True)
        for rows in (False, True)
        for columns in (False, True)
        if rows or columns or transpose
    ),
}

Sketches = Callable[[Places], NDArray[np.void]]
"""Returns the sketches at some places."""


def image_sketch(image: Image.Image, n_pixels: int) -> NDArray[np.void]:
    """Return the small picture of an RGB image, of type :data:`IMAGE_SKETCH`.

    Args:
        image: Decoded, perhaps to a smaller size than its own.
        n_pixels: Of the image itself.
    """
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    planes = np.asarray(small.convert("YCbCr"))
    sketch = np.zeros((), IMAGE_SKETCH)
    sketch["light"] = planes[:, :, 0]
    colour = planes[:, :, 1:].reshape(SIDE // 2, 2, SIDE // 2, 2, 2).mean(axis=(1, 3))
    sketch["colour"] = colour.transpose(2, 0, 1)
    sketch["fine"] = n_pixels < FEW_PIXELS
    return sketch


def group_images(n: int, sketches: Sketches, distance: int, symmetries: Symmetries) -> Grouping:
    """Group images that show the same picture.

    Args:
        n: How many images there are.
        sketches: Their small pictures, by place.
        distance: The most bits of 64 in which the codes of a pair may differ.
        symmetries: Whether mirror images (``flips``), or those turned too (``all``), are the same.
    """
    forms = (Form(), *_MIRRORED[symmetries], *_CROPS)
    found = np.zeros((len(forms), n), np.uint64)
    kept = np.ones((len(forms), n), bool)
    for part in portions(n):
        rows = sketches(np.arange(part.start, part.stop))
        light = rows["light"].astype(np.float32)
        for which, form in enumerate(forms):
            found[which, part] = codes(light, form)
        # The crop of an image of few pixels may be another drawing.
        kept[-len(_CROPS) :, part] = rows["fine"] == 0
    form_of, owners = np.nonzero(kept)
    item_codes = found[kept]
    effort = Effort(MOST_LOOKED_AT + MOST_LOOKED_AT_EACH * n)
    near = images_near(sketches, item_codes, form_of, owners, forms, distance, effort)
    grouping = grouped(hamming_tables(item_codes, distance), owners, near)
    return replace(grouping, n_skipped=grouping.n_skipped + effort.n_refused)


@dataclass
class Effort:
    """How many pairs of pictures may still be looked at.

    Those of a camera that stands still are all alike at first glance; to look at every pair of them
    would never end.

    Attributes:
        n_left: Pairs that may be looked at.
        n_refused: Pairs that were not.
    """

    n_left: int
    n_refused: int = 0

    def take(self, wanted: Places) -> Places:
        """Return as many of the pairs as may be looked at."""
        taken = wanted[: self.n_left]
        self.n_left -= len(taken)
        self.n_refused += len(wanted) - len(taken)
        return taken


def images_near(
    sketches: Sketches,
    item_codes: NDArray[np.uint64],
    form_of: Places,
    owners: Places,
    forms: tuple[Form, ...],
    distance: int,
    effort: Effort,
) -> Near:
    """Return what tells which pairs of items show the same picture.

    Args:
        sketches: Small pictures of the images, by place.
        item_codes: ``(n_items,)`` codes.
        form_of: ``(n_items,)`` the form of each item.
        owners: ``(n_items,)`` the image that each is a form of.
        forms: All forms.
        distance: The most bits in which codes may differ.
        effort: How many pairs may be looked at.
    """

    def shown(items: Places) -> tuple[Pictures, Pictures, NDArray[np.bool_]]:
        rows = sketches(owners[items])
        light, colour = rows["light"].astype(np.float32), rows["colour"].astype(np.float32)
        for which in np.unique(form_of[items]).tolist():
            if which == 0:
                continue
            here = np.flatnonzero(form_of[items] == which)
            light[here] = forms[which].of(light[here])
            for plane in range(2):
                colour[here, plane] = forms[which].of(colour[here, plane])
        return light, colour, rows["fine"] == 1

    def near(left: Places, right: Places) -> NDArray[np.bool_]:
        answer = np.asarray(np.bitwise_count(item_codes[left] ^ item_codes[right]) <= distance)
        found = np.flatnonzero(answer)
        likely = effort.take(found)
        answer[found[len(likely) :]] = False
        for at in range(0, len(likely), _PAIRS_AT_ONCE):
            some = likely[at : at + _PAIRS_AT_ONCE]
            one, one_colour, one_fine = shown(left[some])
            other, other_colour, other_fine = shown(right[some])
            answer[some] = same_picture(one, other, one_fine | other_fine) & same_colours(
                one, one_colour, other, other_colour
            )
        return answer

    return near


def same_picture(one: Pictures, other: Pictures, fine: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which pairs of pictures ``(n, 32, 32)`` are the same in light and dark.

    Args:
        one: The first of each pair.
        other: The second of each pair.
        fine: Where a picture has so few pixels that every detail counts.
    """
    correlation, apart = likeness(halved(one), halved(other))
    same = (correlation >= MIN_CORRELATION) & (apart <= MAX_APART)
    strict = np.flatnonzero(same & fine)
    correlation, apart = likeness(one[strict], other[strict])
    same[strict] = (correlation >= MIN_FINE_CORRELATION) & (apart <= MAX_FINE_APART)
    return same


def same_colours(
    one: Pictures, one_colour: Pictures, other: Pictures, other_colour: Pictures
) -> NDArray[np.bool_]:
    """Tell which pairs of pictures have the same colours, or one of them has none.

    Args:
        one: ``(n, 32, 32)`` light.
        one_colour: ``(n, 2, 16, 16)`` the two colour differences of JPEG.
        other: Light of the other picture of each pair.
        other_colour: Its colour differences.
    """
    a, b = _channels(halved(one), one_colour), _channels(halved(other), other_colour)
    correlation = (a * b).sum(axis=1) / (
        np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-3
    )
    n = len(one)
    colour = [c.reshape(n, 2, -1).std(axis=2).max(axis=1) for c in (one_colour, other_colour)]
    colourless = np.minimum(*colour) < COLOURLESS
    return np.asarray(colourless | (correlation >= MIN_CORRELATION))


def _channels(light: Pictures, colour: Pictures) -> Pictures:
    """Return red, green and blue ``(n, 3 * 256)``, each without its mean."""
    n = len(light)
    y, blue, red = (
        plane.reshape(n, -1) - plane.reshape(n, -1).mean(axis=1, keepdims=True)
        for plane in (light, colour[:, 0], colour[:, 1])
    )
    return np.concatenate(
        [y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue], axis=1
    )
