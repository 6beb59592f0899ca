"""Decode every medium once, and say what is wrong with it or odd about it."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.clean.audio_checks import AudioFacts, audio_facts, audio_flags
from tasks.clean.image_checks import (
    GREY_SIDE_PIXELS,
    ImageFacts,
    file_flags,
    image_facts,
    pixel_flags,
    png_damage,
    small_grey,
)
from tasks.clean.media_summary import MediaCounts
from tasks.clean.near_duplicates.audio import AUDIO_SKETCH, audio_sketch
from tasks.clean.near_duplicates.images import IMAGE_SKETCH, image_sketch
from tasks.clean.near_duplicates.sketches import SketchBook
from tasks.params.clean import CleanParams
from tasks.samples.decoding import (
    Undecodable,
    decode_audio,
    decode_image,
    decode_opened,
    open_image,
)
from tasks.samples.media import MediaStore

MediaKind = Literal["image", "audio"]

N_THREADS = 2
NEARLY_ALIKE = 2


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


class Judged(NamedTuple):
    """A verdict, and what was seen of a medium that can be used.

    Attributes:
        verdict: Whether it can be used, and what is odd about it.
        seen: What its file says.
        sketch: Its small picture, by which near duplicates are found.
    """

    verdict: Verdict
    seen: ImageFacts | AudioFacts | None = None
    sketch: NDArray[np.void] | None = None


FINE = Verdict("", "", ())


class MediaVerdicts:
    """The verdicts on all media that were asked about so far, and their small pictures.

    Args:
        store: Where the media are.
        limits: What they are held against.
        folder: Where the small pictures lie until this is left.
    """

    def __init__(self, store: MediaStore, limits: CleanParams, folder: Path) -> None:
        self._store, self._limits = store, limits
        self._verdicts: dict[MediaKind, dict[str, Verdict]] = {"image": {}, "audio": {}}
        self.counts = MediaCounts()
        self.sketches: dict[MediaKind, SketchBook] = {
            "image": SketchBook(folder, IMAGE_SKETCH),
            "audio": SketchBook(folder, AUDIO_SKETCH),
        }
        self._pool = ThreadPoolExecutor(N_THREADS)

    def __enter__(self) -> "MediaVerdicts":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _value: object, _trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        for book in self.sketches.values():
            book.close()

    def __len__(self) -> int:
        return sum(map(len, self._verdicts.values()))

    def of(self, digests: Iterable[str | None], kind: MediaKind) -> list[Verdict | None]:
        """Return the verdict on each medium; None where there is none."""
        digests, known = list(digests), self._verdicts[kind]
        unseen = [
            digest
            for digest in dict.fromkeys(digests)
            if digest is not None and digest not in known
        ]
        judged = self._pool.map(lambda digest: self._judge(digest, kind), unseen)
        for digest, (verdict, seen, sketch) in zip(unseen, judged, strict=True):
            known[digest] = FINE if verdict == FINE else verdict
            if sketch is not None:
                self.sketches[kind].add(digest, sketch)
            if isinstance(seen, ImageFacts):
                self.counts.add_image(seen)
            elif seen is not None:
                self.counts.add_recording(seen)
        return [None if digest is None else known[digest] for digest in digests]

    def _judge(self, digest: str, kind: MediaKind) -> Judged:
        content, suffix = self._store.read(digest), self._store.suffix(digest)
        if kind == "image":
            return judge_image(content, self._limits, suffix)
        return judge_audio(content, self._limits, suffix)


def judge_image(content: bytes, limits: CleanParams, suffix: str = "") -> Judged:
    """Decode an image, once, and hold it against the limits.

    A large image is made smaller on the way, a JPEG as it is decoded; all of its bytes are checked.
    The checks and the small picture are made from that.
    """
    try:
        image = open_image(content, limits.max_image_pixels)
        facts = image_facts(image)
        if facts.n_frames > 1:
            image = open_image(content, limits.max_image_pixels)
        image = decode_opened(image, enough_pixels=GREY_SIDE_PIXELS // 2)
    except Undecodable as fault:
        return Judged(Verdict(fault.reason, fault.detail, ()))
    if facts.format == "PNG" and (damage := png_damage(content)):
        return Judged(Verdict(*damage, ()))
    size = f"{facts.width} × {facts.height} pixels"
    short, long = sorted((facts.width, facts.height))
    if short < limits.min_image_side_pixels:
        detail = f"{size}, a side is under {limits.min_image_side_pixels}"
        return Judged(Verdict("too_small", detail, ()))
    if long > short * limits.max_image_aspect:
        detail = f"{size}, one side over {limits.max_image_aspect:g} times the other"
        return Judged(Verdict("extreme_aspect", detail, ()))
    grey = small_grey(image)
    # All pixels of an image can only be alike where those of its small copy nearly are.
    blank = bool(np.ptp(grey) <= NEARLY_ALIKE) and is_blank_image(
        decode_image(content, limits.max_image_pixels)
    )
    # What was made smaller than the limit is meant for looks that much sharper.
    smaller = min(max(facts.width, facts.height), GREY_SIDE_PIXELS) / max(grey.shape)
    seen = pixel_flags(grey, blank, limits.min_image_sharpness * smaller**2)
    return Judged(
        Verdict("", "", (*file_flags(content, facts, suffix), *seen)),
        facts,
        image_sketch(image, facts.width * facts.height),
    )


def judge_audio(content: bytes, limits: CleanParams, suffix: str = "") -> Judged:
    """Decode a recording and hold it against the limits."""
    try:
        recording = decode_audio(content, limits.max_audio_seconds)
    except Undecodable as fault:
        return Judged(Verdict(fault.reason, fault.detail, ()))
    if recording.seconds < limits.min_audio_seconds:
        detail = f"{recording.seconds:.4g} s, under {limits.min_audio_seconds:g} s"
        return Judged(Verdict("too_short", detail, ()))
    return Judged(
        Verdict("", "", tuple(audio_flags(recording, suffix))),
        audio_facts(recording),
        audio_sketch(recording),
    )


def is_blank_image(image: Image.Image) -> bool:
    """Tell whether all pixels of an RGB image are of one colour."""
    return all(low == high for low, high in np.reshape(image.getextrema(), (-1, 2)))
