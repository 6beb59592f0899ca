"""Cheap features of images: a small copy, its colours, and which way its edges run.

Source:
    Dalal and Triggs 2005, Histograms of Oriented Gradients for Human Detection, section 6.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.samples.decoding import Undecodable, decode_opened, open_image

SIDE = 32
ENOUGH_PIXELS = 2 * SIDE
"""A JPEG may be decoded smaller, down to this."""

CELL = 4
N_DIRECTIONS = 9
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def small_copies(contents: Iterable[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return ``(n, SIDE, SIDE, 3)`` small copies of images, and ``(n,)`` which were readable."""
    copies, readable = [], []
    for content in contents:
        try:
            image = decode_opened(open_image(content), enough_pixels=ENOUGH_PIXELS)
        except Undecodable:
            copies.append(np.zeros((SIDE, SIDE, 3), dtype=np.uint8))
            readable.append(False)
            continue
        small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
        copies.append(np.asarray(small))
        readable.append(True)
    return np.stack(copies), np.array(readable)


def image_features(copies: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return ``(n, d)`` features of small copies ``(n, SIDE, SIDE, 3)``.

    Three blocks of equal weight: 8 by 8 colours, the histogram of gradients in cells, and a joint
    histogram of colours.
    """
    pixels = copies.astype(np.float32) / 255
    n, step = len(pixels), SIDE // 8
    thumbnail = pixels.reshape(n, 8, step, 8, step, 3).mean(axis=(2, 4)).reshape(n, -1)
    edges = _gradient_histograms(np.asarray(pixels @ _GREY, dtype=np.float32))
    levels = (copies // 64).astype(np.int64)
    colour = levels[..., 0] * 16 + levels[..., 1] * 4 + levels[..., 2]
    flat = colour.reshape(n, -1) + 64 * np.arange(n)[:, None]
    colours = np.bincount(flat.ravel(), minlength=64 * n).reshape(n, 64) / SIDE**2
    return np.concatenate([thumbnail / 4, edges, np.sqrt(colours)], axis=1, dtype=np.float32)


def _gradient_histograms(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``(n, cells * N_DIRECTIONS)``: how strongly edges run each way in each cell."""
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    right = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    strength = np.hypot(down, right)
    turn = np.mod(np.arctan2(down, right) / np.pi, 1.0) * N_DIRECTIONS
    lower = np.floor(turn)
    share = turn - lower
    n, cells = len(grey), SIDE // CELL
    cell_of = np.arange(SIDE) // CELL
    place = (cell_of[:, None] * cells + cell_of)[None] * N_DIRECTIONS
    start = (np.arange(n) * cells * cells * N_DIRECTIONS)[:, None, None]
    histograms = np.zeros(n * cells * cells * N_DIRECTIONS)
    for direction, weight in ((lower, 1 - share), (lower + 1, share)):
        bins = start + place + np.mod(direction, N_DIRECTIONS).astype(np.int64)
        histograms += np.bincount(
            bins.ravel(), weights=(strength * weight).ravel(), minlength=len(histograms)
        )
    in_cells = histograms.reshape(n, cells, cells, N_DIRECTIONS)
    # Cells are compared with their neighbours, so that light and contrast matter less.
    energy = np.square(in_cells).sum(axis=3)
    around = np.pad(energy, ((0, 0), (1, 1), (1, 1)), mode="edge")
    near = sum(around[:, i : i + cells, j : j + cells] for i in range(3) for j in range(3))
    normed = np.minimum(in_cells / np.sqrt(near + 1e-2)[..., None], 0.4)
    return (normed.reshape(n, -1) / cells).astype(np.float32)
