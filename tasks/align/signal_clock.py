"""How far one sensor's clock is ahead of another's, and how fast it drifts, from what both saw.

Both recordings become one signal each on a common grid. The left one is cut into parts, and each is
correlated with the whole right one (by FFT). If the right clock is ahead by ``o`` and gains ``d``,
the part around time ``t`` correlates best at the lag ``o + d t``: the correlations of all parts are
summed along such lines, over all offsets and drifts that are allowed, and the best line is refined
to a small part of a sample. How far it stands out from all other lags is the score.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tasks.align.matching import Rows
from tasks.align.recordings import Recording

MOST_STEPS = 2**20
"""Longer recordings are correlated at a lower rate."""

MOST_PARTS = 64
PART_SECONDS = 20.0
FEWEST_STEPS = 64
LEAST_OVERLAP = 0.1
"""Part of the shorter recording that both must have seen for a lag to be tried."""

SLOW_SECONDS = 4.0
"""Changes slower than this are taken out: gravity, temperature, the sensor's own drift."""

HIGHEST = 4.0
"""In standard deviations; rarer values count as this, so that one bump does not decide."""

MOST_DRIFTS = 801
CURVE_POINTS = 400
POOLED_LAGS = 4_001

Signal = NDArray[np.float64]


@dataclass(frozen=True)
class SignalClock:
    """How far the right clock is ahead of the left one.

    Attributes:
        offset_seconds: At ``at_seconds``: what to subtract from the right clock to get the left.
        drift_ppm: How fast the right clock gains on the left, in millionths.
        at_seconds: Seconds since 1970 by the left clock: the middle of what both saw.
        score: How far the agreement stands out from that at all other lags: about the standard
            normal deviate of the best one among so many, less where another is nearly as good.
            Unrelated signals seldom pass 3.
        overlap_seconds: How long both sensors saw the same.
        curve: ``(2, n)`` offsets in seconds, and the agreement at each in standard deviations.
    """

    offset_seconds: float
    drift_ppm: float
    at_seconds: float
    score: float
    overlap_seconds: float
    curve: Signal = field(default_factory=lambda: np.zeros((2, 0)), repr=False, compare=False)

    def to_left(self, right: Rows) -> Rows:
        """Return times of the right clock, in microseconds, by the left one."""
        at = round(self.at_seconds * 1e6)
        since = right - at - round(self.offset_seconds * 1e6)
        drift = self.drift_ppm / 1e6
        return np.asarray(right - round(self.offset_seconds * 1e6)) - np.round(
            since * (drift / (1 + drift))
        ).astype(np.int64)


class PooledCurve:
    """What the curves of all recordings say together.

    Recordings too short or too even to tell by themselves often can together, if one offset holds
    for all of them. If each has its own, the sum has no peak, and its score says so.
    """

    def __init__(self, max_offset_seconds: float) -> None:
        self._lags = np.linspace(-max_offset_seconds, max_offset_seconds, POOLED_LAGS)
        self._sum = np.zeros(POOLED_LAGS)
        self._n = np.zeros(POOLED_LAGS)

    def add(self, clock: SignalClock) -> SignalClock:
        """Add a recording's curve, and return the clock with what of it is worth drawing."""
        lags, heights = clock.curve
        if len(lags) < 2:
            return clock
        reached = (self._lags >= lags[0]) & (self._lags <= lags[-1])
        self._sum += np.where(reached, np.interp(self._lags, lags, heights), 0.0)
        self._n += reached
        near = np.argsort(np.abs(lags - clock.offset_seconds), kind="stable")[:CURVE_POINTS]
        return replace(clock, curve=clock.curve[:, np.sort(near)])

    def clock(self) -> SignalClock:
        """Return the offset that fits all recordings best; a curve's height has deviation 1."""
        allowed = self._n >= max(1.0, 0.5 * self._n.max())
        total = self._sum / np.sqrt(np.maximum(self._n, 1))
        peak = int(np.argmax(np.where(allowed, total, -np.inf)))
        score, _, _ = peak_score(total, allowed, peak, 1, deviation=1.0)
        curve = np.stack([self._lags, total])[:, allowed]
        lag = self._lags[peak]
        if 0 < peak < POOLED_LAGS - 1:
            before, top, after = total[peak - 1 : peak + 2]
            bend = before - 2 * top + after
            lag += (self._lags[1] - self._lags[0]) * (0.5 * (before - after) / bend if bend else 0)
        return SignalClock(float(lag), 0.0, 0.0, score, 0.0, curve)


