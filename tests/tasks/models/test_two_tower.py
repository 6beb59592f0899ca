"""A two-tower checkpoint says how well images and texts fit, as torch says itself."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from suspect_samples import COLOURS, World
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
)

from tasks.errors import ModelError
from tasks.models.two_tower import TwoTower

WORDS = ["[PAD]", "[BOS]", "[EOS]", "[UNK]", *COLOURS, "a", "house", "car", "boat", "hat", "leaf"]
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1} | {
    "num_attention_heads": 2
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip") / "tiny"
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config=SMALL
        | {"vocab_size": len(WORDS), "max_position_embeddings": 12}
        | {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
        vision_config=SMALL | {"image_size": 16, "patch_size": 8},
        projection_dim=8,
    )
    CLIPModel(config).save_pretrained(folder)
    words = Tokenizer(WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 1), ("[EOS]", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", eos_token="[EOS]", bos_token="[BOS]",
        unk_token="[UNK]", model_max_length=12,
    ).save_pretrained(folder)  # fmt: skip
    square = {"height": 16, "width": 16}
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=square).save_pretrained(folder)
    return folder


def test_vectors_are_those_of_the_checkpoint(checkpoint):
    towers = TwoTower.load(str(checkpoint), checkpoint.parent)
    texts = ["a red house", "a blue boat with many words that are cut at the end of it all"]
    images = [Image.new("RGB", (20, 16), colour) for colour in ("red", "blue")]
    text, image = towers.text_vectors(texts), towers.image_vectors(images)
    assert text.shape == image.shape == (2, 8)
    assert np.allclose(np.linalg.norm(text, axis=1), 1, atol=1e-5)

    model = CLIPModel.from_pretrained(checkpoint).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint)
    processor = CLIPImageProcessor.from_pretrained(checkpoint)
    for i in range(2):
        tokens = tokenizer(texts[i], return_tensors="pt", truncation=True)
        tokens.pop("token_type_ids", None)
        pixels = processor(images[i], return_tensors="pt")
        with torch.inference_mode():
            out = model(**tokens, **pixels)
        assert np.allclose(out.text_embeds[0], text[i], atol=1e-5)
        assert np.allclose(out.image_embeds[0], image[i], atol=1e-2)  # whole levels of brightness


def test_pairs_are_judged_by_the_checkpoint_where_one_is_named(checkpoint, tmp_path):
    world = World(120)
    colours = world.colour()
    world.add("picture", "image", [world.picture(c) for c in colours])
    world.add("note", "text", [f"a {c} house" for c in colours])
    world.add_table(x=world.rng.normal(size=world.n).tolist())
    settings = {"two_tower": str(checkpoint), "labels": "off"}
    found = world.judge(tmp_path, world.table(colours), settings)
    by = {(pair.left, pair.right): pair.by for pair in found.report.pairs}
    assert by[("picture", "note")] == "two_tower"
    assert by[("picture", "tabular")] == by[("note", "tabular")] == "learned"
    judged = next(pair for pair in found.report.pairs if pair.by == "two_tower")
    assert judged.n_judged == 120

    towers = TwoTower.load(str(checkpoint), tmp_path)
    notes = towers.text_vectors(world.columns["a.note"])
    pictures = towers.image_vectors(
        Image.open(io.BytesIO(world.media[digest])) for digest in world.columns["a.picture"]
    )
    mean = float((notes * pictures).sum(axis=1).mean() - (notes @ pictures.T).mean())
    assert (judged.told_apart > 0.5) == (mean > 0) or abs(judged.told_apart - 0.5) < 0.1


def test_a_checkpoint_with_one_tower_is_refused(checkpoint, tmp_path):
    small = SMALL | {"vocab_size": 9, "max_position_embeddings": 12}
    BertModel(BertConfig(**small)).save_pretrained(tmp_path / "bert")
    with pytest.raises(ModelError, match="a BertModel: expected one with an encoder for images"):
        TwoTower.load("bert", tmp_path)
    with pytest.raises(ModelError, match=r"expected a folder with config\.json"):
        TwoTower.load("nowhere", tmp_path)
