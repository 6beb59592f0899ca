"""The page: before and after, as training applies it."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from PIL import Image

from tasks.augment.contact_sheet import side_by_side, step_in_words
from tasks.augment.policies import audio_policies, image_policies, timeseries_policies
from tasks.samples.media import digest_of
from tasks.samples.schema import InputSpec, SampleSchema
from tasks.samples.transforms import apply_recipe
from tasks.samples.windows import encode_window

IMAGE = InputSpec(name="image", modality="image", column="q.image")


def picture():
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def tone():
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.3 * np.sin(np.arange(4000) / 5), 8000, format="WAV")
    return buffer.getvalue()


@pytest.fixture
def page(augmenting, split_samples):
    window = encode_window(np.random.default_rng(0).normal(0, 1, (30, 2)))
    augmenting.media = [(picture(), ".png"), (tone(), ".wav")]
    augmenting.windows = [window]
    n = 20
    samples = split_samples(
        ["a", "b"] * (n // 2),
        ["train"] * n,
        image=[digest_of(picture())] * n,
        tone=[digest_of(tone())] * n,
        question=["is <b>it</b> on the left ?"] * n,
    )
    samples = samples.append_column("w.window", [[digest_of(window)] * n])
    schema = SampleSchema.of(samples)
    watch = InputSpec(
        name="watch", modality="timeseries", column="w.window", channels=("x", "y"), rate_hz=10.0
    )
    samples = schema.model_copy(update={"inputs": (*schema.inputs, watch)}).attach(samples)
    augmenting.run(
        samples, copies=1, text=("drop_word",), tabular=("noise",), balance="classes",
        online={"mixup": 0.2},
    )  # fmt: skip
    return (augmenting.root / "reports" / "augment.html").read_text(encoding="utf-8")


def test_the_page_shows_a_dozen_copies_of_every_modality(page):
    assert page.count('class="exhibit"') == 12
    assert page.count('src="data:image/png') == 12
    assert page.count('src="data:audio/wav') == 24
    assert page.count('src="data:image/svg+xml') == 24
    assert page.count(">question before<") == page.count(">question after<") == 12
    assert page.count(" → ") >= 12
    assert "turned by" in page
    assert "each channel scaled" in page
    assert "mixup" in page
    assert "seed" not in page
    assert len(page) < 2_000_000


def test_the_page_escapes_what_users_wrote_and_loads_nothing(page):
    assert "<b>it" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_the_image_after_is_what_training_reads():
    steps = [{"name": "rotate", "degrees": 10.0}, {"name": "flip_horizontal"}]
    piece = side_by_side(IMAGE, picture(), picture(), steps, "photos/1.png")
    shown = Image.open(io.BytesIO(base64.b64decode(piece.content.split(",")[1]))).convert("RGB")
    before = Image.open(io.BytesIO(picture())).convert("RGB")
    after = apply_recipe(before, steps, "image")
    assert shown.size == (2 * (2 * 32 + 2), 2 * 24)
    pixels = np.asarray(shown)[::2, ::2]
    assert np.array_equal(pixels[:, :32], np.asarray(before))
    assert np.array_equal(pixels[:, 34:], np.asarray(after))
    assert piece.path == "photos/1.png"


def test_the_image_after_may_be_that_of_another_camera():
    other = io.BytesIO()
    Image.new("RGB", (32, 24), (10, 200, 30)).save(other, format="PNG")
    piece = side_by_side(IMAGE, picture(), other.getvalue(), [{"name": "flip_horizontal"}], "")
    shown = Image.open(io.BytesIO(base64.b64decode(piece.content.split(",")[1]))).convert("RGB")
    assert (np.asarray(shown)[:, -60:] == (10, 200, 30)).all()


@pytest.mark.parametrize("modality", ["image", "audio", "timeseries"])
def test_every_step_has_its_words(modality):
    policies = {
        "image": image_policies,
        "audio": audio_policies,
        "timeseries": timeseries_policies,
    }[modality]
    for name in policies:
        drawn = [policies.get(name)(np.random.default_rng(seed)) for seed in range(9)]
        steps = [{"name": name, **numbers} for numbers in drawn if numbers is not None]
        assert steps
        for step in steps:
            words = step_in_words(modality, step)
            assert "{" not in words
            assert not words.startswith(f"{name} (")


def test_a_medium_that_is_not_there_is_said(augmenting, split_samples):
    augmenting.run(split_samples(["a", "b"], ["train"] * 2), copies=1)
    page = (augmenting.root / "reports" / "augment.html").read_text(encoding="utf-8")
    assert page.count("cannot be shown") == 4


def test_without_copies_the_page_shows_the_balance_alone(augmenting, split_samples):
    augmenting.run(split_samples(["a", "b"], ["train"] * 2))
    page = (augmenting.root / "reports" / "augment.html").read_text(encoding="utf-8")
    assert 'class="exhibit"' not in page
    assert "Classes" in page
