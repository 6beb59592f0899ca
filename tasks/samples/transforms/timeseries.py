"""Changes to a window of a time series, ``(n_steps, n_channels)``, NaN where there is no value.

Source of all three:
    Um et al. 2017, arXiv:1706.00527, section 3.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tasks.registry import Registry

Window = NDArray[np.float32]

timeseries_transforms: Registry[Callable[..., Window]] = Registry("time-series transform")

_WARP_KNOTS = 4


@timeseries_transforms.register("jitter")
def jitter_window(window: Window, sigma: float, seed: int) -> Window:
    """Add white noise to each channel, ``sigma`` times its standard deviation in the window."""
    there = ~np.isnan(window)
    n = np.maximum(there.sum(axis=0), 1)
    values = np.where(there, window, 0).astype(np.float64)
    mean = values.sum(axis=0) / n
    spread = np.sqrt((np.square(values - mean) * there).sum(axis=0) / n)
    noise = np.random.default_rng(seed).standard_normal(window.shape)
    return np.asarray(window + sigma * spread * noise, dtype=np.float32)


@timeseries_transforms.register("scale")
def scale_window(window: Window, sigma: float, seed: int) -> Window:
    """Multiply each channel by a factor around 1 with the standard deviation ``sigma``."""
    factors = 1 + sigma * np.random.default_rng(seed).standard_normal(window.shape[1])
    return np.asarray(window * factors, dtype=np.float32)


@timeseries_transforms.register("warp")
def warp_window(window: Window, sigma: float, seed: int) -> Window:
    """Let time run faster and slower along the window, for all channels alike.

    The speed is drawn at a few points, 1 with the standard deviation ``sigma``, and runs smoothly
    between them; start and end stay where they are. Values beside a gap become a part of it.
    """
    n_steps = len(window)
    if n_steps < 3:
        return window
    drawn = 1 + sigma * np.random.default_rng(seed).standard_normal(_WARP_KNOTS)
    knots = np.linspace(0, 1, _WARP_KNOTS)
    at = (np.arange(n_steps - 1) + 0.5) / (n_steps - 1)
    speed = np.interp(at, knots, np.maximum(drawn, 0.1))
    passed = np.concatenate([[0.0], np.cumsum(speed)])
    source = (passed * ((n_steps - 1) / passed[-1])).clip(0, n_steps - 1)
    before = np.minimum(source.astype(np.int64), n_steps - 2)
    part = (source - before)[:, None]
    below, above = window[before], window[before + 1]
    # A weight of zero times NaN would be NaN.
    mixed = np.where(
        part == 0, below, np.where(part == 1, above, (1 - part) * below + part * above)
    )
    return np.asarray(mixed, dtype=np.float32)
