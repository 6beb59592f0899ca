"""Compare small pictures: 64-bit codes that stay alike, and how alike two pictures are.

An image is such a picture, and so is a recording (bands of pitch over time). What is compared is
light and dark, not how bright the whole is or how strong its contrast.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

SIDE = 32
N_WAVES = 11
DEAD_ZONE = 0.1
_PICTURES_AT_ONCE = 1024

Pictures = NDArray[np.float32]
Window = tuple[float, float]


@dataclass(frozen=True)
class Form:
    """A way to look at a picture: a part of it, mirrored, or lying on its side.

    Attributes:
        rows: Where the part starts and ends, as fractions of the height. What lies beyond the edge
            is as the edge.
        columns: The same of the width.
        flip_rows: Whether it is then turned upside down.
        flip_columns: Whether left and right then change places.
        transpose: Whether rows first become columns.
    """

    rows: Window = (0.0, 1.0)
    columns: Window = (0.0, 1.0)
    flip_rows: bool = False
    flip_columns: bool = False
    transpose: bool = False

    def of(self, pictures: Pictures) -> Pictures:
        """Return pictures ``(n, side, side)`` in this form."""
        side = pictures.shape[1]
        turned = pictures.swapaxes(1, 2) if self.transpose else pictures
        if self.rows != (0.0, 1.0) or self.columns != (0.0, 1.0):
            rows, columns = resampling(self.rows, side), resampling(self.columns, side)
            turned = np.asarray(rows @ turned @ columns.T, np.float32)
        turned = turned[:, ::-1] if self.flip_rows else turned
        return turned[:, :, ::-1] if self.flip_columns else turned

    def waves(self, pictures: Pictures) -> Pictures:
        """Return the slow waves ``(n, 11, 11)`` in pictures of this form, without making it."""
        turned = pictures.swapaxes(1, 2) if self.transpose else pictures
        rows = _waves(self.rows, self.flip_rows)
        return np.asarray(rows @ turned @ _waves(self.columns, self.flip_columns).T, np.float32)


@cache
def resampling(window: Window, side: int) -> NDArray[np.float32]:
    """Return the matrix ``(side, side)`` that stretches a part of a line to all of it, by area."""
    edges = np.linspace(window[0] * side, window[1] * side, side + 1)
    cells = np.arange(side, dtype=float)
    low, high = cells.copy(), cells + 1
    low[0], high[-1] = min(0.0, edges[0]), max(float(side), edges[-1])
    overlap = np.minimum(edges[1:, None], high) - np.maximum(edges[:-1, None], low)
    weights = np.clip(overlap, 0.0, None)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


@cache
def _waves(window: Window, flip: bool) -> NDArray[np.float32]:
    """Return the matrix ``(11, 32)`` of the discrete cosine transform of a part of a line."""
    at = (np.arange(SIDE) + 0.5) / SIDE
    wave = np.cos(np.pi * np.arange(N_WAVES)[:, None] * at)
    wave *= np.where(np.arange(N_WAVES)[:, None] == 0, 1.0, np.sqrt(2.0)) / np.sqrt(SIDE)
    wave = wave[:, ::-1] if flip else wave
    return np.asarray(wave @ resampling(window, SIDE), np.float32)


_ROWS, _COLUMNS = np.array(
    [(u, v) for u in range(N_WAVES) for v in range(N_WAVES - u) if (u, v) not in ((0, 0), (5, 5))]
).T
"""The 64 slowest waves but the mean; each with its transpose."""


def codes(pictures: Pictures, form: Form) -> NDArray[np.uint64]:
    """Return a 64-bit code of each picture: which of its slow waves are positive.

    Waves that hardly are there count as not positive, so that flat parts do not make noise.

    Args:
        pictures: ``(n, 32, 32)``.
        form: How the pictures are looked at.

    Source:
        Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", the hash
        from the discrete cosine transform; here without its mean, and with a dead zone.
    """
    waves = form.waves(pictures)[:, _ROWS, _COLUMNS]
    strength = np.sqrt(np.square(waves).mean(axis=1, keepdims=True))
    bits = np.packbits(waves > DEAD_ZONE * strength + 0.05, axis=1)
    return np.ascontiguousarray(bits).view(">u8").ravel().astype(np.uint64)


def likeness(one: Pictures, other: Pictures) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compare pictures pair by pair.

    Args:
        one: ``(n, side, side)``.
        other: The same number of pictures of the same size.

    Returns:
        Their correlation, from -1 to 1 (0 where one is of one colour), and the largest difference
        in one place, in standard deviations of each picture.
    """
    a, b = _centred(one), _centred(other)
    a_norm, b_norm = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    correlation = (a * b).sum(axis=1) / (a_norm * b_norm + 1e-3)
    a_deviation, b_deviation = (norm / np.sqrt(a.shape[1]) + 0.5 for norm in (a_norm, b_norm))
    apart = np.abs(a / a_deviation[:, None] - b / b_deviation[:, None]).max(axis=1)
    return correlation, apart


def halved(pictures: Pictures) -> Pictures:
    """Return pictures of half the side, by the mean of each two by two places."""
    n, side, _ = pictures.shape
    blocks = pictures.reshape(n, side // 2, 2, side // 2, 2)
    return np.asarray(blocks.mean(axis=(2, 4)), np.float32)


def _centred(pictures: Pictures) -> Pictures:
    flat = pictures.reshape(len(pictures), math.prod(pictures.shape[1:]))
    return np.asarray(flat - flat.mean(axis=1, keepdims=True), np.float32)


def portions(n: int) -> Iterator[slice]:
    """Yield slices that cover ``n`` pictures, few enough at once for little memory."""
    for start in range(0, n, _PICTURES_AT_ONCE):
        yield slice(start, min(n, start + _PICTURES_AT_ONCE))
