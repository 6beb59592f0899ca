"""Decode every medium once, and say what is wrong with it or odd about it."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from tasks.clean.audio_checks import AudioFacts, audio_facts, audio_flags
from tasks.clean.image_checks import (
    ImageFacts,
    file_flags,
    image_facts,
    pixel_flags,
    small_grey,
)
from tasks.clean.media_summary import MediaCounts
from tasks.params.clean import CleanParams
from tasks.samples.decoding import (
    Undecodable,
    decode_audio,
    decode_image,
    open_image,
)
from tasks.samples.media import MediaStore

MediaKind = Literal["image", "audio"]

N_THREADS = 2


class Verdict(NamedTuple):
    """What decoding a medium told.

    Attributes:
        reason: Why it cannot be used; "" where it can.
        detail: The same in words.
        flags: What is odd about it, though it can be used, each with a detail.
    """

    reason: str
    detail: str
    flags: tuple[tuple[str, str], ...]


Judged = tuple[Verdict, ImageFacts | AudioFacts | None]
"""A verdict, and what was seen of a medium that can be used."""

FINE = Verdict("", "", ())


class MediaVerdicts:
    """The verdicts on all media that were asked about so far."""

    def __init__(self, store: MediaStore, limits: CleanParams) -> None:
        self._store, self._limits = store, limits
        self._verdicts: dict[tuple[MediaKind, str], Verdict] = {}
        self.counts = MediaCounts()
        self._pool = ThreadPoolExecutor(N_THREADS)

    def __enter__(self) -> "MediaVerdicts":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _value: object, _trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __len__(self) -> int:
        return len(self._verdicts)

    def of(self, digests: Iterable[str | None], kind: MediaKind) -> list[Verdict | None]:
        """Return the verdict on each medium; None where there is none."""
        digests = list(digests)
        unseen = [
            digest
            for digest in dict.fromkeys(digests)
            if digest is not None and (kind, digest) not in self._verdicts
        ]
        judged = self._pool.map(lambda digest: self._judge(digest, kind), unseen)
        for digest, (verdict, seen) in zip(unseen, judged, strict=True):
            self._verdicts[kind, digest] = FINE if verdict == FINE else verdict
            if isinstance(seen, ImageFacts):
                self.counts.add_image(seen)
            elif seen is not None:
                self.counts.add_recording(seen)
        return [None if digest is None else self._verdicts[kind, digest] for digest in digests]

    def _judge(self, digest: str, kind: MediaKind) -> Judged:
        content, suffix = self._store.read(digest), self._store.suffix(digest)
        if kind == "image":
            return judge_image(content, self._limits, suffix)
        return judge_audio(content, self._limits, suffix)


def judge_image(content: bytes, limits: CleanParams, suffix: str = "") -> Judged:
    """Decode an image and hold it against the limits."""
    try:
        facts = image_facts(open_image(content, limits.max_image_pixels))
        image = decode_image(content, limits.max_image_pixels)
    except Undecodable as fault:
        return Verdict(fault.reason, fault.detail, ()), None
    size = f"{image.width} × {image.height} pixels"
    short, long = sorted(image.size)
    if short < limits.min_image_side_pixels:
        detail = f"{size}, a side is under {limits.min_image_side_pixels}"
        return Verdict("too_small", detail, ()), None
    if long > short * limits.max_image_aspect:
        detail = f"{size}, one side over {limits.max_image_aspect:g} times the other"
        return Verdict("extreme_aspect", detail, ()), None
    seen = pixel_flags(small_grey(image), is_blank_image(image), limits.min_image_sharpness)
    return Verdict("", "", (*file_flags(content, facts, suffix), *seen)), facts


def judge_audio(content: bytes, limits: CleanParams, suffix: str = "") -> Judged:
    """Decode a recording and hold it against the limits."""
    try:
        recording = decode_audio(content, limits.max_audio_seconds)
    except Undecodable as fault:
        return Verdict(fault.reason, fault.detail, ()), None
    if recording.seconds < limits.min_audio_seconds:
        detail = f"{recording.seconds:.4g} s, under {limits.min_audio_seconds:g} s"
        return Verdict("too_short", detail, ()), None
    return Verdict("", "", tuple(audio_flags(recording, suffix))), audio_facts(recording)


def is_blank_image(image: Image.Image) -> bool:
    """Tell whether all pixels of an RGB image are of one colour."""
    return all(low == high for low, high in np.reshape(image.getextrema(), (-1, 2)))
