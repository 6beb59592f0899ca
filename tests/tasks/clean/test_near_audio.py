"""Recordings of the same sound, and those that are not."""

import dataclasses
import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tasks.clean.near_duplicates.audio import audio_sketch, group_recordings
from tasks.clean.near_duplicates.grouping import members
from tasks.samples.decoding import decode_audio

RATE_HZ = 16_000
SHARED = Path(os.environ.get("FUSELINE_SHARED", "../shared"))


def wav(samples, rate_hz=RATE_HZ, kind="WAV", subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


def speech(seed, seconds=1.2):
    """Syllables: a voice with its overtones, of changing pitch and timbre."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    sound = np.zeros_like(time)
    for start in np.arange(0.05, seconds - 0.2, 0.22):
        envelope = np.exp(-(((time - start - 0.08) / random.uniform(0.03, 0.07)) ** 2))
        pitch = random.uniform(90, 240)
        for overtone in range(1, 14):
            weight = np.exp(-(((overtone * pitch - random.uniform(300, 2600)) / 500) ** 2))
            sound += envelope * weight * np.sin(2 * np.pi * overtone * pitch * time)
    return 0.5 * sound / np.abs(sound).max()


def noisy(samples, decibels):
    noise = np.random.default_rng(0).normal(0, 1, len(samples))
    return samples + noise * np.sqrt(np.mean(samples**2)) * 10 ** (-decibels / 20)


EDITS = {
    "quieter": lambda s: wav(0.2 * s),
    "8 kHz": lambda s: wav(soxr.resample(s, RATE_HZ, 8000), 8000),
    "44.1 kHz": lambda s: wav(soxr.resample(s, RATE_HZ, 44_100), 44_100),
    "noise": lambda s: wav(noisy(s, 30)),
    "mp3": lambda s: wav(s, kind="MP3", subtype="MPEG_LAYER_III"),
    "ogg": lambda s: wav(s, kind="OGG", subtype="VORBIS"),
    "telephone": lambda s: wav(soxr.resample(s, RATE_HZ, 8000), 8000, subtype="ULAW"),
    "two channels": lambda s: wav(np.stack([s, s], axis=1)),
}


def groups(contents):
    sketches = np.stack([audio_sketch(decode_audio(content)) for content in contents])
    found = group_recordings(len(sketches), lambda at: sketches[at])
    return {tuple(group.tolist()) for group in members(found.labels)}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_found(edit):
    sounds = [speech(seed) for seed in range(10)]
    contents = [*map(wav, sounds), *map(EDITS[edit], sounds)]
    assert groups(contents) == {(i, i + 10) for i in range(10)}


@pytest.mark.parametrize("milliseconds", [-20, -10, 10, 20])
def test_most_small_shifts_are_found(milliseconds):
    sounds = [speech(seed) for seed in range(20)]
    by = milliseconds * RATE_HZ // 1000
    moved = [s[-by:] if by < 0 else np.r_[np.zeros(by), s[:-by]] for s in sounds]
    found = groups([*map(wav, sounds), *map(wav, moved)])
    assert found <= {(i, i + 20) for i in range(20)}
    assert len(found) >= 14


def test_the_same_beginning_of_another_length_is_another_sound():
    sound = speech(1, 2.0)
    assert groups([wav(sound), wav(sound[: len(sound) // 2])]) == set()


def test_silence_and_short_sounds_have_a_sketch():
    for samples in (np.zeros(4000), np.ones(5), speech(0)[:200]):
        recording = decode_audio(wav(samples))
        sketch = audio_sketch(recording)
        assert sketch["seconds"] == pytest.approx(recording.seconds)
    low = dataclasses.replace(decode_audio(wav(speech(2))), rate_hz=1000)
    assert audio_sketch(low)["light"].max() == 255


@pytest.mark.shared
def test_spoken_digits_are_different_recordings():
    files = sorted((SHARED / "data" / "av_mnist" / "audio").rglob("*.wav"))[::3]
    if not files:
        pytest.skip("needs ../shared/data/av_mnist")
    found = groups([file.read_bytes() for file in files])
    assert sum(map(len, found)) < 0.01 * len(files)
