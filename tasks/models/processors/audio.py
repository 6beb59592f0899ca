"""Recordings to what an audio encoder takes: a log-mel picture, or what its own extractor makes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from transformers import AutoFeatureExtractor
from transformers.audio_utils import mel_filter_bank

from tasks.errors import ModelError
from tasks.models.processors.base import Processor, as_tensor, read_json
from tasks.samples.decoding import Recording

LOG_MEL = "audio_frontend.json"
_SECONDS = "fuseline_audio.json"


@dataclass(frozen=True)
class LogMelSettings:
    """A log-mel front end: magnitudes of short windows, summed in bands, and their logarithm.

    The bands are triangles on the scale ``1127 ln(1 + f / 700)``.

    Source:
        Hershey et al. 2017, arXiv:1609.09430, section 3.1.
    """

    sample_rate: int
    frame_length: int
    hop_length: int
    fft_length: int
    mel_bins: int
    mel_low_hz: float
    mel_high_hz: float
    log_offset: float
    patch_frames: int


class LogMelProcessor:
    """Makes ``(1, frames, bands)`` pictures of recordings, for encoders built like image ones."""

    def __init__(self, settings: LogMelSettings) -> None:
        self.settings = settings
        s = settings
        self._window = np.hanning(s.frame_length + 1)[:-1].astype(np.float32)
        self._bands = mel_filter_bank(
            num_frequency_bins=s.fft_length // 2 + 1,
            num_mel_filters=s.mel_bins,
            min_frequency=s.mel_low_hz,
            max_frequency=s.mel_high_hz,
            sampling_rate=s.sample_rate,
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        ).astype(np.float32)

    @classmethod
    def load(cls, folder: Path, seconds: float | None = None) -> "LogMelProcessor":
        """Load audio_frontend.json, for recordings of its own length or another."""
        path = folder / LOG_MEL
        raw = read_json(path)
        try:
            settings = LogMelSettings(**{n: raw[n] for n in LogMelSettings.__dataclass_fields__})
        except KeyError as fault:
            raise ModelError(f"{path}: the setting {fault} of the front end is missing") from None
        if seconds is not None:
            frames = round(seconds * settings.sample_rate / settings.hop_length)
            settings = replace(settings, patch_frames=max(1, frames))
        return cls(settings)

    def fingerprint(self) -> str:
        """Return text that changes whenever the pictures would."""
        return f"log-mel {self.settings}"

    def arrays(self, values: Sequence[Recording]) -> NDArray[np.float16]:
        """Return ``(n, 1, frames, bands)`` half precision; short recordings end in silence."""
        s = self.settings
        n_samples = (s.patch_frames - 1) * s.hop_length + s.frame_length
        pictures = np.empty((len(values), 1, s.patch_frames, s.mel_bins), dtype=np.float16)
        for row, recording in enumerate(values):
            samples = at_rate(recording, s.sample_rate)[:n_samples]
            padded = np.zeros(n_samples, dtype=np.float32)
            padded[: len(samples)] = samples
            frames = np.lib.stride_tricks.sliding_window_view(padded, s.frame_length)
            spectrum = np.fft.rfft(frames[:: s.hop_length] * self._window, n=s.fft_length)
            bands = np.abs(spectrum).astype(np.float32) @ self._bands
            pictures[row, 0] = np.log(bands + s.log_offset)
        return pictures

    def tensor(self, arrays: NDArray[np.float16], device: torch.device) -> torch.Tensor:
        """Return ``(n, 1, frames, bands)`` float32."""
        return as_tensor(arrays, device).to(torch.float32)

    def save(self, folder: Path) -> None:
        """Write audio_frontend.json."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOG_MEL).write_text(json.dumps(asdict(self.settings), indent=1) + "\n")


class ExtractorProcessor:
    """A checkpoint's own feature extractor (wav2vec 2.0, Whisper, AST …), at a fixed length."""

    def __init__(self, extractor: Any, seconds: float) -> None:
        self.extractor = extractor
        self.seconds = seconds
        self.rate_hz = int(extractor.sampling_rate)

    @classmethod
    def load(cls, folder: Path, seconds: float | None = None) -> "ExtractorProcessor":
        """Load the feature extractor of a checkpoint.

        Raises:
            ModelError: The folder holds no feature extractor that works here.
        """
        kept = folder / _SECONDS
        if seconds is None:
            seconds = float(json.loads(kept.read_text())["seconds"]) if kept.is_file() else 10.0
        try:
            extractor = AutoFeatureExtractor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, ImportError) as fault:
            raise ModelError(
                f"{folder}: expected {LOG_MEL} or a feature extractor beside config.json: {fault}"
            ) from None
        return cls(extractor, seconds)

    def fingerprint(self) -> str:
        """Return text that changes whenever the features would."""
        return f"extractor {self.seconds} {self.extractor.to_json_string()}"

    def arrays(self, values: Sequence[Recording]) -> NDArray[np.float16]:
        """Return ``(n, …)`` features in half precision."""
        n_samples = round(self.seconds * self.rate_hz)
        waves = [_fit(at_rate(v, self.rate_hz), n_samples) for v in values]
        features = self.extractor(waves, sampling_rate=self.rate_hz, return_tensors="np")
        return np.asarray(features[self.extractor.model_input_names[0]], dtype=np.float16)

    def tensor(self, arrays: NDArray[np.float16], device: torch.device) -> torch.Tensor:
        """Return the features as float32."""
        return as_tensor(arrays, device).to(torch.float32)

    def save(self, folder: Path) -> None:
        """Write the extractor's files."""
        folder.mkdir(parents=True, exist_ok=True)
        self.extractor.save_pretrained(folder)
        (folder / _SECONDS).write_text(json.dumps({"seconds": self.seconds}) + "\n")


def load_audio_processor(folder: Path, seconds: float | None = None) -> Processor:
    """Load the front end of an audio checkpoint, whichever kind it brings."""
    if (folder / LOG_MEL).is_file():
        return LogMelProcessor.load(folder, seconds)
    return ExtractorProcessor.load(folder, seconds)


def at_rate(recording: Recording, rate_hz: int) -> NDArray[np.float32]:
    """Return the samples of a recording at another rate."""
    if recording.rate_hz == rate_hz:
        return recording.samples
    resampled = soxr.resample(recording.samples, recording.rate_hz, rate_hz)
    return np.asarray(resampled, dtype=np.float32)


def _fit(samples: NDArray[np.float32], n_samples: int) -> NDArray[np.float32]:
    fitted = np.zeros(n_samples, dtype=np.float32)
    fitted[: min(len(samples), n_samples)] = samples[:n_samples]
    return fitted
