"""How far one clock is ahead of another, and how fast it drifts, from events that both saw.

The differences of all pairs of events within reach are counted in fine bins. Pairs that are one
event seen twice pile up at the offset; all others spread out evenly. How far the pile stands out
is the score.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

BIN_SECONDS = 0.01
MOST_BINS = 2**20
MOST_PAIRS = 20_000_000
CHUNK_PAIRS = 2_000_000
WINDOWS_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
FEWEST_EVENTS = 3
FEWEST_FOR_DRIFT = 8
MOST_PARTS = 256
MOST_DRIFTS = 401

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class ClockOffset:
    """How far the right clock is ahead of the left one.

    Attributes:
        offset_seconds: Subtract it from the right clock's times to get the left one's.
        score: How far the agreement at this offset stands out: about the standard normal deviate
            of the best peak, counted over every offset that was tried, and brought down where
            another offset agrees nearly as well. Unrelated clocks seldom pass 3.
        n_events: Events that both clocks saw at this offset.
        drift_ppm: How fast the right clock gains on the left, in millionths.
        at_seconds: The left time at which it is ahead by ``offset_seconds``.
    """

    offset_seconds: float
    score: float
    n_events: int
    drift_ppm: float = 0.0
    at_seconds: float = 0.0

    def since(self, start_seconds: float) -> "ClockOffset":
        """Return the same clock, its times counted from ``start_seconds`` earlier."""
        return replace(self, at_seconds=self.at_seconds + start_seconds)

    def to_left(self, right_seconds: Seconds) -> Seconds:
        """Return times of the right clock by the left one.

        >>> clock = ClockOffset(2.0, 9.0, 8, drift_ppm=1000.0, at_seconds=100.0)
        >>> clock.to_left(np.array([102.0, 1103.0])).round(6).tolist()
        [100.0, 1100.0]
        """
        drift = self.drift_ppm / 1e6
        since = right_seconds - self.offset_seconds - self.at_seconds
        return np.asarray(self.at_seconds + since / (1 + drift), dtype=np.float64)


def estimate_clock_offset(
    left_seconds: Seconds,
    right_seconds: Seconds,
    max_offset_seconds: float,
    max_drift_ppm: float = 0.0,
    windows_seconds: tuple[float, ...] = WINDOWS_SECONDS,
    most_pairs: int = MOST_PAIRS,
) -> ClockOffset:
    """Estimate offset and drift between two clocks that saw mostly the same events.

    Events may be missing on either side and their times may jitter; the order does not matter.
    Memory does not grow with the number of pairs: they are counted in chunks, and where there are
    more than ``most_pairs`` an evenly drawn part of the left events stands for all.

    Args:
        left_seconds: ``(n_left,)`` times of events by the left clock; nulls left out.
        right_seconds: ``(n_right,)`` times of events by the right clock.
        max_offset_seconds: Offsets up to this one, ahead and behind, are tried.
        max_drift_ppm: Drifts up to this one, either way, are tried.
        windows_seconds: Widths of the peak to try, since the jitter is not known.
        most_pairs: Pairs to look at.

    >>> left = np.array([1.0, 3.5, 4.2, 9.9, 12.1, 17.3, 18.8, 25.0])
    >>> found = estimate_clock_offset(left, left + 2.5, max_offset_seconds=10.0)
    >>> round(found.offset_seconds, 3), found.n_events
    (2.5, 8)
    """
    left, right = np.unique(left_seconds), np.unique(right_seconds)
    if min(len(left), len(right)) < FEWEST_EVENTS:
        return ClockOffset(0.0, 0.0, 0)
    width = max(BIN_SECONDS, 2 * max_offset_seconds / MOST_BINS)
    reach = max_offset_seconds + max(windows_seconds)
    middle = float(left[0] + left[-1]) / 2
    parts = parts_of(left, max_drift_ppm / 1e6, windows_seconds)
    counts = np.stack(
        [count_differences(p, right, reach, width, max(1, most_pairs // len(parts))) for p in parts]
    )
    since = np.asarray([float(part[0] + part[-1]) / 2 - middle for part in parts])
    drifts = drifts_to_try(max_drift_ppm / 1e6, since, width)
    fine_enough = max(median_gap(left), median_gap(right))
    lags = np.asarray((np.arange(counts.shape[1]) + 0.5) * width - reach, dtype=np.float64)
    allowed = np.abs(lags) <= max_offset_seconds + width

    best = (-1.0, 0.0, 0.0, 0.0)
    for drift in drifts:
        total = straightened(counts, np.round(since * drift / width).astype(int))
        for window in windows_seconds:
            if window <= fine_enough or window == min(windows_seconds):
                n_window = max(1, round(window / width))
                score, lag = _peak(total, lags, allowed, n_window, len(drifts))
                best = max(best, (score, lag, window, float(drift)), key=lambda found: found[0])
    score, lag, window, drift = best
    straight = ClockOffset(lag, score, 0, drift * 1e6, middle).to_left(right)
    extra, n_events = refine_offset(left, straight, 0.0, window)
    found = ClockOffset(lag + extra * (1 + drift), score, n_events, drift * 1e6, middle)
    return refined_drift(left, right, found, window, max_drift_ppm)


def parts_of(left: Seconds, max_drift: float, windows_seconds: tuple[float, ...]) -> list[Seconds]:
    """Part sorted events into stretches in which a drift moves no event by a window's width."""
    most = 0.25 * max(windows_seconds)
    n_parts = int(np.clip(np.ceil(max_drift * float(left[-1] - left[0]) / most), 1, MOST_PARTS))
    edges = np.linspace(left[0], left[-1], n_parts + 1)[1:-1]
    return [part for part in np.split(left, np.searchsorted(left, edges)) if len(part)]


