"""digits-qa, the embedded data set: written as a user's files would be, dirt included.

A folder of ``questions.csv``, ``scans.jsonl`` with ``images/``, and ``tones.csv`` with ``tones/``.
Each scan is a handwritten digit (scikit-learn's bundled set) shown at a moment; a device with a
clock of its own recorded the same digit as a keypad tone. Answering takes the question and the
digit. ``manifest.json`` holds the truth and all that was planted; no stage reads it.
"""

import csv
import io
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from tasks.demo.manifest import FILE, DemoManifest, Planted
from tasks.demo.signals import noisy_picture, noisy_tone, png, wav
from tasks.errors import SourceError

CLOCK_OFFSET_SECONDS = 7.35
CLOCK_JITTER_SECONDS = 0.04
START = datetime(2024, 3, 1, 9, 0, tzinfo=UTC)
N_WRITERS = 40

_GAP_SECONDS = (2.2, 6.0)
_OUT_OF_TOLERANCE_SECONDS = 1.05
"""Further off than a tolerance of half a second, and nearer to no other scan: half of a gap."""

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_QUESTIONS = {
    "digit": ("which digit is it?", "what number was written?"),
    "even": ("is it even?", "can it be divided by two?"),
    "greater": ("is it greater than four?", "is it five or more?"),
}
_BROKEN_QUESTION = "is it odd, or even?"  # written without quotes: one cell too many


@dataclass
class _Question:
    question_id: str
    scan_id: str
    kind: str
    question: str
    answer: str


def ensure_digits_qa(folder: Path) -> bool:
    """Write the data set unless it is there, and return whether it was written."""
    if _is_complete(folder):
        return False
    write_digits_qa(folder)
    return True


def write_digits_qa(folder: Path, seed: int = 7, n_scans: int | None = None) -> DemoManifest:
    """Write the data set; it appears whole or not at all, the same bytes for the same arguments.

    Args:
        folder: Where to; an older copy of the data set is replaced.
        seed: Fixes all that is drawn at random.
        n_scans: How many scans; all digits that scikit-learn bundles where None.

    Raises:
        SourceError: The folder holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / FILE).is_file():
        raise SourceError(
            f"{folder}: expected nothing or an older digits-qa there, found other files; "
            "move them away, or write to another folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        manifest = _write(unfinished, seed, n_scans)
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return manifest


def _is_complete(folder: Path) -> bool:
    wanted = ("questions.csv", "scans.jsonl", "tones.csv", "images", "tones", FILE)
    return all((folder / name).exists() for name in wanted)


def _write(folder: Path, seed: int, n_scans: int | None) -> DemoManifest:
    images, digits = _shuffled_digits(seed, n_scans)
    scan_ids = [f"s{i:04d}" for i in range(len(digits))]
    pick = np.random.default_rng([seed, 1])
    missing, truncated, silent, cut, far = _disjoint(
        pick, scan_ids, (0.004, 0.005, 0.01, 0.005, 0.005)
    )
    shown = _moments(np.random.default_rng([seed, 2]), len(digits))

    (folder / "images").mkdir(parents=True)
    (folder / "tones").mkdir()
    _write_scans(folder, seed, images, scan_ids, shown, (missing, truncated))
    tone_of, cut_tones, far_tones, orphans = _write_tones(
        folder, seed, digits, scan_ids, shown, (silent, cut, far)
    )
    questions = _questions(np.random.default_rng([seed, 3]), digits, scan_ids)
    dirt = _dirty_questions(np.random.default_rng([seed, 4]), questions)
    _write_questions(folder / "questions.csv", questions, dirt["unreadable_rows"])
    manifest = DemoManifest(
        seed=seed,
        n_scans=len(scan_ids),
        n_questions=len(questions),
        n_tones=len(tone_of) + len(orphans),
        clock_offset_seconds=CLOCK_OFFSET_SECONDS,
        clock_jitter_seconds=CLOCK_JITTER_SECONDS,
        digit_of=dict(zip(scan_ids, digits.tolist(), strict=True)),
        tone_of=tone_of,
        planted=Planted(
            **dirt,
            missing_images=missing,
            truncated_images=truncated,
            scans_without_tone=silent,
            truncated_tones=cut_tones,
            tones_without_scan=orphans,
            tones_out_of_tolerance=far_tones,
        ),
    )
    (folder / FILE).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest


def _shuffled_digits(
    seed: int, n_scans: int | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    bundled = load_digits()
    order = np.random.default_rng([seed, 0]).permutation(len(bundled.target))[:n_scans]
    return bundled.images[order], bundled.target[order]


def _disjoint(
    rng: np.random.Generator, names: Sequence[str], fractions: Sequence[float]
) -> list[tuple[str, ...]]:
    """Draw groups of names that share none; each has one name at least."""
    order = rng.permutation(len(names))
    ends = np.cumsum([max(1, round(fraction * len(names))) for fraction in fractions])
    starts = np.concatenate([[0], ends[:-1]])
    return [
        tuple(sorted(names[i] for i in order[start:end]))
        for start, end in zip(starts, ends, strict=True)
    ]


def _moments(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Draw when each scan was shown, in seconds after the start."""
    return np.asarray(np.cumsum(rng.uniform(*_GAP_SECONDS, n)))


