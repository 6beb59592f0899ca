"""Cheap features of recordings: loudness in bands, how it changes, and a coarse picture of it.

Source:
    Davis and Mermelstein 1980, Comparison of Parametric Representations for Monosyllabic Word
    Recognition, IEEE TASSP 28(4), section II, for bands on the mel scale.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np
import soxr
from numpy.typing import NDArray

from tasks.samples.decoding import Recording, Undecodable, decode_audio

RATE_HZ = 16_000
MOST_SECONDS = 10.0
FRAME, HOP = 400, 200
N_FFT = 512
N_BANDS = 40
N_MOMENTS = 12
N_FEATURES = 4 * N_BANDS + N_MOMENTS * N_BANDS // 2 + 2


def recording_features(content: bytes) -> NDArray[np.float32]:
    """Return ``(N_FEATURES,)`` features of a recording's first seconds; NaN if it is unreadable."""
    try:
        recording = decode_audio(content)
    except Undecodable:
        return np.full(N_FEATURES, np.nan, dtype=np.float32)
    picture = log_mel(recording)
    change = np.diff(picture, axis=0) if len(picture) > 1 else np.zeros_like(picture)
    return np.concatenate(
        [
            picture.mean(axis=0),
            picture.std(axis=0),
            change.mean(axis=0) * 10,
            change.std(axis=0),
            _coarse(picture).ravel() / 2,
            [np.log10(1e-3 + recording.seconds), picture.max()],
        ],
        dtype=np.float32,
    )


def log_mel(recording: Recording) -> NDArray[np.float32]:
    """Return ``(n_frames, N_BANDS)`` the logarithm of the energy in each band, 80 a second."""
    samples = recording.samples[: int(MOST_SECONDS * recording.rate_hz)]
    if recording.rate_hz != RATE_HZ:
        samples = soxr.resample(samples, recording.rate_hz, RATE_HZ, quality="MQ")
    samples = np.pad(samples, (0, max(0, FRAME - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    spectrum = np.fft.rfft(frames * _window(), N_FFT)
    energy = np.square(np.abs(spectrum)) @ _bands()
    return np.asarray(np.log10(energy + 1e-6), dtype=np.float32)


def _coarse(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``(N_MOMENTS, N_BANDS // 2)``: the part that sounds, in equal stretches of time."""
    loud = picture.max(axis=1)
    sounding = np.flatnonzero(loud > loud.max() - 2.5)
    part = picture[sounding[0] : sounding[-1] + 1]
    edges = np.linspace(0, len(part), N_MOMENTS + 1)
    rows = [
        part[int(a) : max(int(a) + 1, int(np.ceil(b)))].mean(axis=0) for a, b in pairwise(edges)
    ]
    grid = np.stack(rows).reshape(N_MOMENTS, N_BANDS // 2, 2).mean(axis=2)
    return np.asarray(grid - grid.mean(), dtype=np.float32)


@lru_cache(maxsize=1)
def _window() -> NDArray[np.float32]:
    return np.hanning(FRAME).astype(np.float32)


@lru_cache(maxsize=1)
def _bands() -> NDArray[np.float32]:
    """Return ``(N_FFT // 2 + 1, N_BANDS)`` triangles, evenly spaced on the mel scale."""
    top = 1127 * np.log1p(RATE_HZ / 2 / 700)
    corners = 700 * np.expm1(np.linspace(1127 * np.log1p(60 / 700), top, N_BANDS + 2) / 1127)
    hertz = np.fft.rfftfreq(N_FFT, 1 / RATE_HZ)[:, None]
    rising = (hertz - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - hertz) / (corners[2:] - corners[1:-1])
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None), dtype=np.float32)