def estimate_signal_clock(
    left: Recording, right: Recording, max_offset_seconds: float, max_drift_ppm: float
) -> SignalClock:
    """Estimate offset and drift between the clocks of two sensors that saw the same movements.

    Args:
        left: Readings by the left clock.
        right: Readings by the right clock; rates, channels and units may differ.
        max_offset_seconds: Offsets up to this one, ahead and behind, are tried.
        max_drift_ppm: Drifts up to this one, either way, are tried. Where so much could not shift
            the clock by a step in the time that both saw, none is looked for.
    """
    nothing = SignalClock(0.0, 0.0, 0.0, 0.0, 0.0)
    if min(len(left.times), len(right.times)) < FEWEST_STEPS:
        return nothing
    found = _estimate(left, right, max_offset_seconds, max_drift_ppm)
    if found is None or found.score <= 0 or not found.drift_ppm:
        return found or nothing
    # Once more by the corrected clock: parts no longer smear, and lags are whole again.
    straight = right.moved(found.to_left)
    rest = _estimate(left, straight, 1.0, max(20.0, 0.1 * max_drift_ppm))
    if rest is None:
        return found
    drift = (1 + found.drift_ppm / 1e6) * (1 + rest.drift_ppm / 1e6) - 1
    moved = (1 + found.drift_ppm / 1e6) * rest.offset_seconds
    moved += found.drift_ppm / 1e6 * (rest.at_seconds - found.at_seconds)
    return SignalClock(
        found.offset_seconds + moved,
        drift * 1e6,
        rest.at_seconds,
        found.score,
        found.overlap_seconds,
        found.curve,
    )


def _estimate(
    left: Recording, right: Recording, max_offset: float, max_drift_ppm: float
) -> SignalClock | None:
    step = grid_step(left, right)
    start = int(left.times[0])
    signed = left.values.shape[1] == right.values.shape[1] == 1
    x = signal_of(left, start, step, signed)
    shift = int(np.floor((right.times[0] - start) / 1e6 / step))  # steps from left to right start
    y = signal_of(right, start + round(shift * step * 1e6), step, signed)
    if min(len(x.values), len(y.values)) < FEWEST_STEPS:
        return None
    reach = int(np.ceil(max_offset / step)) + 1
    parts = part_edges(len(x.values), step)
    lags = np.arange(-reach, reach + 1)
    sums, weights, centres = [], [], []
    for first, last in parts:
        # right index = left index + lag - shift
        total, n = correlated(x, y, first, last, lags - shift)
        sums.append(total)
        weights.append(n)
        centres.append((first + last) / 2)
    c, n = np.asarray(sums), np.asarray(weights)
    overlap = n.sum(axis=0)
    fewest = max(FEWEST_STEPS, LEAST_OVERLAP * min(x.known.sum(), y.known.sum()))
    allowed = (overlap >= fewest) & (np.abs(lags * step) <= max_offset + step)
    if not allowed.any():
        return None
    scale = np.sqrt(np.maximum(overlap, fewest))

    best_lag = int(np.argmax(np.where(allowed, c.sum(axis=0) / scale, -np.inf)))
    seen = n[:, best_lag] > 0
    middle = float(np.average(np.asarray(centres), weights=np.maximum(n[:, best_lag], 1e-9)))
    since = np.asarray(centres) - middle
    span = max(float(np.ptp(since[seen])) if seen.any() else 0.0, 1.0)
    drifts = drift_grid(max_drift_ppm / 1e6, span)
    stacks = np.stack([stacked(c, since * drift) / scale for drift in drifts])
    stacks = np.where(allowed, stacks, -np.inf)
    at_drift, at_lag = np.unravel_index(int(np.argmax(stacks)), stacks.shape)
    score, deviation, centre = peak_score(stacks[at_drift], allowed, int(at_lag), len(drifts))
    lag, drift = refined(
        c,
        since,
        float(at_lag),
        float(drifts[at_drift]),
        drifts[1] - drifts[0] if len(drifts) > 1 else 0.0,
    )
    curve = np.stack([lags * step, (stacks[at_drift] - centre) / deviation])[:, allowed]
    return SignalClock(
        offset_seconds=(lag - reach) * step,
        drift_ppm=drift * 1e6,
        at_seconds=start / 1e6 + middle * step,
        score=score,
        overlap_seconds=float(n[:, int(at_lag)].sum()) * step,
        curve=curve,
    )


