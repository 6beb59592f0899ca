"""Changes to a recording; lengths are fractions of its own, or seconds."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import fft

from tasks.registry import Registry
from tasks.samples.decoding import Recording

audio_transforms: Registry[Callable[..., Recording]] = Registry("audio transform")


@audio_transforms.register("noise")
def noise_recording(recording: Recording, snr_db: float, seed: int) -> Recording:
    """Add white noise, ``snr_db`` decibels under the recording's own power; silence stays so."""
    samples = recording.samples
    power = float(np.square(samples, dtype=np.float64).mean()) if len(samples) else 0.0
    noise = np.random.default_rng(seed).standard_normal(len(samples), dtype=np.float32)
    return _with_samples(recording, samples + noise * math.sqrt(power / 10 ** (snr_db / 10)))


@audio_transforms.register("gain")
def gain_recording(recording: Recording, db: float) -> Recording:
    """Make a recording louder or softer."""
    return _with_samples(recording, recording.samples * 10 ** (db / 20))


@audio_transforms.register("shift")
def shift_recording(recording: Recording, seconds: float) -> Recording:
    """Move a recording later, or earlier, within its length; silence fills the gap.

    It is moved by half its length at most, so that a short one does not vanish.
    """
    samples = recording.samples
    most = len(samples) // 2
    later = max(-most, min(most, round(seconds * recording.rate_hz)))
    moved = np.zeros_like(samples)
    if later >= 0:
        moved[later:] = samples[: len(samples) - later]
    else:
        moved[:later] = samples[-later:]
    return _with_samples(recording, moved)


@audio_transforms.register("time_mask")
def mask_time(recording: Recording, start: float, length: float) -> Recording:
    """Silence a part of a recording.

    Source:
        Park et al. 2019, arXiv:1904.08779, section 2, here on the waveform.
    """
    masked = recording.samples.copy()
    first = round(start * len(masked))
    masked[first : first + round(length * len(masked))] = 0
    return _with_samples(recording, masked)


@audio_transforms.register("frequency_mask")
def mask_frequencies(recording: Recording, low: float, high: float) -> Recording:
    """Take a band out of a recording.

    Args:
        recording: The recording.
        low: The band's lower end, from 0 to 1 on the mel scale up to half the sampling rate.
        high: Its upper end.

    Source:
        Park et al. 2019, arXiv:1904.08779, section 2, here as a band-stop filter.
    """
    samples = recording.samples
    if not len(samples):
        return recording
    top_mel = 1127 * math.log1p(recording.rate_hz / 2 / 700)
    low_hz, high_hz = (700 * math.expm1(part * top_mel / 1127) for part in (low, high))
    n = fft.next_fast_len(len(samples), real=True)
    spectrum = fft.rfft(samples, n)
    frequencies = np.arange(len(spectrum)) * (recording.rate_hz / n)
    spectrum[(frequencies >= low_hz) & (frequencies < high_hz)] = 0
    return _with_samples(recording, fft.irfft(spectrum, n)[: len(samples)])


@audio_transforms.register("speed")
def change_speed(recording: Recording, factor: float) -> Recording:
    """Play a recording faster or slower, which shortens or lengthens it and moves its pitch.

    Source:
        Ko et al. 2015, "Audio augmentation for speech recognition", section 2.
    """
    if not len(recording.samples):
        return recording
    return _with_samples(
        recording, soxr.resample(recording.samples, recording.rate_hz * factor, recording.rate_hz)
    )


def _with_samples(recording: Recording, samples: NDArray[Any]) -> Recording:
    return Recording(np.asarray(samples, dtype=np.float32), recording.rate_hz, recording.n_channels)