def drifts_to_try(max_drift: float, since: Seconds, width: float) -> Seconds:
    """Return drifts so close that the outermost parts move by a few bins from one to the next."""
    moved = max_drift * float(np.abs(since).max())
    n = int(min(MOST_DRIFTS // 2, np.ceil(moved / (4 * width))))
    return np.linspace(-max_drift, max_drift, 2 * n + 1) if n else np.zeros(1)


def straightened(counts: NDArray[np.int64], shifts: NDArray[np.int_]) -> NDArray[np.int64]:
    """Sum counts ``(n_parts, n_bins)``, each read ``shifts`` bins further on."""
    n_bins = counts.shape[1]
    total = np.zeros(n_bins, dtype=np.int64)
    for own, shift in zip(counts, shifts.tolist(), strict=True):
        if 0 <= shift < n_bins:
            total[: n_bins - shift] += own[shift:]
        elif -n_bins < shift < 0:
            total[-shift:] += own[:shift]
    return total


def refined_drift(
    left: Seconds, right: Seconds, found: ClockOffset, window: float, max_drift_ppm: float
) -> ClockOffset:
    """Fit a line to the residuals of matched events, and take its slope where it is no chance.

    The slope is the median of those of many pairs of events (Theil and Sen), which some wrong
    matches do not bend. It counts where it is over three times its own standard error.

    Source:
        Sen 1968, Journal of the American Statistical Association 63:1379.
    """
    if not max_drift_ppm:
        return found
    for _ in range(3):
        straight = found.to_left(right)
        to_right, to_left = _nearest(left, straight), _nearest(straight, left)
        mutual = to_left[to_right] == np.arange(len(left))
        residuals = straight[to_right] - left
        near = mutual & (np.abs(residuals) <= window)
        if near.sum() < FEWEST_FOR_DRIFT:
            return found
        at, rest = left[near], residuals[near]
        half = len(at) // 2
        slopes = (rest[-half:] - rest[:half]) / np.maximum(at[-half:] - at[:half], 1e-9)
        slope = float(np.median(slopes))
        centre = float(at.mean())
        middle = float(np.median(rest - slope * (at - centre)))
        spread = 1.4826 * float(np.median(np.abs(rest - slope * (at - centre) - middle)))
        error = 1.25 * spread / max(1e-12, float(at.std()) * np.sqrt(len(at)))
        if abs(slope) <= 3 * error and not found.drift_ppm:
            slope, middle = 0.0, float(np.median(rest))
        drift = found.drift_ppm / 1e6
        total = (1 + drift) * (1 + slope) - 1
        if abs(total) * 1e6 > max_drift_ppm:
            return found
        moved = (1 + drift) * (middle + slope * (found.at_seconds - centre))
        found = ClockOffset(
            found.offset_seconds + moved,
            found.score,
            int(near.sum()),
            total * 1e6,
            found.at_seconds,
        )
        window = min(window, max(4 * spread, 0.005))
    return found


def count_differences(
    left: Seconds, right: Seconds, reach: float, width: float, most_pairs: int
) -> NDArray[np.int64]:
    """Count ``right - left`` of all pairs within ``reach``, in bins of ``width`` seconds.

    Both trains are sorted. Returns ``(n_bins,)`` counts; bin 0 starts at ``-reach``.
    """
    first = np.searchsorted(right, left - reach, side="left")
    n_partners = np.searchsorted(right, left + reach, side="right") - first
    if n_partners.sum() > most_pairs:
        part = most_pairs / n_partners.sum()
        drawn = np.random.default_rng(0).random(len(left)) < part
        left, first, n_partners = left[drawn], first[drawn], n_partners[drawn]
    n_bins = int(np.ceil(2 * reach / width))
    counts = np.zeros(n_bins, dtype=np.int64)
    ends = np.cumsum(n_partners)
    start = 0
    while start < len(left):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + CHUNK_PAIRS, side="right")))
        n = n_partners[start:stop]
        within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        differences = right[np.repeat(first[start:stop], n) + within]
        differences -= np.repeat(left[start:stop], n)
        bins = ((differences + reach) / width).astype(np.int64)
        counts += np.bincount(bins.clip(0, n_bins - 1), minlength=n_bins)
        start = stop
    return counts