@dataclass(frozen=True)
class GridSignal:
    """One signal on an even grid.

    Attributes:
        values: ``(n,)`` mean 0 and deviation 1 where known, 0 elsewhere.
        known: ``(n,)`` whether the sensor read there.
    """

    values: Signal
    known: NDArray[np.bool_]


def grid_step(left: Recording, right: Recording) -> float:
    """Return the seconds between steps: those of the slower sensor, or more for long recordings."""
    longest = max(left.times[-1] - left.times[0], right.times[-1] - right.times[0]) / 1e6
    return float(
        max(left.period, right.period, 1.0) / 1e6 + 0.0
        if longest <= 0
        else max(max(left.period, right.period) / 1e6, longest / MOST_STEPS)
    )


def signal_of(recording: Recording, start: int, step: float, signed: bool) -> GridSignal:
    """Turn a recording into one signal that does not depend on how the sensor was held.

    Each channel is freed of slow changes, and the length of all together is taken, which a turned
    sensor sees alike.

    Args:
        recording: The readings.
        start: When the grid starts, in microseconds.
        step: Seconds between steps.
        signed: Take the one channel there is as it is, where both sensors have but one.
    """
    n = int((recording.times[-1] - start) / 1e6 / step) + 1
    at = start + np.round(np.arange(n) * step * 1e6).astype(np.int64)
    seconds = (recording.times - start) / 1e6
    gap = max(3 * recording.period, 3e6 * step)
    channels, known = [], np.zeros(n, dtype=bool)
    for channel in recording.values.T:
        finite = np.isfinite(channel)
        if finite.sum() < FEWEST_STEPS:
            continue
        times = recording.times[finite]
        after = np.searchsorted(times, at).clip(1, len(times) - 1)
        inside = (times[after] - times[after - 1] <= gap) & (at >= times[0]) & (at <= times[-1])
        values = np.interp((at - start) / 1e6, seconds[finite], channel[finite])
        values = np.where(inside, values, np.nan)
        channels.append(standardised(without_slow(values, step)))
        known |= inside
    if not channels:
        return GridSignal(np.zeros(n), known)
    if signed:
        return GridSignal(np.nan_to_num(channels[0]), known)
    length = np.sqrt(np.nansum(np.square(channels), axis=0))
    length = np.where(known, length, np.nan)
    return GridSignal(np.nan_to_num(standardised(without_slow(length, step))), known)


def without_slow(values: Signal, step: float) -> Signal:
    """Subtract the mean of the seconds around each step."""
    half = max(1, round(SLOW_SECONDS / step / 2))
    known = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    at = np.arange(len(values))
    low, high = (at - half).clip(0), (at + half + 1).clip(max=len(values))
    return np.asarray(values - (total[high] - total[low]) / np.maximum(count[high] - count[low], 1))


