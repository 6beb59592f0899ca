import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.augment.policies import audio_policies, image_policies
from tasks.errors import DataError, PipelineError
from tasks.samples.decoding import Recording
from tasks.samples.transforms import apply_recipe, audio_transforms, image_transforms

quick = settings(max_examples=60, deadline=None)


def image(width=20, height=14, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def recording(n=800, rate_hz=8000):
    return Recording(np.sin(np.arange(n) / 7).astype(np.float32) * 0.5, rate_hz, 1)


def drawn(policies, names, seed):
    rng = np.random.default_rng(seed)
    steps = [(name, policies.get(name)(rng)) for name in names]
    return [{"name": name, **numbers} for name, numbers in steps if numbers is not None]


def test_every_policy_has_its_transform():
    assert list(image_policies) == list(image_transforms)
    assert list(audio_policies) == list(audio_transforms)


@given(
    names=st.lists(st.sampled_from(list(image_policies)), max_size=4),
    seed=st.integers(0, 2**32),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
@quick
def test_an_image_keeps_its_size_and_one_recipe_gives_the_same_bytes(names, seed, size):
    recipe = drawn(image_policies, names, seed)
    before = image(*size)
    untouched = before.tobytes()
    first, second = (apply_recipe(before, recipe, "image") for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert (first.size, first.mode) == (before.size, "RGB")
    assert before.tobytes() == untouched


@given(
    names=st.lists(st.sampled_from(list(audio_policies)), max_size=4),
    seed=st.integers(0, 2**32),
    n=st.integers(0, 900),
)
@quick
def test_a_recording_keeps_its_length_and_one_recipe_gives_the_same_bytes(names, seed, n):
    recipe = drawn(audio_policies, names, seed)
    before = recording(n)
    untouched = before.samples.tobytes()
    first, second = (apply_recipe(before, recipe, "audio") for _ in range(2))
    assert first.samples.tobytes() == second.samples.tobytes()
    assert first.samples.dtype == np.float32
    assert (len(first.samples), first.rate_hz) == (n, before.rate_hz)
    assert np.isfinite(first.samples).all()
    assert before.samples.tobytes() == untouched


def test_no_steps_change_nothing():
    assert apply_recipe(image(), [], "image").tobytes() == image().tobytes()


def test_steps_are_applied_in_their_order():
    steps = [{"name": "shift", "dx": 0.5, "dy": 0.0}, {"name": "flip_horizontal"}]
    one = apply_recipe(image(), steps, "image")
    assert one.tobytes() != apply_recipe(image(), steps[::-1], "image").tobytes()


def test_shift_moves_pixels_and_repeats_the_edge():
    before = np.asarray(image(20, 10))
    after = np.asarray(
        apply_recipe(image(20, 10), [{"name": "shift", "dx": 0.1, "dy": -0.2}], "image")
    )
    assert (after[:8, 2:] == before[2:, :18]).all()
    assert (after[:8, :2] == before[2:, :1]).all()
    assert (after[8:, 2:] == before[9:, :18]).all()


def test_rotation_of_one_colour_shows_no_corners():
    plain = Image.new("RGB", (17, 30), (10, 200, 30))
    turned = apply_recipe(plain, [{"name": "rotate", "degrees": 12.0}], "image")
    assert turned.tobytes() == plain.tobytes()


def test_image_noise_is_of_its_strength_and_seed():
    grey = Image.new("RGB", (100, 100), (128, 128, 128))
    noisy = [
        np.asarray(apply_recipe(grey, [{"name": "noise", "sigma": 8.0, "seed": s}], "image"))
        for s in (1, 2)
    ]
    assert noisy[0].astype(float).std() == pytest.approx(8, abs=0.3)
    assert (noisy[0] != noisy[1]).mean() > 0.8


def test_erase_paints_the_rectangle_only():
    step = {"name": "erase", "x": 0.25, "y": 0.5, "width": 0.5, "height": 0.25}
    before, after = (
        np.asarray(image(20, 20)),
        np.asarray(apply_recipe(image(20, 20), [step], "image")),
    )
    changed = (before != after).any(axis=2)
    assert changed[10:15, 5:15].mean() > 0.9
    assert changed.sum() == changed[10:15, 5:15].sum()


def test_colour_of_one_leaves_an_image_as_it_is():
    step = {"name": "colour", "brightness": 1.0, "contrast": 1.0, "saturation": 1.0}
    assert apply_recipe(image(), [step], "image").tobytes() == image().tobytes()


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_audio_noise_has_the_asked_for_ratio(snr_db):
    before = recording(20_000)
    after = apply_recipe(before, [{"name": "noise", "snr_db": snr_db, "seed": 3}], "audio")
    noise = after.samples - before.samples
    ratio = 10 * np.log10(np.square(before.samples).mean() / np.square(noise).mean())
    assert ratio == pytest.approx(snr_db, abs=0.2)


def test_silence_gets_no_noise():
    silent = Recording(np.zeros(100, dtype=np.float32), 8000, 1)
    after = apply_recipe(silent, [{"name": "noise", "snr_db": 10.0, "seed": 3}], "audio")
    assert not after.samples.any()


def test_gain_is_in_decibels():
    after = apply_recipe(recording(), [{"name": "gain", "db": -6.0206}], "audio")
    assert after.samples == pytest.approx(recording().samples / 2, abs=1e-5)


@pytest.mark.parametrize(("seconds", "moved"), [(0.01, 80), (-0.01, -80), (5.0, 400)])
def test_audio_is_moved_within_its_length(seconds, moved):
    before = recording().samples
    after = apply_recipe(recording(), [{"name": "shift", "seconds": seconds}], "audio").samples
    if moved > 0:
        assert (after[moved:] == before[:-moved]).all()
        assert not after[:moved].any()
    else:
        assert (after[:moved] == before[-moved:]).all()
        assert not after[moved:].any()


def test_an_unknown_step_names_the_known_ones():
    with pytest.raises(PipelineError, match=r"unknown image transform 'shfit'.*'shift'"):
        apply_recipe(image(), [{"name": "shfit"}], "image")


def test_a_step_with_wrong_numbers_is_refused():
    with pytest.raises(DataError, match="'shift' cannot take"):
        apply_recipe(image(), [{"name": "shift", "dz": 1}], "image")


def test_text_takes_no_recipe():
    with pytest.raises(DataError, match="found one for 'text'"):
        apply_recipe(image(), [], "text")
