"""A digit as a noisy picture and as a noisy keypad tone: each too noisy to be read alone.

How noisy differs from one to the next, so that some are plain and some hopeless. Whoever has both
usually has one that is plain.
"""

import io
import wave

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE_PIXELS = 32
RATE_HZ = 8000
TONE_SECONDS = 0.3

KEYPAD_HZ: tuple[tuple[int, int], ...] = (
    (941, 1336),
    (697, 1209),
    (697, 1336),
    (697, 1477),
    (770, 1209),
    (770, 1336),
    (770, 1477),
    (852, 1209),
    (852, 1336),
    (852, 1477),
)
"""The two frequencies of the keys 0 to 9 (ITU-T Q.23)."""

_INK_NOISE = (0.05, 0.5)
"""Range of the noise on the 8 × 8 original, in parts of full ink."""

_PIXEL_NOISE = 0.10
_TONE_NOISE = (1.0, 14.0)
"""Range of the noise on a tone, in amplitudes of one of its two frequencies."""


def noisy_picture(digit: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw an 8 × 8 digit of 0 to 16 as 32 × 32 grey pixels, dark ink on light paper."""
    ink = digit / 16 * rng.uniform(0.7, 1.0)
    ink = ink + rng.normal(0, rng.uniform(*_INK_NOISE), ink.shape)
    large = Image.fromarray(ink.astype(np.float32)).resize(
        (SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BILINEAR
    )
    pixels = np.asarray(large) + rng.normal(0, _PIXEL_NOISE, (SIDE_PIXELS, SIDE_PIXELS))
    return np.asarray(np.clip(0.75 - 0.5 * pixels, 0, 1) * 255, dtype=np.uint8)


def noisy_tone(digit: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Play a digit's key in noise, from a moment and at a loudness that vary."""
    at = np.arange(int(TONE_SECONDS * RATE_HZ)) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * hz * at + rng.uniform(0, 2 * np.pi)) for hz in KEYPAD_HZ[digit])
    tone = np.where(at >= rng.uniform(0.0, 0.08), tone, 0.0)
    low, high = np.log(_TONE_NOISE)
    sound = tone + rng.normal(0, np.exp(rng.uniform(low, high)), at.shape)
    loudness = rng.uniform(0.5, 0.9) / np.abs(sound).max()
    return np.asarray(np.round(sound * loudness * 32767), dtype=np.int16)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode grey pixels as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def wav(samples: NDArray[np.int16]) -> bytes:
    """Encode samples as a mono 16-bit WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE_HZ)
        writer.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()
