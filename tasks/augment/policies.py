"""What may be done to an input: each policy draws the numbers of one transform, and no more.

The ranges are mild: they keep what a person would still call the same thing. The numbers go into
the recipe of a sample; ``tasks.samples.transforms`` applies them after decoding.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tasks.registry import Registry

Drawn = dict[str, Any]
Draw = Callable[[np.random.Generator], Drawn | None]
"""Draws the parameters of a step; None where the dice say to leave the input alone."""

Rewrite = Callable[[str, np.random.Generator], str]

image_policies: Registry[Draw] = Registry("image policy")
audio_policies: Registry[Draw] = Registry("audio policy")
timeseries_policies: Registry[Draw] = Registry("time-series policy")
text_policies: Registry[Rewrite] = Registry("text policy")

RANDAUGMENT = "randaugment"
_RANDAUGMENT_STEPS = 2


@image_policies.register("shift")
def shift(rng: np.random.Generator) -> Drawn:
    """Up to a tenth of the width and of the height."""
    return {"dx": _within(rng, 0.1), "dy": _within(rng, 0.1)}


@image_policies.register("rotate")
def rotate(rng: np.random.Generator) -> Drawn:
    """Up to 12 degrees either way."""
    return {"degrees": _within(rng, 12.0)}


@image_policies.register("flip_horizontal")
def flip_horizontal(rng: np.random.Generator) -> Drawn | None:
    """Every other image."""
    return {} if rng.random() < 0.5 else None


@image_policies.register("crop")
def crop(rng: np.random.Generator) -> Drawn:
    """Four fifths to all of each side, stretched to the whole."""
    width, height = _between(rng, 0.8, 1.0), _between(rng, 0.8, 1.0)
    x, y = _between(rng, 0.0, 1 - width), _between(rng, 0.0, 1 - height)
    # Rounding must not push the far edge over the image's.
    return {"x": min(x, 1 - width), "y": min(y, 1 - height), "width": width, "height": height}


@image_policies.register("colour")
def colour(rng: np.random.Generator) -> Drawn:
    """Brightness, contrast and saturation by up to a quarter."""
    return {
        name: round(1 + _within(rng, 0.25), 4) for name in ("brightness", "contrast", "saturation")
    }


@image_policies.register("blur")
def blur(rng: np.random.Generator) -> Drawn:
    """A Gaussian of up to a fiftieth of the shorter side."""
    return {"radius": _between(rng, 0.0, 0.02)}


@image_policies.register("noise")
def image_noise(rng: np.random.Generator) -> Drawn:
    """A standard deviation of up to 12 of 255 levels."""
    return {"sigma": _between(rng, 0.0, 12.0), "seed": _seed(rng)}


@image_policies.register("erase")
def erase(rng: np.random.Generator) -> Drawn | None:
    """In every other image a rectangle, a tenth to a quarter of each side."""
    if rng.random() < 0.5:
        return None
    width, height = _between(rng, 0.1, 0.25), _between(rng, 0.1, 0.25)
    x, y = _between(rng, 0.0, 1 - width), _between(rng, 0.0, 1 - height)
    return {"x": x, "y": y, "width": width, "height": height}


@image_policies.register("jpeg")
def jpeg(rng: np.random.Generator) -> Drawn:
    """A quality of 40 to 90."""
    return {"quality": int(rng.integers(40, 91))}


_RANDAUGMENT_OPERATIONS: Mapping[str, Draw] = {
    "autocontrast": lambda rng: {},
    "equalize": lambda rng: {},
    "posterize": lambda rng: {"bits": int(rng.integers(4, 8))},
    "sharpness": lambda rng: {"factor": _between(rng, 0.3, 1.7)},
    "shear": lambda rng: {"x": _within(rng, 0.15), "y": _within(rng, 0.15)},
    "colour": colour,
    "rotate": rotate,
    "shift": shift,
}


def randaugment(rng: np.random.Generator) -> list[Drawn]:
    """Draw two different operations, with their names and numbers.

    Source:
        Cubuk et al. 2020, arXiv:1909.13719, section 3; without inverting and solarising, after
        which photographs are hard to tell.
    """
    names = list(_RANDAUGMENT_OPERATIONS)
    chosen = rng.permutation(len(names))[:_RANDAUGMENT_STEPS].tolist()
    return [{"name": names[i], **(_RANDAUGMENT_OPERATIONS[names[i]](rng) or {})} for i in chosen]


@audio_policies.register("noise")
def audio_noise(rng: np.random.Generator) -> Drawn:
    """White noise 15 to 35 decibels under the recording."""
    return {"snr_db": _between(rng, 15.0, 35.0), "seed": _seed(rng)}


@audio_policies.register("gain")
def gain(rng: np.random.Generator) -> Drawn:
    """Up to 6 decibels louder or softer."""
    return {"db": _within(rng, 6.0)}


@audio_policies.register("shift")
def audio_shift(rng: np.random.Generator) -> Drawn:
    """Up to 50 milliseconds earlier or later."""
    return {"seconds": _within(rng, 0.05)}


@audio_policies.register("time_mask")
def time_mask(rng: np.random.Generator) -> Drawn:
    """Up to an eighth of the recording."""
    length = _between(rng, 0.0, 0.125)
    return {"start": _between(rng, 0.0, 1 - length), "length": length}


@audio_policies.register("frequency_mask")
def frequency_mask(rng: np.random.Generator) -> Drawn:
    """Up to an eighth of the mel scale."""
    width = _between(rng, 0.0, 0.125)
    low = _between(rng, 0.0, 1 - width)
    return {"low": low, "high": round(low + width, 4)}


@audio_policies.register("speed")
def speed(rng: np.random.Generator) -> Drawn:
    """A tenth faster or slower at most."""
    return {"factor": _between(rng, 0.9, 1.1)}


@timeseries_policies.register("jitter")
def jitter(rng: np.random.Generator) -> Drawn:
    """Up to a tenth of each channel's standard deviation."""
    return {"sigma": _between(rng, 0.0, 0.1), "seed": _seed(rng)}