def standardised(values: Signal) -> Signal:
    """Scale to mean 0 and deviation 1, rare extremes cut off; all 0 where nothing changes."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros_like(values)
    middle, spread = values[known].mean(), values[known].std()
    if spread <= 1e-12 * max(1.0, abs(middle)):
        return np.where(known, 0.0, np.nan)
    return np.asarray(((values - middle) / spread).clip(-HIGHEST, HIGHEST))


def part_edges(n_steps: int, step: float) -> list[tuple[int, int]]:
    """Part a recording into pieces of some seconds, as even as they can be."""
    n_parts = int(np.clip(n_steps * step / PART_SECONDS, 1, MOST_PARTS))
    edges = np.linspace(0, n_steps, n_parts + 1).round().astype(int)
    return [(int(a), int(b)) for a, b in pairwise(edges)]


def correlated(
    x: GridSignal, y: GridSignal, first: int, last: int, lags: Rows
) -> tuple[Signal, Signal]:
    """Correlate a part of ``x`` with ``y`` at whole lags (consecutive), by FFT.

    Returns:
        ``(n_lags,)`` sums of products, and how many products each is a sum of.
    """
    low, high = first + int(lags[0]), last + int(lags[-1])
    window = np.zeros(high - low)
    mask = np.zeros(high - low)
    inside = slice(max(low, 0), min(high, len(y.values)))
    if inside.stop > inside.start:
        window[inside.start - low : inside.stop - low] = y.values[inside]
        mask[inside.start - low : inside.stop - low] = y.known[inside]
    size = 1 << int(np.ceil(np.log2(len(window) + 1)))
    part, known = x.values[first:last], x.known[first:last].astype(np.float64)
    total = np.fft.irfft(np.fft.rfft(window, size) * np.conj(np.fft.rfft(part, size)), size)
    count = np.fft.irfft(np.fft.rfft(mask, size) * np.conj(np.fft.rfft(known, size)), size)
    return total[: len(lags)], np.round(count[: len(lags)])


def drift_grid(most: float, span: float) -> Signal:
    """Return drifts to try, so close that the ends of ``span`` steps move by half a step each.

    Only 0 where even the most moves no end by a step.
    """
    if most * span / 2 < 1:
        return np.zeros(1)
    n = int(min(MOST_DRIFTS // 2, np.ceil(most * span)))
    return np.linspace(-most, most, 2 * n + 1)


def stacked(curves: Signal, shifts: Signal) -> Signal:
    """Sum curves ``(n_parts, n_lags)``, each read ``shifts`` further on (to the nearest lag)."""
    n_lags = curves.shape[1]
    total = np.zeros(n_lags)
    for curve, shift in zip(curves, np.round(shifts).astype(int), strict=True):
        if abs(shift) >= n_lags:
            continue
        if shift >= 0:
            total[: n_lags - shift] += curve[shift:]
        else:
            total[-shift:] += curve[:shift]
    return total


def peak_score(
    stack: Signal,
    allowed: NDArray[np.bool_],
    peak: int,
    n_drifts: int,
    deviation: float | None = None,
) -> tuple[float, float, float]:
    """Return how far a peak stands out, and the deviation and centre of the other lags.

    The deviate is brought down by what the best of so many lags has by chance, and by how nearly
    the best lag outside the peak's own hill comes up to it.
    """
    values = stack[allowed]
    centre = float(np.median(values))
    if deviation is None:
        deviation = 1.4826 * float(np.median(np.abs(values - centre)))
    if deviation <= 0:
        return 0.0, 1.0, centre
    height = (float(stack[peak]) - centre) / deviation
    hill = np.zeros(len(stack), dtype=bool)
    above = np.where(allowed, stack, -np.inf) > centre
    low = peak - int(np.argmin(np.append(above[peak::-1], False))) + 1
    high = peak + int(np.argmin(np.append(above[peak:], False)))
    hill[max(0, low) : high] = True
    elsewhere = allowed & ~hill
    if height <= 0 or not elsewhere.any():
        return 0.0, deviation, centre
    runner_up = max(0.0, (float(stack[elsewhere].max()) - centre) / deviation / height)
    n_tried = max(2.0, allowed.sum() / max(1, hill.sum()) * n_drifts)
    surprise = height**2 - 2 * np.log(n_tried)
    return float(np.sqrt(max(0.0, surprise)) * max(0.0, 1 - runner_up)), deviation, centre


def refined(
    curves: Signal, since: Signal, lag: float, drift: float, drift_step: float
) -> tuple[float, float]:
    """Move lag and drift to the top of the summed curves, to a small part of a step.

    Curves are read between lags by cubic interpolation; the search narrows by halves.
    """
    span = max(1.0, float(np.abs(since).max()))
    lag_step, drift_step = 0.5, (drift_step or 0.0) / 2
    for _ in range(12):
        offsets = lag + lag_step * np.arange(-2, 3)
        drifts = drift + drift_step * np.arange(-2, 3) if drift_step else np.asarray([drift])
        at = offsets[:, None, None] + drifts[None, :, None] * since[None, None, :]
        total = _read_between(curves, at).sum(axis=-1)
        i, j = np.unravel_index(int(np.argmax(total)), total.shape)
        lag, drift = float(offsets[i]), float(drifts[j])
        if i in (1, 2, 3) and (not drift_step or j in (1, 2, 3)):
            lag_step, drift_step = lag_step / 2, drift_step / 2
        if lag_step < 1e-3 and drift_step * span < 1e-3:
            break
    return lag, drift


def _read_between(curves: Signal, at: Signal) -> Signal:
    """Read each curve between its lags (Catmull-Rom); ``at`` is ``(..., n_parts)``."""
    n_lags = curves.shape[1]
    whole = np.floor(at).astype(int).clip(1, n_lags - 3) if n_lags > 4 else np.zeros(at.shape, int)
    if n_lags <= 4:
        nearest = at.round().astype(int).clip(0, n_lags - 1)
        return np.asarray(curves[np.arange(len(curves)), nearest])
    part = np.clip(at - whole, 0.0, 1.0)
    rows = np.arange(len(curves))
    a, b, c, d = (curves[rows, whole + k] for k in (-1, 0, 1, 2))
    return np.asarray(
        b + 0.5 * part * (c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a)))
    )
