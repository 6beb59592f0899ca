"""Clean on the embedded data set and on tables of a few rows."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from tasks.errors import DataError
from tasks.samples.quarantine import read_quarantine
from tasks.samples.tables import read_table


def png(*size, colour=None):
    pixels = np.random.default_rng(sum(size)).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.full_like(pixels, colour) if colour is not None else pixels).save(
        file, "PNG"
    )
    return file.getvalue()


def wav(samples, rate_hz=8000):
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()


def test_every_planted_fault_is_set_aside_with_its_reason(digits_qa_cleaned):
    planted = digits_qa_cleaned.manifest.planted
    rows = read_quarantine(digits_qa_cleaned.root / "data" / "clean").to_pylist()
    found = {
        (row["source"], row["reason"]): {
            r["record_id"]
            for r in rows
            if (r["source"], r["reason"]) == (row["source"], row["reason"])
        }
        for row in rows
    }
    assert found.pop(("questions", "duplicate")) == set(planted.duplicate_questions)
    assert found.pop(("scans", "truncated")) == set(planted.truncated_images)
    collected = read_table(digits_qa_cleaned.root / "data/collect/records/tones.parquet")
    tone_of = {row["record_id"]: row["tone.path"] for row in collected.to_pylist()}
    assert {tone_of[r] for r in found.pop(("tones", "truncated"))} == set(planted.truncated_tones)
    assert found == {}


def test_wrong_and_empty_answers_are_not_for_clean_to_judge(digits_qa_cleaned):
    planted = digits_qa_cleaned.manifest.planted
    table = read_table(digits_qa_cleaned.root / "data" / "clean" / "records" / "questions.parquet")
    answers = {row["record_id"]: row["answer"] for row in table.to_pylist()}
    assert {name for name, answer in answers.items() if answer is None} == set(
        planted.empty_answers
    )
    assert set(planted.wrong_answers) <= answers.keys()


def test_required_columns(clean):
    outcome = clean("id,text,label\n1,a,x\n2,,y\n3,c,\n", limits={"required": ("label", "rows.id")})
    assert outcome.reasons == {"null_value": 1}
    assert outcome.quarantine[0]["column"] == "label"


def test_text_that_cannot_be_seen_or_is_too_long(clean):
    rows = ["1,\u200b\u2060,x", "2, \u3000,x", "3,abcd,x", "4,abc,x"]
    text = "id,text,label\n" + "\n".join(rows) + "\n"
    outcome = clean(text, limits={"max_text_characters": 3})
    assert outcome.reasons == {"empty_text": 2, "text_too_long": 1}
    assert [row["text"] for row in outcome.only()] == ["abc"]


def test_labels_and_keys_take_one_form_and_text_keeps_its_spaces(clean):
    rows = ["1, a e\u0301 ,cafe\u0301", "2,b,caf\u00e9 ", "3,c,caf\u200b\u00e9", "4,d, "]
    outcome = clean("id,text,label\n" + "\n".join(rows) + "\n")
    told = outcome.only()
    assert [row["label"] for row in told] == ["caf\u00e9"] * 3 + [None]
    assert told[0]["text"] == " a \u00e9 "
    assert outcome.report.sources[0].changed == {"text": 1, "label": 4}


def test_spellings_are_merged_and_lookalikes_told(clean):
    outcome = clean("id,text,label\n1,a,cat\n2,b,Cat\n3,c,dog\n4,d,ｃａｔ\n5,e,cat\n")
    assert [row["label"] for row in outcome.only()] == ["cat", "cat", "dog", "ｃａｔ", "cat"]
    source = outcome.report.sources[0]
    assert source.merged_categories == {"label": {"Cat": "cat"}}
    assert source.fixed == {"merged": 1}
    (notice,) = [n for n in source.notices if "lookalike_categories" in n]
    assert "'cat', 'ｃａｔ' look alike" in notice


def test_duplicates_but_for_their_id(clean):
    text = "id,text,label\n1,a,x\n2,a,x\n3,a,y\n4,a,x\n5,,\n6,,\n"
    outcome = clean(text, id="id", max_bad_fraction=0.0)
    assert [row["record_id"] for row in outcome.only()] == ["1", "3", "5"]
    assert {row["detail"] for row in outcome.quarantine} == {
        "says the same as record '1'",
        "says the same as record '5'",
    }
    kept = clean(text, id="id", limits={"drop_duplicates": False})
    assert len(kept.only()) == 6


def test_a_key_that_is_not_the_id_tells_records_apart(clean):
    assert len(clean("id,text,label\n1,a,x\n2,a,x\n").only()) == 2


def test_media_are_compared_by_content(clean):
    media = {"a.png": png(8, 8), "b.png": png(8, 8), "c.png": png(9, 9)}
    columns = {"image": "image", "label": "category"}
    outcome = clean("image,label\na.png,x\nb.png,x\nc.png,x\nb.png,y\n", media, columns=columns)
    assert outcome.reasons == {"duplicate": 1}
    assert [row["image.path"] for row in outcome.only()] == ["a.png", "c.png", "b.png"]
    assert outcome.report.media_decoded == 2


def test_image_limits(clean):
    media = {
        "ok.png": png(40, 20),
        "small.png": png(3, 20),
        "long.png": png(8, 500),
        "large.png": png(200, 200),
        "blank.png": png(20, 20, colour=255),
    }
    text = "image\n" + "".join(f"{name}\n" for name in media)
    limits = {"max_image_pixels": 10_000}
    outcome = clean(text, media, columns={"image": "image"}, limits=limits)
    told = {row["reason"]: row["detail"] for row in outcome.quarantine}
    assert told == {
        "too_small": "3 × 20 pixels, a side is under 4",
        "extreme_aspect": "8 × 500 pixels, one side over 50 times the other",
        "too_many_pixels": "200 × 200, more than 10,000 pixels",
    }
    assert outcome.report.sources[0].flags == {"blank_image": 1}
    assert outcome.report.sources[0].flagged["blank_image"] == (outcome.only()[1]["record_id"],)


def test_audio_limits(clean):
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    media = {
        "ok.wav": wav(noise),
        "short.wav": wav(noise[:100]),
        "long.wav": wav(np.tile(noise, 3)),
        "silent.wav": wav(np.zeros(8000)),
        "clipped.wav": wav(np.clip(noise * 20, -1, 1)),
    }
    text = "audio\n" + "".join(f"{name}\n" for name in media)
    outcome = clean(text, media, columns={"audio": "audio"}, limits={"max_audio_seconds": 2.0})
    assert outcome.reasons == {"too_short": 1, "too_long": 1}
    assert outcome.report.sources[0].flags == {"silent_audio": 1, "clipped_audio": 1}
    assert all(len(row["sha256"]) == 64 for row in outcome.quarantine)


def test_too_many_bad_records_stop_the_stage(clean, tmp_path):
    with pytest.raises(DataError, match=r"2 of 3 records are unusable \(empty_text: 2\)"):
        clean("id,text,label\n1, ,x\n2, ,y\n3,c,x\n", max_bad_fraction=0.5)
    assert not (tmp_path / "data" / "clean").exists()


def test_clean_needs_collect(tmp_path, settings, table, outcome_of):
    with pytest.raises(DataError, match="dvc repro collect"):
        outcome_of("clean", settings(table()), tmp_path)