def _iso(seconds: float) -> str:
    moment = START + timedelta(milliseconds=round(seconds * 1000))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write_scans(
    folder: Path,
    seed: int,
    images: NDArray[np.float64],
    scan_ids: Sequence[str],
    shown: NDArray[np.float64],
    faults: tuple[Sequence[str], Sequence[str]],
) -> None:
    missing, truncated = (set(names) for names in faults)
    rng = np.random.default_rng([seed, 5])
    with (folder / "scans.jsonl").open("w", encoding="utf-8") as lines:
        for scan_id, image, at in zip(scan_ids, images, shown, strict=True):
            path = f"images/{scan_id}.png"
            row = {
                "scan_id": scan_id,
                "shown_at": _iso(at),
                "writer": f"w{rng.integers(N_WRITERS):02d}",
                "image": path,
            }
            lines.write(json.dumps(row) + "\n")
            content = png(noisy_picture(image, rng))
            if scan_id in truncated:
                content = content[: len(content) // 2]
            if scan_id not in missing:
                (folder / path).write_bytes(content)


def _write_tones(
    folder: Path,
    seed: int,
    digits: NDArray[np.int64],
    scan_ids: Sequence[str],
    shown: NDArray[np.float64],
    faults: tuple[Sequence[str], Sequence[str], Sequence[str]],
) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Write the recordings; return the tone of each scan and which are cut, far off and orphans."""
    silent, cut, far = (set(names) for names in faults)
    rng = np.random.default_rng([seed, 6])
    orphan_after = set(_gaps_with_orphans(rng, shown).tolist())
    tone_of: dict[str, str] = {}
    cut_tones, far_tones, orphans = [], [], []
    rows: list[tuple[str, str]] = []
    for i, (scan_id, digit) in enumerate(zip(scan_ids, digits.tolist(), strict=True)):
        if scan_id not in silent:
            off = _OUT_OF_TOLERANCE_SECONDS if scan_id in far else 0.0
            path = f"tones/t{len(rows):04d}.wav"
            rows.append((_iso(_device_time(shown[i] + off, rng)), path))
            content = wav(noisy_tone(digit, rng))
            if scan_id in cut:
                content = content[: len(content) * 2 // 3]
                cut_tones.append(path)
            if scan_id in far:
                far_tones.append(path)
            tone_of[scan_id] = path
            (folder / path).write_bytes(content)
        if i in orphan_after:
            path = f"tones/t{len(rows):04d}.wav"
            rows.append((_iso(_device_time((shown[i] + shown[i + 1]) / 2, rng)), path))
            (folder / path).write_bytes(wav(noisy_tone(int(rng.integers(10)), rng)))
            orphans.append(path)
    with (folder / "tones.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("recorded_at", "tone"))
        writer.writerows(rows)
    return tone_of, tuple(cut_tones), tuple(far_tones), tuple(orphans)


def _gaps_with_orphans(rng: np.random.Generator, shown: NDArray[np.float64]) -> NDArray[np.int64]:
    """Choose gaps between scans that are wide enough for a tone which is near to neither."""
    wide = np.flatnonzero(np.diff(shown) > 4.4)
    count = max(1, round(0.008 * len(shown)))
    return np.asarray(rng.choice(wide, size=min(count, len(wide)), replace=False))


def _device_time(true_seconds: float, rng: np.random.Generator) -> float:
    return float(true_seconds + CLOCK_OFFSET_SECONDS + rng.normal(0, CLOCK_JITTER_SECONDS))


def _questions(
    rng: np.random.Generator, digits: NDArray[np.int64], scan_ids: Sequence[str]
) -> list[_Question]:
    """Ask one question of each kind about each scan, in one of its wordings."""
    return [
        _Question("", scan_id, kind, str(rng.choice(_QUESTIONS[kind])), _answer(kind, digit))
        for scan_id, digit in zip(scan_ids, digits.tolist(), strict=True)
        for kind in _QUESTIONS
    ]


def _answer(kind: str, digit: int) -> str:
    if kind == "digit":
        return _WORDS[digit]
    return "yes" if (digit % 2 == 0 if kind == "even" else digit > 4) else "no"


def _wrong(rng: np.random.Generator, question: _Question) -> str:
    if question.kind == "digit":
        return str(rng.choice([word for word in _WORDS if word != question.answer]))
    return "no" if question.answer == "yes" else "yes"


def _dirty_questions(
    rng: np.random.Generator, questions: list[_Question]
) -> dict[str, tuple[str, ...]]:
    """Spoil some questions in place, repeat some at the end, and say which."""
    for i, question in enumerate(questions):
        question.question_id = f"q{i:05d}"
    by_id = {question.question_id: question for question in questions}
    repeated, empty, unreadable, wrong = _disjoint(rng, list(by_id), (0.005, 0.005, 0.003, 0.02))
    for name in empty:
        by_id[name].answer = ""
    for name in unreadable:
        by_id[name].question = _BROKEN_QUESTION
    for name in wrong:
        by_id[name].answer = _wrong(rng, by_id[name])
    duplicates = []
    for name in repeated:
        first = by_id[name]
        again = f"q{len(questions):05d}"
        questions.append(_Question(again, first.scan_id, first.kind, first.question, first.answer))
        duplicates.append(again)
    return {
        "duplicate_questions": tuple(duplicates),
        "empty_answers": empty,
        "unreadable_rows": unreadable,
        "wrong_answers": wrong,
    }


def _write_questions(path: Path, questions: Sequence[_Question], unreadable: Sequence[str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("question_id", "scan_id", "question", "answer"))
    for q in questions:
        if q.question_id in unreadable:
            text.write(f"{q.question_id},{q.scan_id},{q.question},{q.answer}\n")
        else:
            writer.writerow((q.question_id, q.scan_id, q.question, q.answer))
    path.write_text(text.getvalue(), encoding="utf-8")
