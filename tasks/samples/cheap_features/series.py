"""Cheap features of windows of a time series: how each channel is spread, how fast it changes."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

N_SPECTRAL = 8
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def window_features(windows: NDArray[np.float32], channels: tuple[str, ...]) -> NDArray[np.float32]:
    """Return ``(n, d)`` features of windows ``(n, n_steps, n_channels)``; NaN for one of no values.

    Channels that are the axes of one sensor, such as ``acc_x``, ``acc_y`` and ``acc_z``, give one
    more: their length, which does not depend on how the sensor was held.
    """
    empty = np.isnan(windows).all(axis=(1, 2))
    lengths = [
        np.sqrt(np.square(windows[:, :, list(axes)]).sum(axis=2)) for axes in axes_of(channels)
    ]
    wide = np.concatenate([windows, *(each[:, :, None] for each in lengths)], axis=2)
    there = np.isfinite(wide)
    n_there = there.sum(axis=1)
    mean = np.where(there, wide, 0).sum(axis=1) / np.maximum(n_there, 1)
    level = np.where(there, wide, mean[:, None])
    centred = level - mean[:, None]
    spread = np.sqrt(np.square(centred).mean(axis=1))
    crossings = (np.diff(centred > 0, axis=1)).mean(axis=1) if wide.shape[1] > 1 else spread * 0
    quantiles = np.quantile(level, _QUANTILES, axis=1).transpose(1, 0, 2)
    change = np.sqrt(np.square(np.diff(level, axis=1, prepend=level[:, :1])).mean(axis=1))
    features = np.concatenate(
        [
            mean,
            spread,
            np.log10(spread + 1e-6),
            level.min(axis=1),
            level.max(axis=1),
            quantiles.reshape(len(wide), -1),
            crossings,
            np.log10(change + 1e-6),
            _spectral(centred).reshape(len(wide), -1),
            n_there / max(1, wide.shape[1]),
        ],
        axis=1,
    ).astype(np.float32)
    features[empty] = np.nan
    return features


def axes_of(channels: tuple[str, ...]) -> list[tuple[int, ...]]:
    """Return which channels are the axes of one sensor, by their names.

    >>> axes_of(("acc_x", "acc_y", "acc_z", "light", "gyrox", "gyroy"))
    [(0, 1, 2), (4, 5)]
    """
    by_sensor: dict[str, list[int]] = {}
    for place, channel in enumerate(channels):
        if channel[-1:].lower() in ("x", "y", "z"):
            by_sensor.setdefault(channel[:-1], []).append(place)
    return [tuple(places) for places in by_sensor.values() if len(places) > 1]


def _spectral(centred: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return ``(n, N_SPECTRAL, n_channels)`` the logarithm of the power in octaves of frequency."""
    power = np.square(np.abs(np.fft.rfft(centred, axis=1)))[:, 1:]
    n_lines = power.shape[1]
    edges = np.unique(np.geomspace(1, n_lines + 1, N_SPECTRAL + 1).astype(int) - 1)
    bands = [power[:, a:b].mean(axis=1) for a, b in pairwise(edges)]
    if not bands:
        return np.zeros((len(centred), 1, centred.shape[2]))
    return np.log10(np.stack(bands, axis=1) + 1e-6)
