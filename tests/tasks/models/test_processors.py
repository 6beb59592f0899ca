"""Processors: the same arrays after saving and loading, and statistics of training rows alone."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessorPil

from tasks.errors import ModelError
from tasks.models.inference import processor_folder
from tasks.models.processors.audio import LogMelProcessor, LogMelSettings, at_rate
from tasks.models.processors.image import ImageProcessor
from tasks.models.processors.tabular import TabularProcessor
from tasks.models.processors.text import TextProcessor
from tasks.pretrain.architectures import learn_tokenizer
from tasks.samples.decoding import Recording
from tasks.samples.schema import InputSpec, SampleSchema, TabularColumn

CPU = torch.device("cpu")
MEL = LogMelSettings(8000, 200, 80, 256, 20, 60.0, 3900.0, 0.001, 30)


def tone(hz: float, seconds: float = 0.3, rate: int = 8000) -> Recording:
    time = np.arange(round(seconds * rate)) / rate
    return Recording(np.sin(2 * np.pi * hz * time).astype(np.float32), rate, 1)


def test_images_come_out_in_the_models_size_and_scale(tmp_path: Path) -> None:
    size = {"height": 8, "width": 8}
    made = ImageProcessor(
        ViTImageProcessorPil(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    )
    made.save(tmp_path)
    loaded = ImageProcessor.load(tmp_path)
    assert loaded.fingerprint() == made.fingerprint()
    arrays = loaded.arrays([Image.new("RGB", (20, 10), (255, 0, 51))])
    assert arrays.shape == (1, 3, 8, 8)
    assert arrays.dtype == np.uint8
    pixels = loaded.tensor(arrays, CPU)
    torch.testing.assert_close(pixels[0, :, 0, 0], torch.tensor([1.0, -1.0, -0.6]))
    assert ImageProcessor.load(tmp_path, 16).arrays([Image.new("RGB", (4, 4))]).shape[2:] == (
        16,
        16,
    )


def test_a_tone_is_loudest_in_the_band_of_its_pitch(tmp_path: Path) -> None:
    LogMelProcessor(MEL).save(tmp_path)
    processor = LogMelProcessor.load(tmp_path)
    low, high = processor.arrays([tone(300), tone(2000)])[:, 0, 5]
    assert low.argmax() < high.argmax()
    assert processor.arrays([tone(300)]).shape == (1, 1, 30, 20)


def test_a_recording_at_another_rate_gives_nearly_the_same_picture() -> None:
    processor = LogMelProcessor(MEL)
    here, there = processor.arrays([tone(700), tone(700, rate=16_000)]).astype(np.float32)
    assert np.abs(here[0, 2:20] - there[0, 2:20]).mean() < 0.1
    assert len(at_rate(tone(700, rate=16_000), 8000)) == 2400


def test_short_recordings_end_in_silence() -> None:
    picture = LogMelProcessor(MEL).arrays([tone(700, seconds=0.05)])[0, 0]
    np.testing.assert_allclose(picture[10:], np.log(0.001), rtol=1e-2)


def test_texts_are_cut_and_counted(tmp_path: Path) -> None:
    tokenizer = learn_tokenizer(["what is it", "is it red"], 32)
    made = TextProcessor(tokenizer, 5)
    made.save(tmp_path)
    processor = TextProcessor.load(tmp_path)
    ids = processor.arrays(["is it", "what is it is it red"])
    assert processor.n_tokens == 5
    assert processor.n_cut == 1
    assert (ids[0] >= 0).sum() == 4
    assert (ids[1] >= 0).sum() == 5
    assert processor.tensor(ids[:1], CPU).shape == (1, 4)
    np.testing.assert_array_equal(ids, made.arrays(["is it", "what is it is it red"]))


def test_tabular_statistics_are_those_of_the_rows_it_was_fitted_on(tmp_path: Path) -> None:
    columns = (
        TabularColumn(name="t.size", kind="number"),
        TabularColumn(name="t.place", kind="category"),
    )
    train = pa.table({"t.size": [1.0, 3.0, None], "t.place": ["b", "a", None]})
    TabularProcessor.fit(train, columns).save(tmp_path)
    processor = TabularProcessor.load(tmp_path)
    later = pa.table({"t.size": [3.0, None, 100.0], "t.place": ["a", "new", None]})
    np.testing.assert_array_equal(
        processor.arrays(later), [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [98.0, 0.0, 0.0]]
    )
    assert processor.n_values == [3]


def test_a_folder_without_a_processor_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"preprocessor_config\.json"):
        ImageProcessor.load(tmp_path)
    with pytest.raises(ModelError, match="tokenizer"):
        TextProcessor.load(tmp_path)


@pytest.mark.parametrize("name", ["../../outside", "/abroad", "..", "a/b", "a\0b", "x" * 300])
def test_no_name_of_an_input_leads_out_of_the_model(tmp_path: Path, name: str) -> None:
    spec = InputSpec(name=name, modality="image", column="t.x")
    schema = SampleSchema(inputs=(spec,), target_column="t.y", target_kind="category")
    assert processor_folder(schema, spec, tmp_path) == tmp_path / "processors" / "0-image"
