"""Cheap features: a row for each distinct value, whatever the order, and no value where none is."""

import io

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image

from tasks.samples.cheap_features.extract import features_of
from tasks.samples.cheap_features.images import SIDE, image_features
from tasks.samples.cheap_features.recordings import N_FEATURES
from tasks.samples.cheap_features.sampling import stable_choice
from tasks.samples.cheap_features.series import window_features
from tasks.samples.media import MediaInMemory, digest_of
from tasks.samples.schema import InputSpec, TabularColumn
from tasks.samples.windows import encode_window

RNG = np.random.default_rng(0)


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), (level, 0, 0)).save(buffer, format="PNG")
    return buffer.getvalue()


def wav(hertz: float, seconds: float = 0.3, rate: int = 8000) -> bytes:
    buffer = io.BytesIO()
    wave = np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    soundfile.write(buffer, 0.5 * wave, rate, format="WAV")
    return buffer.getvalue()


def spec(modality: str, **more: object) -> InputSpec:
    return InputSpec.model_validate({"name": "x", "modality": modality, "column": "a.x"} | more)


CONTENTS = {
    "image": [png(10), png(200)],
    "audio": [wav(300), wav(2000)],
    "timeseries": [encode_window(RNG.normal(size=(20, 3))) for _ in range(2)],
}


@pytest.mark.parametrize("modality", ["image", "audio", "timeseries", "text"])
def test_each_distinct_value_gets_one_row_and_a_missing_one_none(modality):
    contents = CONTENTS.get(modality)
    names = [digest_of(c) for c in contents] if contents else ["a red hat", "the blue house"]
    media = MediaInMemory(dict(zip(names, contents, strict=True))) if contents else None
    more = {"channels": ("p_x", "p_y", "q")} if modality == "timeseries" else {}
    values = [names[0], None, names[1], names[0]]
    found = features_of(pa.table({"a.x": values}), spec(modality, **more), media)
    assert found.distinct.shape[0] == 2
    assert found.distinct.dtype == np.float32
    assert np.isfinite(found.distinct).all()
    assert found.index[0] == found.index[3] != found.index[2]
    assert found.index[1] == -1
    rows = found.of_samples()
    assert np.isnan(rows[1]).all()
    assert np.array_equal(rows[0], rows[3])
    assert not np.array_equal(rows[0], rows[2])

    again = features_of(pa.table({"a.x": values[::-1]}), spec(modality, **more), media)
    assert np.array_equal(again.distinct, found.distinct)
    assert np.array_equal(again.index, found.index[::-1])


def test_what_cannot_be_read_is_counted_and_missing():
    good, bad = png(10), b"not an image"
    media = MediaInMemory({digest_of(c): c for c in (good, bad)})
    table = pa.table({"a.x": [digest_of(bad), digest_of(good)]})
    found = features_of(table, spec("image"), media)
    assert found.n_unreadable == 1
    assert found.distinct.shape[0] == 1
    assert found.index.tolist() == [-1, 0]


def test_numbers_are_on_one_scale_and_gaps_have_a_mark():
    table = pa.table(
        {
            "a.n": [1.0, 2.0, 3.0, None, 1e9],
            "a.c": ["u", "v", None, None, "u"],
            "a.k": pa.array([None] * 5, pa.float64()),
        }
    )
    columns = tuple(
        TabularColumn(name=n, kind=k)
        for n, k in (("a.n", "number"), ("a.c", "category"), ("a.k", "number"))
    )
    found = features_of(table, InputSpec(name="t", modality="tabular", columns=columns), None)
    assert np.isfinite(found.distinct).all()
    assert np.abs(found.distinct).max() < 25
    assert found.index.tolist() == [0, 1, 2, -1, 4]
    assert len(np.unique(found.distinct[:3], axis=0)) == 3


def test_edges_that_run_another_way_give_other_features():
    upright = np.zeros((1, SIDE, SIDE, 3), dtype=np.uint8)
    upright[:, :, SIDE // 2 :] = 255
    lying = upright.transpose(0, 2, 1, 3)
    a, b = image_features(upright), image_features(np.ascontiguousarray(lying))
    edges = slice(192, 192 + (SIDE // 4) ** 2 * 9)
    assert a[0, edges].reshape(-1, 9).sum(axis=0).argmax() == 0
    assert b[0, edges].reshape(-1, 9).sum(axis=0).argmax() in (4, 5)
    assert np.allclose(a[0, -64:], b[0, -64:])


def test_a_recording_at_another_rate_sounds_alike():
    media = {digest_of(c): c for c in (wav(440, 0.5), wav(440, 0.5, 16_000), wav(1500, 0.5))}
    table = pa.table({"a.x": list(media)})
    found = features_of(table, spec("audio"), MediaInMemory(media))
    assert found.distinct.shape == (3, N_FEATURES)
    same, other = found.of_samples()[1], found.of_samples()[2]
    first = found.of_samples()[0]
    assert np.linalg.norm(first - same) < 0.5 * np.linalg.norm(first - other)


def test_the_length_of_a_sensor_does_not_depend_on_how_it_is_held():
    values = RNG.normal(size=(1, 50, 3)).astype(np.float32)
    turned = values[:, :, [1, 0, 2]] * np.float32([1, -1, 1])
    channels = ("acc_x", "acc_y", "acc_z")
    a, b = window_features(values, channels), window_features(turned, channels)
    n_kinds = 4
    mean = slice(n_kinds - 1, n_kinds)
    assert np.allclose(a[:, mean], b[:, mean], atol=1e-5)
    assert not np.allclose(a, b, atol=1e-2)


def test_a_window_of_nothing_is_missing_and_gaps_are_bridged():
    windows = RNG.normal(size=(2, 10, 2)).astype(np.float32)
    windows[0] = np.nan
    windows[1, 3:6, 0] = np.nan
    windows[1, :, 1] = np.nan
    found = window_features(windows, ("p", "q"))
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


def test_most_of_a_choice_stays_when_names_are_added():
    names = [f"name {i}" for i in range(1000)]
    before = {names[i] for i in stable_choice(names, 100)}
    more = [*names, *(f"new {i}" for i in range(100))]
    after = {more[i] for i in stable_choice(more, 100)}
    assert len(before) == len(after) == 100
    assert len(before & after) >= 80
    assert {names[i] for i in stable_choice(names, 100, seed=1)} != before
