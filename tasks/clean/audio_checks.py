"""What a decoded recording tells: silence, peaks cut off, a shifted zero line, odd formats."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tasks.samples.decoding import Recording

SILENCE = 1e-4
CLIPPED_FRACTION = 0.01
FULL_SCALE = 0.999
MAX_OFFSET = 0.05
MAX_CHANNELS = 2
USUAL_RATES_HZ = frozenset(
    (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000)
)

_ALLOWED_PEAK = {"MP3": 1.3, "OGG": 1.3}
"""Decoders of lossy formats overshoot a little."""

_ENDINGS = {
    "WAV": (".wav", ".wave"),
    "WAVEX": (".wav", ".wave"),
    "RF64": (".wav", ".rf64"),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3",),
    "MPEG": (".mp3", ".mp2"),
    "AIFF": (".aif", ".aiff", ".aifc"),
}
_ALL_ENDINGS = frozenset(ending for endings in _ENDINGS.values() for ending in endings)


class AudioFacts(NamedTuple):
    """What a recording is like, without its samples.

    Attributes:
        format: The true format, whatever the file is called.
        rate_hz: Samples a second, as stored.
        n_channels: Channels, as stored.
        cancels_out: Whether the first channel was taken, since all together cancel out.
        seconds: Its length.
    """

    format: str
    rate_hz: int
    n_channels: int
    cancels_out: bool
    seconds: float


def audio_facts(recording: Recording) -> AudioFacts:
    """Return what a recording is like."""
    r = recording
    return AudioFacts(r.format, r.rate_hz, r.n_channels, r.cancels_out, r.seconds)


def audio_flags(recording: Recording, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Yield what is odd about a recording, each with a detail.

    Args:
        recording: The decoded recording.
        suffix: The ending of its file, in lower case.
    """
    samples = recording.samples
    offset = float(samples.mean(dtype=np.float64))
    peak = float(np.abs(samples).max())
    if float(np.abs(samples - np.float32(offset)).max()) < SILENCE:
        yield "silent_audio", f"nothing in it is louder than {SILENCE:g} of full scale"
    elif peak > _ALLOWED_PEAK.get(recording.format, 1.0 + 1e-6):
        yield "over_full_scale", f"its peak is {peak:.3g} times full scale"
    else:
        clipped = float((np.abs(samples) >= FULL_SCALE).mean())
        if clipped >= CLIPPED_FRACTION:
            yield "clipped_audio", f"{100 * clipped:.1f} % of its samples are at full scale"
    if abs(offset) > MAX_OFFSET:
        yield "dc_offset", f"its mean is {offset:.2g} of full scale, not 0"
    if recording.cancels_out:
        yield "antiphase_channels", "its channels cancel each other out; the first one is used"
    if recording.n_channels > MAX_CHANNELS:
        yield "many_channels", f"{recording.n_channels} channels, mixed down to one"
    if recording.rate_hz not in USUAL_RATES_HZ:
        yield "odd_sample_rate", f"{recording.rate_hz:,} Hz"
    if suffix in _ALL_ENDINGS and suffix not in _ENDINGS.get(recording.format, (suffix,)):
        yield "wrong_suffix", f"{recording.format} in a file that ends in {suffix}"
