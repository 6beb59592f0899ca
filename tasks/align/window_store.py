"""Where windows go: each distinct one once, named by its digest."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tasks.align.report import Shares
from tasks.align.resampling import Resampled
from tasks.samples.media import MediaWriter
from tasks.samples.windows import WINDOW_SUFFIX, encode_window


class WindowStore:
    """Takes windows and gives their names."""

    def __init__(self, writer: MediaWriter) -> None:
        self._writer = writer

    def add(
        self, parts: Iterable[Resampled], min_coverage: float
    ) -> tuple[list[str | None], NDArray[np.float64], int, int, int]:
        """Store windows.

        Returns:
            Of each its digest, None where too few of its steps have a value, and its coverage; then
            of the windows that were stored the steps with a value, those that were read over a gap,
            and those that hold an earlier reading.
        """
        digests: list[str | None] = []
        coverage = [np.zeros(0)]
        n_steps = n_over_gap = n_held = 0
        for part in parts:
            kept = (part.coverage >= min_coverage) & (part.coverage > 0)
            digests += [
                self._writer.add(encode_window(window), WINDOW_SUFFIX) if keep else None
                for window, keep in zip(part.values, kept, strict=True)
            ]
            coverage.append(part.coverage)
            n_steps += round(float(part.coverage[kept].sum()) * part.values.shape[1])
            n_over_gap += int(part.n_over_gap[kept].sum())
            n_held += int(part.n_held[kept].sum())
        return digests, np.concatenate(coverage), n_steps, n_over_gap, n_held


def shares(parts: NDArray[np.float64]) -> Shares:
    """Count parts between 0 and 1 by tenths.

    >>> shares(np.array([0.05, 0.95, 1.0])).counts_by_tenth
    (1, 0, 0, 0, 0, 0, 0, 0, 0, 2)
    """
    counts, _ = np.histogram(parts, bins=10, range=(0.0, 1.0))
    return Shares(counts_by_tenth=tuple(counts.tolist()))
