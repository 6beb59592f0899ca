"""Numbers that are far from all others, in another unit, or out of declared limits.

What is usual is learnt from a sample of a column (all of it where it is short), with the median and
deviations from it, which a few wild values cannot move.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_VALUES = 20
MAX_OUTLIER_FRACTION = 0.01
MAD_TO_SIGMA = 1.4826
MEAN_DEVIATION_TO_SIGMA = 1.2533
_UNIT_FACTORS = (1e3, 1e6)
_MIN_JUMP_FRACTION = 0.002
_MAX_SPREAD = 0.75
"""Of the decades between two units: a group of values that spreads wider is no group."""


class Jump(NamedTuple):
    """Part of a column that looks as if it were in another unit.

    Attributes:
        factor: How many times larger the larger values are, 1,000 or 1,000,000.
        cut: The magnitude that parts the two.
        above: Whether the fewer values, which are told, are the larger ones.
        n: How many of the sample they are.
    """

    factor: float
    cut: float
    above: bool
    n: int


class Usual(NamedTuple):
    """What is usual in a column.

    Attributes:
        median: The middle value.
        low: Values under it are outliers; minus infinity where none are judged.
        high: Values over it are outliers.
        long_tails: Part of the sample that would be outliers, where that is too large a part.
        jump: A part in another unit.
    """

    median: float
    low: float
    high: float
    long_tails: float
    jump: Jump | None


def usual(sample: NDArray[np.float64], deviations: float) -> Usual | None:
    """Learn what is usual from finite values; None where there are too few or nearly no others.

    Args:
        sample: Values of the column, in any order.
        deviations: Robust standard deviations on either side that are usual.

    Source:
        Double median absolute deviation: Rosenmai 2013; the factors are those of a normal
        distribution (Rousseeuw and Croux 1993).
    """
    if len(sample) < MIN_VALUES or len(np.unique(sample[:10_000])) < 3:
        return None
    jump = unit_jump(sample)
    judged = sample if jump is None else sample[~in_other_unit(sample, jump)]
    median = float(np.median(judged))
    low = median - deviations * _deviation(median - judged[judged <= median])
    high = median + deviations * _deviation(judged[judged >= median] - median)
    beyond = float(((judged < low) | (judged > high)).mean())
    if beyond > MAX_OUTLIER_FRACTION:
        return Usual(median, -np.inf, np.inf, beyond, jump)
    return Usual(median, low, high, 0.0, jump)


def _deviation(distances: NDArray[np.float64]) -> float:
    """Return a robust deviation of distances; infinite where there is none to go by."""
    middle = MAD_TO_SIGMA * float(np.median(distances))
    if middle == 0:  # over half of the values are equal
        middle = MEAN_DEVIATION_TO_SIGMA * float(distances.mean())
    return middle if middle > 0 else np.inf


def unit_jump(sample: NDArray[np.float64]) -> Jump | None:
    """Find two groups of magnitudes that are a factor of 1,000 or 1,000,000 apart.

    >>> grams = np.concatenate([np.linspace(60, 90, 50), np.linspace(60_000, 90_000, 10)])
    >>> unit_jump(grams)
    Jump(factor=1000.0, cut=2323.79, above=True, n=10)
    """
    magnitudes = np.sort(np.log10(np.abs(sample[sample != 0])))
    if len(magnitudes) < MIN_VALUES:
        return None
    steps = np.diff(magnitudes)
    at = int(steps.argmax()) + 1
    smaller, larger = magnitudes[:at], magnitudes[at:]
    n_fewer = min(len(smaller), len(larger))
    if n_fewer < max(3, _MIN_JUMP_FRACTION * len(magnitudes)):
        return None
    apart = float(np.median(larger) - np.median(smaller))
    for factor in _UNIT_FACTORS:
        decades = np.log10(factor)
        near = abs(apart - decades) < 0.15
        narrow = max(np.ptp(smaller), np.ptp(larger)) < _MAX_SPREAD * decades
        if near and narrow and steps[at - 1] > 0.3 * decades:
            cut = float(f"{10 ** ((smaller[-1] + larger[0]) / 2):.6g}")
            return Jump(factor, cut, len(larger) <= len(smaller), n_fewer)
    return None


def in_other_unit(values: NDArray[np.float64], jump: Jump) -> NDArray[np.bool_]:
    """Tell which values are of the part that looks as if it were in another unit."""
    magnitudes = np.abs(values)
    if jump.above:
        return np.asarray(magnitudes > jump.cut)
    return np.asarray((magnitudes < jump.cut) & (magnitudes > 0))
