"""Find recordings of the same sound: louder, resampled, compressed, with noise, a little shifted.

A small picture of each recording shows how the energy in bands of pitch changes over its length.
It is compared as the small pictures of images are, with small shifts in time in place of crops.
A part of a longer recording is not found.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tasks.clean.near_duplicates.grouping import Grouping, Places, grouped, hamming_tables
from tasks.clean.near_duplicates.pictures import SIDE, Form, codes, likeness, portions
from tasks.samples.decoding import Recording

AUDIO_SKETCH = np.dtype([("light", np.uint8, (SIDE, SIDE)), ("seconds", np.float32)])
"""Energy in 32 bands (from low to high) at 32 times, and the length of the recording."""

LOWEST_HZ, HIGHEST_HZ = 200.0, 3400.0
"""Heard in nearly every recording, whatever its rate and however it was compressed."""

LOUDNESS_RANGE_DB = 40.0
FRAME_SECONDS = 0.064
DISTANCE_BITS = 4
MIN_CORRELATION, MAX_APART = 0.985, 1.0
MIN_HOPEFUL_CORRELATION = 0.94
MAX_LENGTH_RATIO = 1.1
_MOST_FRAMES = 2048
_PAIRS_AT_ONCE = 1024

_SHIFTS = tuple(Form(columns=(by / 80, 1 + by / 80)) for by in range(-6, 7))
"""Up to 7.5 % of the length to either side."""

_CUTS = tuple(
    Form(columns=(start, end))
    for by in (0.0175, 0.035, 0.0525)
    for start, end in ((by, 1), (0, 1 - by))
)
"""A little missing at the start or the end of the other."""

_FORMS = (Form(), *(_SHIFTS[i] for i in (0, 2, 4, 8, 10, 12)), *_CUTS)

Sketch = NDArray[np.void]
Sketches = Callable[[Places], Sketch]
"""Returns the sketches at some places."""


def audio_sketch(recording: Recording) -> NDArray[np.void]:
    """Return the small picture of a recording, of type :data:`AUDIO_SKETCH`.

    Source:
        Haitsma, Kalker 2002, "A highly robust audio fingerprinting system": the energy in bands
        between 300 and 2,000 Hz, compared over time and pitch; here pooled to a fixed size.
    """
    energy = _energy(recording)
    loudness = 10.0 * np.log10(np.maximum(energy, 1e-12))
    level = (loudness - loudness.max() + LOUDNESS_RANGE_DB) / LOUDNESS_RANGE_DB
    sketch = np.zeros((), AUDIO_SKETCH)
    sketch["light"] = np.clip(level * 255.0, 0.0, 255.0).round()
    sketch["seconds"] = recording.seconds
    return sketch


def _energy(recording: Recording) -> NDArray[np.float64]:
    """Return the mean energy ``(32 bands, 32 times)``, from 32 equal parts of the sound."""
    samples = recording.samples
    width = max(16, round(FRAME_SECONDS * recording.rate_hz))
    hop = max(1, width // 4, len(samples) // _MOST_FRAMES)
    padded = np.pad(samples, (width // 2, width // 2 + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, width)[::hop][
        : len(samples) // hop + 1
    ]
    spectrum = np.fft.rfft(frames * _window(width), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) @ _bands(width, recording.rate_hz).T
    return _pooled(power).T


@lru_cache(maxsize=16)
def _window(width: int) -> NDArray[np.float32]:
    return np.asarray(np.hanning(width), np.float32)


@lru_cache(maxsize=16)
def _bands(width: int, rate_hz: int) -> NDArray[np.float64]:
    """Return the share of each frequency in each band ``(32, n)``; bands overlap by half."""
    frequencies = np.fft.rfftfreq(width, 1 / rate_hz).astype(np.float64)
    mel = np.linspace(_mel(LOWEST_HZ), _mel(min(HIGHEST_HZ, rate_hz / 2)), SIDE + 2)
    at = _mel(frequencies)
    rising = (at - mel[:-2, None]) / (mel[1:-1] - mel[:-2])[:, None]
    falling = (mel[2:, None] - at) / (mel[2:] - mel[1:-1])[:, None]
    shares = np.clip(np.minimum(rising, falling), 0.0, None)
    # A band between two frequencies of a coarse spectrum takes the nearest of them.
    empty = np.flatnonzero(shares.sum(axis=1) == 0)
    shares[empty, np.abs(at - mel[1:-1][empty, None]).argmin(axis=1)] = 1.0
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _mel(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0))


def _pooled(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over 32 equal parts of the time axis ``(32, n_bands)``."""
    n = len(power)
    total = np.vstack([np.zeros(power.shape[1]), np.cumsum(power, axis=0)])
    edges = np.linspace(0, n, SIDE + 1)
    whole = np.minimum(edges.astype(int), n - 1)
    up_to = total[whole] + (edges - whole)[:, None] * power[whole]
    return np.asarray(np.diff(up_to, axis=0) / (n / SIDE))


def group_recordings(n: int, sketches: Sketches, distance: int = DISTANCE_BITS) -> Grouping:
    """Group recordings of the same sound.

    Args:
        n: How many recordings there are.
        sketches: Their small pictures, by place.
        distance: The most bits of 64 in which the codes of a pair may differ.
    """
    item_codes = np.zeros((len(_FORMS), n), np.uint64)
    for part in portions(n):
        light = sketches(np.arange(part.start, part.stop))["light"].astype(np.float32)
        for which, form in enumerate(_FORMS):
            item_codes[which, part] = codes(light, form)
    all_codes = item_codes.ravel()
    owners = np.tile(np.arange(n), len(_FORMS))

    def near(left: Places, right: Places) -> NDArray[np.bool_]:
        answer = np.asarray(np.bitwise_count(all_codes[left] ^ all_codes[right]) <= distance)
        likely = np.flatnonzero(answer)
        for at in range(0, len(likely), _PAIRS_AT_ONCE):
            some = likely[at : at + _PAIRS_AT_ONCE]
            one, other = sketches(owners[left[some]]), sketches(owners[right[some]])
            answer[some] = hopeful(one, other, right[some] // n)
            some = some[answer[some]]
            if len(some):
                one, other = sketches(owners[left[some]]), sketches(owners[right[some]])
                answer[some] = same_sound(one, other)
        return answer

    return grouped(hamming_tables(all_codes, distance), owners, near)


def hopeful(one: Sketch, other: Sketch, form_of: Places) -> NDArray[np.bool_]:
    """Tell which pairs are worth a closer look: of about the same length, and not unlike."""
    lengths = np.sort(np.stack([one["seconds"], other["seconds"]]), axis=0)
    shown = other["light"].astype(np.float32)
    for which in np.unique(form_of[form_of > 0]).tolist():
        here = np.flatnonzero(form_of == which)
        shown[here] = _FORMS[which].of(shown[here])
    correlation, _ = likeness(one["light"].astype(np.float32), shown)
    return np.asarray(
        (lengths[1] <= MAX_LENGTH_RATIO * lengths[0]) & (correlation >= MIN_HOPEFUL_CORRELATION)
    )


def same_sound(one: Sketch, other: Sketch) -> NDArray[np.bool_]:
    """Tell which pairs are of the same sound, a little shifted or cut perhaps."""
    same = np.zeros(len(one), bool)
    a, b = one["light"].astype(np.float32), other["light"].astype(np.float32)
    for form in (*_SHIFTS, *_CUTS):
        for whole, changed in ((a, form.of(b)), (b, form.of(a))):
            correlation, apart = likeness(whole, changed)
            same |= (correlation >= MIN_CORRELATION) & (apart <= MAX_APART)
    return same
