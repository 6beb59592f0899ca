"""Windows of a time series to standardised channels, with statistics of the training windows."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.models.processors.base import as_tensor, read_json
from tasks.models.processors.tabular import NumberStatistics

_FILE = "timeseries.json"


class TimeSeriesProcessor:
    """Standardises the channels of windows; what is not there is 0, and marked as missing."""

    def __init__(self, channels: Sequence[NumberStatistics], n_steps: int) -> None:
        self.channels = tuple(channels)
        self.n_steps = n_steps

    @classmethod
    def fit(
        cls, windows: Iterable[NDArray[np.float32]], names: Sequence[str], n_steps: int
    ) -> "TimeSeriesProcessor":
        """Take mean and standard deviation of each channel over all steps that are there.

        Args:
            windows: Training windows, ``(n_steps, n_channels)`` each.
            names: Of the channels.
            n_steps: Steps of each window.
        """
        n, total, squares = (np.zeros(len(names)) for _ in range(3))
        for window in windows:
            there = np.isfinite(window)
            values = np.where(there, window, 0).astype(np.float64)
            n += there.sum(axis=0)
            total += values.sum(axis=0)
            squares += np.square(values).sum(axis=0)
        mean = total / np.maximum(n, 1)
        scale = np.sqrt(np.maximum(squares / np.maximum(n, 1) - np.square(mean), 0))
        return cls(
            [
                NumberStatistics(name, float(m), float(s) or 1.0)
                for name, m, s in zip(names, mean, scale, strict=True)
            ],
            n_steps,
        )

    @classmethod
    def load(cls, folder: Path) -> "TimeSeriesProcessor":
        """Read timeseries.json."""
        raw = read_json(folder / _FILE)
        return cls([NumberStatistics(**c) for c in raw["channels"]], int(raw["n_steps"]))

    def fingerprint(self) -> str:
        """Return text that changes whenever the arrays would."""
        return f"timeseries {self.n_steps} {self.channels}"

    def arrays(self, values: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return ``(n, 2 n_channels, n_steps)``: standardised channels, then what is missing."""
        expected = (self.n_steps, len(self.channels))
        for window in values:
            if window.shape != expected:
                raise DataError(
                    f"expected windows of {expected[0]} steps and {expected[1]} channels, found "
                    f"{window.shape[0]} and {window.shape[1]}; cut them as in training"
                )
        windows = np.stack(values)
        mean = np.array([c.mean for c in self.channels], dtype=np.float32)
        scale = np.array([c.scale for c in self.channels], dtype=np.float32)
        missing = ~np.isfinite(windows)
        scaled = np.where(missing, 0, (windows - mean) / scale)
        both = np.concatenate([scaled, missing.astype(np.float32)], axis=2)
        return np.ascontiguousarray(both.transpose(0, 2, 1), dtype=np.float32)

    def tensor(self, arrays: NDArray[np.float32], device: torch.device) -> torch.Tensor:
        """Return the channels."""
        return as_tensor(arrays, device)

    def save(self, folder: Path) -> None:
        """Write timeseries.json."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {"channels": [asdict(c) for c in self.channels], "n_steps": self.n_steps}
        (folder / _FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
