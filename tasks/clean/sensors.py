"""Whether a sensor's readings follow one another as they should: no gaps, no frozen values.

Readings are looked at in the order of the file, a batch at a time; what a recording was like at
the end of a batch is carried into the next.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_STUCK_READINGS = 10
USUAL_STEPS = 10
LONG_STEPS = 2
"""A gap is over ten times the middle step and twice what most are, where no length is set."""

MAX_STEPS_KEPT = 256
_MICROSECONDS = 1_000_000


class Readings(NamedTuple):
    """Some readings of one recording, in the order of the file.

    Attributes:
        rows: Their places in the table.
        times: In microseconds.
        values: Of each channel; NaN where there is none.
    """

    rows: NDArray[np.int64]
    times: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]


class Stuck(NamedTuple):
    """A value that stayed the same for too long.

    Attributes:
        series: The recording.
        column: The channel.
        value: What it stayed at.
        first: Place of the first reading in the table.
        last: Place of the last one.
        n_readings: How many they are.
        seconds: From the first to the last.
    """

    series: str
    column: str
    value: float
    first: int
    last: int
    n_readings: int
    seconds: float


class Steps(NamedTuple):
    """How readings follow the one before them, a value for each reading.

    Attributes:
        seconds: Since the reading before; 0 for the first of a recording.
        repeats: Whether it has the time of the reading before.
        goes_back: Whether it is earlier than the reading before.
    """

    seconds: NDArray[np.float64]
    repeats: NDArray[np.bool_]
    goes_back: NDArray[np.bool_]


@dataclass
class _Run:
    """Readings of one value that may go on in the next batch."""

    value: float
    first: int
    last: int
    n_readings: int
    started: int
    ended: int


@dataclass
class SensorSurvey:
    """What is learnt from all readings of a source before they are judged.

    Attributes:
        max_constant_seconds: A value that stays the same for longer is stuck.
        stuck: The values that are.
    """

    max_constant_seconds: float
    stuck: list[Stuck] = field(default_factory=list)
    _runs: dict[tuple[str, str], _Run] = field(default_factory=dict)
    _last_times: dict[str, int] = field(default_factory=dict)
    _steps: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, series: str, readings: Readings) -> None:
        """Learn from the next readings of a recording."""
        if len(readings.times) == 0:
            return
        kept = self._steps[series]
        if len(kept) < MAX_STEPS_KEPT:
            steps = steps_between(readings.times, self._last_times.get(series)).seconds
            kept.extend(steps[steps > 0][: MAX_STEPS_KEPT - len(kept)].tolist())
        self._last_times[series] = int(readings.times[-1])
        for column, values in readings.values.items():
            self._add_channel(series, column, readings, values)

    def finish(self) -> None:
        """Judge what was going on when the readings ended."""
        for (series, column), run in self._runs.items():
            self._judge(series, column, run)
        self._runs.clear()
        self.stuck.sort(key=lambda stuck: (stuck.first, stuck.column))

    def longest_usual_seconds(self, series: str) -> float:
        """Return how far two readings of a recording are apart before it is a gap."""
        steps = self._steps.get(series)
        if not steps:
            return np.inf
        middle, long = np.quantile(steps, (0.5, 0.95)).tolist()
        return float(max(USUAL_STEPS * middle, LONG_STEPS * long))

    def _add_channel(
        self, series: str, column: str, readings: Readings, values: NDArray[np.float64]
    ) -> None:
        """Part the readings of a channel into runs of one value, the last of which stays open."""
        starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        ends = np.append(starts[1:], len(values)) - 1
        open_run = self._runs.pop((series, column), None)
        if open_run is not None and values[0] == open_run.value:
            joined = _Run(
                open_run.value,
                open_run.first,
                int(readings.rows[ends[0]]),
                open_run.n_readings + int(ends[0]) + 1,
                open_run.started,
                int(readings.times[ends[0]]),
            )
            if len(starts) == 1:
                self._runs[series, column] = joined
                return
            self._judge(series, column, joined)
            starts, ends = starts[1:], ends[1:]
        elif open_run is not None:
            self._judge(series, column, open_run)
        lengths = (readings.times[ends] - readings.times[starts]) / _MICROSECONDS
        long = np.flatnonzero(lengths > self.max_constant_seconds)
        for at in {*long.tolist(), len(starts) - 1}:
            first, last = int(starts[at]), int(ends[at])
            run = _Run(
                float(values[first]),
                int(readings.rows[first]),
                int(readings.rows[last]),
                last - first + 1,
                int(readings.times[first]),
                int(readings.times[last]),
            )
            if at == len(starts) - 1:
                self._runs[series, column] = run
            else:
                self._judge(series, column, run)

    def _judge(self, series: str, column: str, run: _Run) -> None:
        seconds = (run.ended - run.started) / _MICROSECONDS
        if seconds > self.max_constant_seconds and run.n_readings >= MIN_STUCK_READINGS:
            self.stuck.append(
                Stuck(series, column, run.value, run.first, run.last, run.n_readings, seconds)
            )


def steps_between(times: NDArray[np.int64], before: int | None) -> Steps:
    """Return how readings follow one another.

    Args:
        times: In microseconds, in the order of the file.
        before: Time of the reading before the first; None where there is none.

    >>> steps_between(np.array([0, 2_000_000, 2_000_000, 1_000_000]), None).repeats.tolist()
    [False, False, True, False]
    """
    first = times[:1] if before is None else np.array([before])
    steps = np.diff(np.concatenate([first, times]))
    repeats = steps == 0
    if before is None and len(times):
        repeats[0] = False
    return Steps(np.maximum(steps, 0) / _MICROSECONDS, repeats, steps < 0)


def by_series(
    series: Sequence[str | None],
    codes: NDArray[np.int64],
    rows: NDArray[np.int64],
    times: NDArray[np.int64],
    values: Mapping[str, NDArray[np.float64]],
) -> list[tuple[str, Readings]]:
    """Part readings by recording, each in the order of the file.

    Args:
        series: Names of the recordings.
        codes: Which of them each reading is of.
        rows: Place of each reading in the table.
        times: In microseconds.
        values: Of each channel.
    """
    order = np.argsort(codes, kind="stable")
    found, starts = np.unique(codes[order], return_index=True)
    parts = np.split(order, starts[1:])
    return [
        (
            series[code] or "",
            Readings(rows[part], times[part], {name: v[part] for name, v in values.items()}),
        )
        for code, part in zip(found.tolist(), parts, strict=True)
    ]
