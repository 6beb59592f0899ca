"""The embedded data set: the same bytes every time, and as noisy as it promises."""

import csv
import hashlib
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tasks.demo.digits_qa import ensure_digits_qa, write_digits_qa
from tasks.demo.signals import KEYPAD_HZ, RATE_HZ
from tasks.errors import SourceError
from tasks.samples.decoding import decode_audio, decode_image


def bytes_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def test_same_seed_same_bytes(tmp_path):
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    write_digits_qa(first, n_scans=20)
    write_digits_qa(again, n_scans=20)
    write_digits_qa(other, n_scans=20, seed=8)
    assert bytes_of(first) == bytes_of(again)
    assert bytes_of(first) != bytes_of(other)
    assert {path.name for path in tmp_path.iterdir()} == {"first", "again", "other"}


def test_is_written_once_and_whole(tmp_path):
    folder = tmp_path / "digits-qa"
    write_digits_qa(folder, n_scans=20)
    before = bytes_of(folder)
    assert ensure_digits_qa(folder) is False
    assert bytes_of(folder) == before


def test_leaves_a_folder_of_other_files_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SourceError, match="found other files"):
        write_digits_qa(tmp_path, n_scans=20)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_manifest_tells_what_is_there(digits_qa):
    manifest, folder = digits_qa.manifest, digits_qa.folder
    planted = manifest.planted
    rows = (folder / "questions.csv").read_text().splitlines()[1:]
    assert len(rows) == manifest.n_questions
    assert {row.split(",")[0] for row in rows if row.count(",") > 3} == set(planted.unreadable_rows)
    assert {row.split(",")[0] for row in rows if row.endswith(",")} == set(planted.empty_answers)
    scans = {path.stem for path in (folder / "images").iterdir()}
    assert set(manifest.digit_of) - scans == set(planted.missing_images)
    assert set(manifest.digit_of) - set(manifest.tone_of) == set(planted.scans_without_tone)
    tones = {f"tones/{path.name}" for path in (folder / "tones").iterdir()}
    assert len(tones) == manifest.n_tones
    assert tones - set(manifest.tone_of.values()) == set(planted.tones_without_scan)
    assert all(len(names) >= 1 for names in planted.model_dump().values())


def test_device_clock_is_off_by_what_the_manifest_says(digits_qa):
    manifest, folder = digits_qa.manifest, digits_qa.folder
    scans = [json.loads(line) for line in (folder / "scans.jsonl").read_text().splitlines()]
    shown = {row["scan_id"]: datetime.fromisoformat(row["shown_at"]) for row in scans}
    with (folder / "tones.csv").open() as file:
        recorded = {
            row["tone"]: datetime.fromisoformat(row["recorded_at"]) for row in csv.DictReader(file)
        }
    lags = {
        tone: (recorded[tone] - shown[scan]).total_seconds()
        for scan, tone in manifest.tone_of.items()
    }
    far = manifest.planted.tones_out_of_tolerance
    near = [lag for tone, lag in lags.items() if tone not in far]
    assert np.median(near) == pytest.approx(manifest.clock_offset_seconds, abs=0.03)
    assert np.std(near) == pytest.approx(manifest.clock_jitter_seconds, rel=0.4)
    assert all(abs(lags[tone] - manifest.clock_offset_seconds) > 0.6 for tone in far)


@pytest.fixture(scope="module")
def signals(tmp_path_factory):
    """Digits, pixels pooled to 8 × 8 and energies at the keypad's frequencies of 1,200 scans."""
    folder = tmp_path_factory.mktemp("full") / "digits-qa"
    manifest = write_digits_qa(folder, n_scans=1200)
    digits, pixels, tones = [], [], []
    planted = manifest.planted
    broken = {*planted.missing_images, *planted.truncated_images}
    cut = set(planted.truncated_tones)
    for scan, tone in manifest.tone_of.items():
        if scan in broken or tone in cut:
            continue
        digits.append(manifest.digit_of[scan])
        image = np.asarray(decode_image((folder / f"images/{scan}.png").read_bytes()))
        pixels.append(image[..., 0].reshape(8, 4, 8, 4).mean((1, 3)).ravel())
        samples = decode_audio((folder / tone).read_bytes()).samples
        power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
        places = [round(hz * len(samples) / RATE_HZ) for hz in sorted(set(sum(KEYPAD_HZ, ())))]
        tones.append(np.log([power[p - 1 : p + 2].max() / np.median(power) for p in places]))
    return np.array(digits), np.array(pixels), np.array(tones)


def test_neither_picture_nor_tone_is_enough_and_both_are(signals):
    digits, pixels, tones = signals
    n_train = int(0.7 * len(digits))
    alone, log_odds = {}, 0.0
    for name, seen in (("picture", pixels), ("tone", tones)):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=500))
        probe.fit(seen[:n_train], digits[:n_train])
        alone[name] = probe.score(seen[n_train:], digits[n_train:])
        log_odds = log_odds + probe.predict_log_proba(seen[n_train:])
    both = (log_odds.argmax(axis=1) == digits[n_train:]).mean()
    assert 0.65 < alone["picture"] < 0.88
    assert 0.70 < alone["tone"] < 0.92
    assert both > 0.92
