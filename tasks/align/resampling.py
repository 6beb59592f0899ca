"""Readings of a sensor on an even grid: many windows of a recording at once.

Where a sensor reads at least twice as often as the grid has steps, each step is the mean of the
readings around it, so that what is too fast for the grid does not fold into it. Where it does not,
a step lies on the line between the readings before and after. A step is left empty where those are
too far away; nothing is extrapolated.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.align.matching import Rows
from tasks.align.recordings import Recording

CELLS_AT_ONCE = 2_000_000
AVERAGED_FROM = 2.0
"""Readings for each step from which on they are averaged."""

GAP_PERIODS = 3.0
"""Readings further apart than this many usual periods have a gap between them."""


@dataclass(frozen=True)
class Grid:
    """Where the steps of a window lie, and what a step may be read from.

    Attributes:
        n_steps: Steps of a window.
        rate_hz: Steps a second.
        tolerance: Microseconds from a step to the readings on either side of it.
        causal: Whether a window reads nothing from after its end.
    """

    n_steps: int
    rate_hz: float
    tolerance: int
    causal: bool = False

    @property
    def offsets(self) -> Rows:
        """``(n_steps,)`` microseconds from the start of a window to each step."""
        return np.round(np.arange(self.n_steps) * (1e6 / self.rate_hz)).astype(np.int64)

    @property
    def length(self) -> int:
        """Microseconds from the start of a window to its end, one step after its last."""
        return round(self.n_steps * 1e6 / self.rate_hz)


@dataclass(frozen=True)
class Resampled:
    """Some windows of a recording.

    Attributes:
        values: ``(n_windows, n_steps, n_channels)`` float32, NaN where a step has no value.
        coverage: ``(n_windows,)`` part of the steps in which some channel has a value.
        n_over_gap: ``(n_windows,)`` steps that were read off a line over a gap.
        n_held: ``(n_windows,)`` steps that hold the last reading before the window's end.
    """

    values: NDArray[np.float32]
    coverage: NDArray[np.float64]
    n_over_gap: Rows
    n_held: Rows


def resample(recording: Recording, starts: Rows, grid: Grid) -> Iterator[Resampled]:
    """Yield the windows that start at some times, in that order, as many at once as fit in memory.

    Args:
        recording: Readings by the clock of ``starts``.
        starts: ``(n_windows,)`` microseconds.
        grid: What each window looks like.
    """
    cells = max(1, grid.n_steps * max(1, recording.values.shape[1]))
    size = max(1, CELLS_AT_ONCE // cells)
    averaged = is_averaged(recording, grid.rate_hz)
    patterns = _channels_by_pattern(recording.values)
    for first in range(0, len(starts), size):
        part = starts[first : first + size]
        at = (part[:, None] + grid.offsets[None, :]).ravel()
        until = np.repeat(part + grid.length, grid.n_steps) if grid.causal else None
        values = np.full((len(at), recording.values.shape[1]), np.nan, dtype=np.float32)
        over_gap, held = np.zeros(len(at), dtype=bool), np.zeros(len(at), dtype=bool)
        for channels, known in patterns:
            times = recording.times if known is None else recording.times[known]
            own = recording.values[:, channels]
            own = own if known is None else own[known]
            line = read_off(times, own, at, grid.tolerance, until)
            if averaged:
                line = _averaged(times, own, at, grid, until, line)
            values[:, channels] = line.values
            over_gap |= line.over_gap
            held |= line.held
        shape = (len(part), grid.n_steps)
        has_value = np.isfinite(values).any(axis=1).reshape(shape)
        yield Resampled(
            values=values.reshape(*shape, -1),
            coverage=has_value.mean(axis=1),
            n_over_gap=over_gap.reshape(shape).sum(axis=1),
            n_held=held.reshape(shape).sum(axis=1),
        )


def is_averaged(recording: Recording, rate_hz: float) -> bool:
    """Tell whether a recording has so many readings that each step is the mean of several."""
    return 0 < recording.period * rate_hz / 1e6 <= 1 / AVERAGED_FROM


@dataclass(frozen=True)
class ReadOff:
    """Values at some times: ``(n, n_channels)``, and which were read over a gap or held."""

    values: NDArray[np.float64]
    over_gap: NDArray[np.bool_]
    held: NDArray[np.bool_]


def read_off(
    times: Rows, values: NDArray[np.float64], at: Rows, tolerance: int, until: Rows | None = None
) -> ReadOff:
    """Read values off the lines between readings.

    Args:
        times: ``(n,)`` microseconds, strictly increasing.
        values: ``(n, n_channels)``, all finite.
        at: ``(m,)`` when to read.
        tolerance: The most microseconds to the readings on either side.
        until: ``(m,)`` readings from these times on are not known yet; where there is none to come,
            the last one holds.
    """
    if not len(times):
        nothing = np.zeros(len(at), dtype=bool)
        return ReadOff(np.full((len(at), values.shape[1]), np.nan), nothing, nothing)
    after = np.searchsorted(times, at, side="left")
    last = len(times) - 1
    exact = times[after.clip(max=last)] == at
    before = np.where(exact, after, after - 1)
    n_known = len(times) if until is None else np.searchsorted(times, until, side="left")
    has_after, has_before = (after < n_known) & (after <= last), before >= 0
    after, before = after.clip(max=last), before.clip(0, last)
    behind, ahead = at - times[before], times[after] - at
    near_before = has_before & (behind <= tolerance)
    between = near_before & has_after & (ahead <= tolerance)
    span = np.maximum(times[after] - times[before], 1)
    share = np.where(between, behind / span, 0.0)[:, None]
    read = values[before] * (1 - share) + values[after] * share
    held = np.zeros(len(at), dtype=bool)
    if until is not None:
        held = near_before & ~has_after & (times[before] < until)
        held &= at < until
    read[~(between | held)] = np.nan
    period = float(np.median(np.diff(times))) if last else 0.0
    return ReadOff(read, between & (span > GAP_PERIODS * period) & ~exact, held)


def _averaged(
    times: Rows,
    values: NDArray[np.float64],
    at: Rows,
    grid: Grid,
    until: Rows | None,
    line: ReadOff,
) -> ReadOff:
    """Replace values by the mean of the readings within half a step, where there are any."""
    half = min(round(0.5e6 / grid.rate_hz), grid.tolerance)
    first = np.searchsorted(times, at - half, side="left")
    last = np.searchsorted(times, at + half, side="left")
    if until is not None:
        last = np.minimum(last, np.searchsorted(times, until, side="left"))
    n = np.maximum(last - first, 0)
    middle = values.mean(axis=0) if len(values) else np.zeros(values.shape[1])
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values - middle, axis=0)])
    some = n > 0
    means = (total[last] - total[first])[some] / n[some, None] + middle
    read = line.values.copy()
    read[some] = means
    return ReadOff(read, line.over_gap & ~some, line.held & ~some)


def _channels_by_pattern(
    values: NDArray[np.float64],
) -> list[tuple[list[int], NDArray[np.bool_] | None]]:
    """Group channels that have a value in the same readings; None stands for in all."""
    known = np.isfinite(values)
    groups: dict[bytes, list[int]] = {}
    for channel in range(values.shape[1]):
        groups.setdefault(np.packbits(known[:, channel]).tobytes(), []).append(channel)
    return [
        (channels, None if known[:, channels[0]].all() else known[:, channels[0]])
        for channels in groups.values()
    ]