def _peak(
    counts: NDArray[np.int64],
    lags: Seconds,
    allowed: NDArray[np.bool_],
    n_window: int,
    n_drifts: int = 1,
) -> tuple[float, float]:
    """Return the score and the lag of the peak, ``n_window`` bins wide, that stands out most.

    The score is the signed root of the Poisson deviance, less what the best of so many tries has by
    chance, times the part of the peak by which it overtops every other.
    """
    piled = np.convolve(counts, np.ones(n_window, dtype=np.int64), mode="same")
    expected = _background(counts, n_window)
    best = int(np.argmax(np.where(allowed, (piled - expected) / np.sqrt(expected), -np.inf)))
    excess = piled - expected
    peak, usual = float(piled[best]), float(expected[best])
    elsewhere = allowed.copy()
    elsewhere[max(0, best - 2 * n_window) : best + 2 * n_window + 1] = False
    if not elsewhere.any() or peak <= usual:
        return 0.0, float(lags[best])
    surprise = 2 * (peak * np.log(peak / usual) - (peak - usual))
    tried = 2 * np.log(max(1.0, allowed.sum() / n_window) * len(WINDOWS_SECONDS) * n_drifts)
    runner_up = max(0.0, float(excess[elsewhere].max()) / (peak - usual))
    score = np.sqrt(max(0.0, surprise - tried)) * max(0.0, 1 - runner_up)
    return float(score), float(lags[best])


def _background(counts: NDArray[np.int64], n_window: int) -> Seconds:
    """Return what a window at each lag would hold by chance: the mean of the lags around it.

    Trains that start and stop together agree more at small lags whatever the events are; only what
    stands out from its surroundings speaks for an offset.
    """
    near, far = 2 * n_window, 10 * n_window
    total = np.concatenate([[0], np.cumsum(counts)])
    at = np.arange(len(counts))

    def within(reach: int) -> tuple[Seconds, Seconds]:
        low, high = (at - reach).clip(0), (at + reach + 1).clip(max=len(counts))
        return total[high] - total[low], high - low

    (outer, n_outer), (inner, n_inner) = within(far), within(near)
    around = (outer - inner) / np.maximum(1, n_outer - n_inner)
    return np.asarray(np.maximum(around, max(counts.mean(), 1 / len(counts))) * n_window)


def median_gap(sorted_times: Seconds) -> float:
    """Return the usual time between one event and the next."""
    return float(np.median(np.diff(sorted_times)))


def refine_offset(left: Seconds, right: Seconds, offset: float, window: float) -> tuple[float, int]:
    """Move an offset to the median residual of the events it matches, and count those."""
    n_events = 0
    for _ in range(3):
        residuals = matched_residuals(left, right - offset, window)
        if not len(residuals):
            break
        n_events = len(residuals)
        middle = float(np.median(residuals))
        offset += middle
        spread = 1.4826 * float(np.median(np.abs(residuals - middle)))
        window = min(window, max(4 * spread, 0.005))
    return offset, n_events


def matched_residuals(left: Seconds, right: Seconds, window: float) -> Seconds:
    """Return ``right - left`` of the pairs that are each other's nearest, within a window."""
    to_right, to_left = _nearest(left, right), _nearest(right, left)
    mutual = to_left[to_right] == np.arange(len(left))
    residuals = right[to_right] - left
    return np.asarray(residuals[mutual & (np.abs(residuals) <= window)])


def _nearest(of: Seconds, among: Seconds) -> NDArray[np.int64]:
    after = np.searchsorted(among, of).clip(1, len(among) - 1)
    nearer_before = of - among[after - 1] <= among[after] - of
    return np.asarray(np.where(nearer_before, after - 1, after))
