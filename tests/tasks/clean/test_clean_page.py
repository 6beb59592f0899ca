"""The data-quality page shows what was found, and nothing on it is obeyed."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

SCRIPT = "<script>alert(1)</script>"


def png(level, side=32):
    file = io.BytesIO()
    Image.new("L", (side, side), level).save(file, "PNG")
    return file.getvalue()


def half_an_image():
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()[:800]


def silence(n):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(n), 8000, format="WAV")
    return file.getvalue()


@pytest.fixture
def page(tmp_path):
    return lambda: (tmp_path / "reports" / "clean.html").read_text(encoding="utf-8")


def test_users_words_are_escaped_everywhere(clean, page):
    rows = "".join(f"{i}{SCRIPT},{SCRIPT} cafÃ© {i},{SCRIPT}\n" for i in range(30))
    rows += f"90{SCRIPT},N/A,{SCRIPT.upper()}\n91{SCRIPT},a\x07{SCRIPT},<script>alert(2)</script>\n"
    media = {"<b>.png": png(0)}
    clean(f"id,text,label\n{rows}", media, id="id", limits={"checks": {"mojibake": "fix"}})
    told = page()
    assert "<script" not in told.lower()
    assert "&lt;script&gt;" in told
    assert "Mended: mojibake" in told


def test_media_are_shown_and_unreadable_ones_named(clean, page):
    media = {f"blank{i}.png": png(10 * i) for i in range(9)}
    media |= {f"silent{i}.wav": silence(2000 + i) for i in range(3)}
    media |= {"<i>broken.png": half_an_image(), "ok.wav": silence(3000), "tiny.png": png(3, 2)}
    images = [n for n in media if n.endswith("png")]
    sounds = [n for n in media if n.endswith("wav")]
    rows = "".join(
        f"{a},{b}\n" for a, b in zip(images, sounds + [""] * (len(images) - 4), strict=True)
    )
    clean("image,audio\n" + rows, media, columns={"image": "image", "audio": "audio"})
    told = page()
    assert told.count('src="data:image/png') == 7  # six blank ones, and the tiny one
    assert told.count("<audio") == 4
    assert "&lt;i&gt;broken.png" in told
    assert "cannot be read: truncated" in told
    assert "<script" not in told


def test_columns_merges_and_numbers_are_told(clean, page):
    rows = "".join(f"{i},{'Cat' if i % 4 == 0 else 'cat'},{i * 1.5}\n" for i in range(60))
    columns = {"id": "key", "label": "category", "size": "number"}
    clean("id,label,size\n" + rows, columns=columns, id="id")
    told = page()
    assert "Mended: merged" in told
    assert "cat 60" in told
    assert "How the numbers are spread" in told
    assert "<svg" in told
    assert "60 of 60 records are kept" in told


def test_a_page_of_much_stays_small(clean, page, tmp_path):
    noise = np.random.default_rng(0)
    media = {}
    for i in range(8):
        file = io.BytesIO()
        soundfile.write(file, noise.normal(0, 0.1, 130_000) + 0.3, 24_001 + i, format="WAV")
        media[f"{i}.wav"] = file.getvalue()
    clean("audio\n" + "".join(f"{n}\n" for n in media), media, columns={"audio": "audio"})
    assert len(page()) < 2_000_000
    assert "left out: the page is full" in page()


def test_clean_data_gives_a_page_that_says_so(clean, page):
    clean("id,text,label\n1,first one,x\n2,second one,x\n3,a third,x\n", id="id")
    assert "Nothing was set aside, flagged or mended" in page()
