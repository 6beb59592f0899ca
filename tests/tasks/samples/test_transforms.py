import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.augment.policies import (
    _RANDAUGMENT_OPERATIONS,
    audio_policies,
    image_policies,
    randaugment,
    timeseries_policies,
)
from tasks.errors import DataError, PipelineError
from tasks.samples.decoding import Recording
from tasks.samples.transforms import (
    apply_recipe,
    audio_transforms,
    image_transforms,
    timeseries_transforms,
)

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
    assert {*image_policies, *_RANDAUGMENT_OPERATIONS} == set(image_transforms)
    assert list(audio_policies) == list(audio_transforms)
    assert list(timeseries_policies) == list(timeseries_transforms)


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
def test_a_recording_keeps_its_length_but_for_speed_and_one_recipe_gives_the_same_bytes(
    names, seed, n
):
    recipe = drawn(audio_policies, names, seed)
    before = recording(n)
    untouched = before.samples.tobytes()
    first, second = (apply_recipe(before, recipe, "audio") for _ in range(2))
    assert first.samples.tobytes() == second.samples.tobytes()
    assert first.samples.dtype == np.float32
    factors = [step["factor"] for step in recipe if step["name"] == "speed"]
    assert len(first.samples) == pytest.approx(n / np.prod(factors), abs=2 + len(factors))
    assert first.rate_hz == before.rate_hz
    assert factors or len(first.samples) == n
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


@given(seed=st.integers(0, 2**32), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
@quick
def test_randaugment_takes_two_different_steps_that_keep_the_size(seed, size):
    steps = randaugment(np.random.default_rng(seed))
    assert len({step["name"] for step in steps}) == 2
    assert "flip_horizontal" not in {step["name"] for step in steps}
    assert apply_recipe(image(*size), steps, "image").size == size


def test_crop_shows_the_part_stretched_to_the_whole():
    step = {"name": "crop", "x": 0.5, "y": 0.0, "width": 0.5, "height": 1.0}
    halves = Image.new("RGB", (20, 10), (255, 0, 0))
    halves.paste((0, 0, 255), (10, 0, 20, 10))
    shown = np.asarray(apply_recipe(halves, [step], "image"))
    assert (shown[:, 1:] == [0, 0, 255]).all()


def test_blur_keeps_the_mean_and_lowers_the_spread():
    before = np.asarray(image(60, 60)).astype(float)
    after = np.asarray(apply_recipe(image(60, 60), [{"name": "blur", "radius": 0.02}], "image"))
    assert after.mean() == pytest.approx(before.mean(), abs=1)
    assert after.std() < 0.6 * before.std()


def test_a_coarser_jpeg_is_further_from_the_image():
    def far(quality):
        after = apply_recipe(image(64, 64), [{"name": "jpeg", "quality": quality}], "image")
        return np.abs(np.asarray(after).astype(float) - np.asarray(image(64, 64))).mean()

    assert far(20) > far(60) > far(95) > 0


def test_a_time_mask_silences_its_part_alone():
    step = {"name": "time_mask", "start": 0.25, "length": 0.5}
    after = apply_recipe(recording(), [step], "audio").samples
    assert not after[200:600].any()
    assert (after[:200] == recording().samples[:200]).all()
    assert (after[600:] == recording().samples[600:]).all()


def test_a_frequency_mask_takes_its_band_out_alone():
    time = np.arange(8000) / 8000
    low, high = np.sin(2 * np.pi * 200 * time), np.sin(2 * np.pi * 3000 * time)
    both = Recording((low + high).astype(np.float32), 8000, 1)
    after = apply_recipe(both, [{"name": "frequency_mask", "low": 0.8, "high": 1.0}], "audio")
    assert after.samples == pytest.approx(low, abs=1e-3)


@pytest.mark.parametrize(("factor", "hz"), [(1.25, 500), (0.8, 320)])
def test_speed_moves_pitch_and_length(factor, hz):
    tone = Recording(np.sin(2 * np.pi * 400 * np.arange(8000) / 8000).astype(np.float32), 8000, 1)
    after = apply_recipe(tone, [{"name": "speed", "factor": factor}], "audio").samples
    assert len(after) == pytest.approx(8000 / factor, abs=2)
    peak = np.abs(np.fft.rfft(after)).argmax() * 8000 / len(after)
    assert peak == pytest.approx(hz, abs=3)


def window(n=50, channels=2):
    values = np.stack([np.sin(np.arange(n) / (3 + c)) + c for c in range(channels)], axis=1)
    return values.astype(np.float32)


@given(
    names=st.lists(st.sampled_from(list(timeseries_policies)), max_size=3),
    seed=st.integers(0, 2**32),
    n=st.integers(1, 60),
    gap=st.integers(0, 20),
)
@quick
def test_a_window_keeps_its_shape_and_one_recipe_gives_the_same_bytes(names, seed, n, gap):
    recipe = drawn(timeseries_policies, names, seed)
    before = window(n)
    before[:gap, 0] = np.nan
    first, second = (apply_recipe(before.copy(), recipe, "timeseries") for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert (first.shape, first.dtype) == (before.shape, np.float32)
    assert np.isfinite(first[:, 1]).all()
    if "warp" not in names:
        assert (np.isnan(first) == np.isnan(before)).all()


def test_jitter_is_a_part_of_each_channels_own_spread():
    wide = np.random.default_rng(0).normal(0, [1.0, 50.0], (4000, 2)).astype(np.float32)
    after = apply_recipe(wide, [{"name": "jitter", "sigma": 0.1, "seed": 3}], "timeseries")
    assert (after - wide).std(axis=0) == pytest.approx([0.1, 5.0], rel=0.1)


def test_scale_multiplies_each_channel_by_one_factor():
    before = window() + 3
    after = apply_recipe(before, [{"name": "scale", "sigma": 0.1, "seed": 3}], "timeseries")
    for ratio in (after / before).T:
        assert ratio == pytest.approx(ratio[0], rel=1e-4)
        assert ratio[0] != pytest.approx(1, abs=1e-4)


def test_warp_keeps_the_ends_and_the_range_and_moves_what_lies_between():
    after = apply_recipe(window(), [{"name": "warp", "sigma": 0.2, "seed": 3}], "timeseries")
    assert after[[0, -1]] == pytest.approx(window()[[0, -1]], abs=1e-5)
    assert window().min() <= after.min() <= after.max() <= window().max()
    assert np.abs(after - window()).max() > 0.05
