"""Windows of a time series: standardised by training windows, and encoded with what is missing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.errors import DataError
from tasks.models.encoders.timeseries import TimeSeriesEncoder, window_statistics
from tasks.models.processors.timeseries import TimeSeriesProcessor
from tasks.samples.windows import decode_window, encode_window


def test_statistics_are_those_of_the_steps_that_are_there() -> None:
    windows = [np.array([[1.0, np.nan], [3.0, 5.0]], np.float32)] * 2
    processor = TimeSeriesProcessor.fit(iter(windows), ("x", "y"), n_steps=2)
    assert [(c.mean, c.scale) for c in processor.channels] == [(2.0, 1.0), (5.0, 1.0)]
    assert processor.arrays(windows[:1]).tolist() == [[[-1, 1], [0, 0], [0, 0], [1, 0]]]


def test_a_saved_processor_is_the_same(tmp_path: Path) -> None:
    window = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    processor = TimeSeriesProcessor.fit([window], ("x", "y"), n_steps=8)
    processor.save(tmp_path)
    loaded = TimeSeriesProcessor.load(tmp_path)
    assert loaded.fingerprint() == processor.fingerprint()
    assert (loaded.arrays([window]) == processor.arrays([window])).all()


def test_a_window_of_another_shape_is_refused() -> None:
    processor = TimeSeriesProcessor.fit([np.ones((8, 2), np.float32)], ("x", "y"), n_steps=8)
    with pytest.raises(DataError, match="expected windows of 8 steps and 2 channels, found 9 and"):
        processor.arrays([np.ones((9, 2), np.float32)])


def test_what_is_missing_does_not_change_the_statistics_of_the_rest() -> None:
    values = torch.tensor(
        [[[1.0, 3.0, 0.0], [0.0, 0.0, 1.0]]]
    )  # one channel, its last step missing
    mean, spread, low, high, step, missing = window_statistics(values, 1)[0].tolist()
    assert (mean, low, high) == (2.0, 1.0, 3.0)
    assert spread == pytest.approx(1.0, abs=1e-6)
    assert step == pytest.approx(1.0)
    assert missing == pytest.approx(1 / 3)


def test_a_channel_that_is_wholly_missing_gives_finite_tokens() -> None:
    values = torch.zeros(2, 4, 16)
    values[:, 2:] = 1.0
    tokens, there = _tokens(values)
    assert tokens.shape == (2, 2, 64)
    assert there.all()
    assert tokens.isfinite().all()


def _tokens(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return TimeSeriesEncoder(n_channels=2).eval().tokens(values)


def test_every_nan_is_stored_as_the_same_bytes() -> None:
    other_nan = np.array([[np.float32(np.nan)]])
    other_nan.view(np.uint32)[0, 0] |= 1
    assert encode_window(other_nan) == encode_window(np.array([[np.nan]]))


@pytest.mark.parametrize("content", [b"", b"\x01" * 7, encode_window(np.ones((3, 2)))[:-1]])
def test_bytes_that_are_no_window_are_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="are no window of a time series"):
        decode_window(content)