@timeseries_policies.register("scale")
def scale(rng: np.random.Generator) -> Drawn:
    """Factors with a standard deviation of a tenth."""
    return {"sigma": 0.1, "seed": _seed(rng)}


@timeseries_policies.register("warp")
def warp(rng: np.random.Generator) -> Drawn:
    """Speeds with a standard deviation of a fifth."""
    return {"sigma": 0.2, "seed": _seed(rng)}


@text_policies.register("drop_word")
def drop_word(text: str, rng: np.random.Generator) -> str:
    """Leave one word out, unless it is the only one.

    >>> drop_word("alone", np.random.default_rng(0))
    'alone'
    """
    words = _words(text)
    if len(words) < 2:
        return text
    i = int(rng.integers(len(words)))
    start, end = words[i]
    if i == len(words) - 1:
        return text[: words[i - 1][1]] + text[end:]
    return text[:start] + text[words[i + 1][0] :]


@text_policies.register("swap_words")
def swap_words(text: str, rng: np.random.Generator) -> str:
    """Swap two neighbouring words.

    >>> swap_words("one  two", np.random.default_rng(0))
    'two  one'
    """
    words = _words(text)
    if len(words) < 2:
        return text
    i = int(rng.integers(len(words) - 1))
    (a, b), (c, d) = words[i], words[i + 1]
    return text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]


def with_synonym(text: str, rng: np.random.Generator, synonyms: Mapping[str, Sequence[str]]) -> str:
    """Replace one word that the table knows; its first letter stays as large as it was.

    >>> with_synonym("A Big cat!", np.random.default_rng(0), {"big": ("large",)})
    'A Large cat!'
    """
    known = [m.span() for m in re.finditer(r"\w+", text) if m.group().lower() in synonyms]
    if not known:
        return text
    start, end = known[int(rng.integers(len(known)))]
    word = text[start:end]
    choices = synonyms[word.lower()]
    chosen = choices[int(rng.integers(len(choices)))]
    if word[:1].isupper():
        chosen = chosen[:1].upper() + chosen[1:]
    return text[:start] + chosen + text[end:]


def _words(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\S+", text)]


def _within(rng: np.random.Generator, most: float) -> float:
    return _between(rng, -most, most)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return round(low + (high - low) * float(rng.random()), 4)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**32))
