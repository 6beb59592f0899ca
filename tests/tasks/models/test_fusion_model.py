"""The fusion model: shapes, what gradients reach, what is missing, saving and loading."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, MobileNetV1Config, ResNetConfig, ViTConfig

from tasks.errors import ModelError
from tasks.models.config import FusionConfig
from tasks.models.encoders.backbone import BackboneEncoder, choose_trained, output_width
from tasks.models.fusion_model import FusionModel
from tasks.models.fusions import fusions

TEXT = BertConfig(
    vocab_size=30,
    hidden_size=16,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=16,
).to_diff_dict()
IMAGE = ResNetConfig(
    embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
).to_diff_dict()


def tiny_model(fusion: str = "gated", trained: str = "all", **changed: Any) -> FusionModel:
    torch.manual_seed(0)
    inputs = [
        {"name": "a.b", "modality": "text", "encoder": TEXT | {"model_type": "bert"}},
        {"name": "items", "modality": "image", "encoder": IMAGE | {"model_type": "resnet"}},
        {"name": "tabular", "modality": "tabular", "encoder": {}, "n_numbers": 1, "n_values": [3]},
    ]
    for spec in inputs:
        spec |= {"trained": trained, "frozen_norms": False}
    settings = {"inputs": inputs, "fusion": fusion, "width": 8, "classes": ["x", "y", "z"]}
    return FusionModel(FusionConfig(**(settings | changed)))


def tiny_batch(present: list[list[bool]]) -> dict[str, dict[str, torch.Tensor]]:
    """Four samples; ``present`` says for each input which of them have it."""
    generator = torch.Generator().manual_seed(1)
    values = {
        "a.b": torch.tensor([[1, 5, 6, 2], [1, 7, 2, -1]]),
        "items": torch.randn((2, 3, 16, 16), generator=generator),
        "tabular": torch.tensor([[0.5, 0.0, 1.0], [0.0, 1.0, 2.0]]),
    }
    batch = {}
    for (name, value), there in zip(values.items(), present, strict=True):
        index = torch.tensor([i % 2 for i in range(4) if there[i]], dtype=torch.long)
        batch[name] = {"present": torch.tensor(there), "index": index}
        if any(there):
            batch[name]["values"] = value
    return batch


ALL = [[True] * 4] * 3


@pytest.mark.parametrize("fusion", list(fusions))
def test_every_fusion_gives_a_row_a_sample_with_any_input_missing(fusion: str) -> None:
    model = tiny_model(fusion).eval()
    patterns = [ALL, [[True, False, True, False], [False] * 4, [True] * 4], [[False] * 4] * 3]
    for present in patterns:
        output = model(tiny_batch(present), labels=torch.tensor([0, 1, 2, 0]))
        assert output.logits.shape == (4, 3)
        assert torch.isfinite(output.logits).all()
        assert torch.isfinite(output.loss)


@pytest.mark.parametrize("fusion", list(fusions))
def test_sharing_an_input_changes_nothing(fusion: str) -> None:
    model = tiny_model(fusion).eval()
    shared = tiny_batch(ALL)
    apart = {
        name: {
            "present": given["present"],
            "index": torch.arange(4),
            "values": given["values"][given["index"]],
        }
        for name, given in shared.items()
    }
    torch.testing.assert_close(model(shared).logits, model(apart).logits)


@pytest.mark.parametrize("fusion", list(fusions))
def test_what_is_missing_in_one_sample_does_not_touch_another(fusion: str) -> None:
    model = tiny_model(fusion).eval()
    whole = model(tiny_batch(ALL)).logits
    gap = model(tiny_batch([[True] * 4, [True, True, True, False], [True] * 4])).logits
    torch.testing.assert_close(whole[:3], gap[:3])
    assert not torch.allclose(whole[3], gap[3])


@pytest.mark.parametrize("fusion", list(fusions))
def test_fusion_reads_every_input(fusion: str) -> None:
    model = tiny_model(fusion).eval()
    whole = model(tiny_batch(ALL)).logits
    for at in range(3):
        present = [[i != at] * 4 for i in range(3)]
        assert not torch.allclose(whole, model(tiny_batch(present)).logits)


@pytest.mark.parametrize("trained", ["none", "last_block", "all"])
def test_gradients_reach_what_is_trained_and_nothing_else(trained: str) -> None:
    model = tiny_model(trained=trained).train()
    model(tiny_batch(ALL), labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    for encoder in model.encoders:
        if isinstance(encoder, BackboneEncoder):
            reached = [p for p in encoder.parameters() if p.grad is not None]
            trainable = [p for p in encoder.parameters() if p.requires_grad]
            assert all(p.requires_grad for p in reached)
            assert bool(reached) == (trained != "none")
            if trained == "last_block":
                assert 0 < len(trainable) < len(list(encoder.parameters()))
    assert all(p.grad is not None for p in model.head.parameters())


def test_last_block_of_a_bert_is_its_last_layer_and_the_pooler() -> None:
    encoder = BackboneEncoder("text", TEXT | {"model_type": "bert"})
    choose_trained(encoder.backbone, "last_block")
    trained = {n for n, p in encoder.backbone.named_parameters() if p.requires_grad}
    assert trained
    assert all(n.startswith(("encoder.layer.2.", "pooler.")) for n in trained)


def test_frozen_batch_norm_keeps_its_statistics_in_training() -> None:
    config = MobileNetV1Config(depth_multiplier=0.25, image_size=32).to_diff_dict()
    spec = {
        "name": "image",
        "modality": "image",
        "encoder": config | {"model_type": "mobilenet_v1"},
        "trained": "all",
        "frozen_norms": True,
    }
    model = FusionModel(FusionConfig(inputs=[spec], width=8, classes=["x", "y"]))
    before = {n: b.clone() for n, b in model.named_buffers() if "running" in n}
    assert before
    batch = {
        "image": {
            "present": torch.ones(2, dtype=torch.bool),
            "index": torch.arange(2),
            "values": torch.randn(2, 3, 32, 32),
        }
    }
    model.train()
    model(batch, labels=torch.tensor([0, 1])).loss.backward()
    for name, buffer in model.named_buffers():
        if "running" in name:
            torch.testing.assert_close(buffer, before[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("modality", "config"),
    [
        ("text", TEXT | {"model_type": "bert"}),
        ("image", IMAGE | {"model_type": "resnet"}),
        (
            "image",
            ViTConfig(
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=16,
                image_size=16,
                patch_size=8,
            ).to_diff_dict()
            | {"model_type": "vit"},
        ),
        (
            "image",
            MobileNetV1Config(depth_multiplier=0.25).to_diff_dict()
            | {"model_type": "mobilenet_v1"},
        ),
    ],
)
def test_saved_and_loaded_models_give_equal_outputs(
    tmp_path: Any, modality: str, config: dict[str, Any]
) -> None:
    spec = {
        "name": "only",
        "modality": modality,
        "encoder": config,
        "trained": "all",
        "frozen_norms": False,
    }
    model = FusionModel(FusionConfig(inputs=[spec], width=8, classes=["x", "y"])).eval()
    values = torch.tensor([[1, 2]]) if modality == "text" else torch.randn(1, 3, 16, 16)
    batch = {
        "only": {
            "present": torch.ones(1, dtype=torch.bool),
            "index": torch.zeros(1, dtype=torch.long),
            "values": values,
        }
    }
    model.save_pretrained(tmp_path)
    loaded = FusionModel.load(tmp_path)
    expected = model(batch).logits
    torch.testing.assert_close(loaded(batch).logits, expected, rtol=1e-6, atol=1e-6)
    by_library = FusionModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(by_library(batch).logits, expected, rtol=1e-6, atol=1e-6)
    assert model.encoders[0].width == output_width(model.encoders[0].backbone)


def test_weights_that_are_no_number_are_refused(tmp_path: Any) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.missing[0, 0] = float("nan")
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="'missing' holds values that are no finite number"):
        FusionModel.load(tmp_path)


def test_truncated_weights_are_refused(tmp_path: Any) -> None:
    tiny_model().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        FusionModel.load(tmp_path)


def test_it_learns_eight_samples_by_heart() -> None:
    model = tiny_model(dropout=0.0).train()
    batch = tiny_batch(ALL)
    batch["tabular"] = {
        "present": torch.ones(4, dtype=torch.bool),
        "index": torch.arange(4),
        "values": torch.tensor([[v, 0.0, 1.0] for v in (-2.0, -1.0, 1.0, 2.0)]),
    }
    labels = torch.tensor([0, 1, 2, 0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(80):
        optimizer.zero_grad()
        model(batch, labels=labels).loss.backward()
        optimizer.step()
    assert np.argmax(model.eval()(batch).logits.detach().numpy(), axis=1).tolist() == [0, 1, 2, 0]
