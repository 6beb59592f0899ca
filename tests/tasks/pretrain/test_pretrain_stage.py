"""The pretrain stage: encoders in the transformers layout, the same bytes each time."""

import json
from pathlib import Path

import pytest
import torch
from tiny_project import tiny_params, write_tiny_project
from transformers import AutoModel

from tasks.__main__ import run_stage
from tasks.models.processors.text import TextProcessor
from tasks.pretrain.objectives import contrastive_loss, view
from tasks.samples.folders import folder_digest


def test_each_modality_gets_an_encoder_that_transformers_loads(tmp_path: Path) -> None:
    run_stage("pretrain", write_tiny_project(tmp_path), tmp_path)
    kinds = {}
    for modality in ("text", "image", "audio"):
        model = AutoModel.from_pretrained(tmp_path / "data" / "pretrain" / modality)
        kinds[modality] = type(model).__name__
    assert kinds == {"text": "BertModel", "image": "ResNetModel", "audio": "ResNetModel"}
    told = json.loads((tmp_path / "reports" / "pretrain.json").read_text())["encoders"]
    assert told["image"]["n_inputs"] == 24
    assert TextProcessor.load(tmp_path / "data" / "pretrain" / "text").arrays(["which?"]).size > 2


def test_the_same_settings_and_data_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        run_stage("pretrain", write_tiny_project(tmp_path / name), tmp_path / name)
    one, two = (folder_digest(tmp_path / n / "data" / "pretrain") for n in ("one", "two"))
    assert one == two


def test_no_epochs_leave_the_encoders_at_their_start(tmp_path: Path) -> None:
    write_tiny_project(tmp_path)
    params = tiny_params(pretrain={"epochs": 0, "modalities": ("image",)})
    run_stage("pretrain", params, tmp_path)
    told = json.loads((tmp_path / "reports" / "pretrain.json").read_text())["encoders"]
    assert told["image"]["last_loss"] is None
    assert not (tmp_path / "data" / "pretrain" / "text").exists()


@pytest.mark.parametrize("of_sound", [True, False])
def test_views_differ_but_sounds_keep_their_pitch(of_sound: bool) -> None:
    pictures = torch.zeros(4, 1, 32, 32)
    pictures[:, :, :, 20] = 10.0
    seen = view(pictures, torch.Generator().manual_seed(0), of_sound=of_sound)
    assert seen.shape == pictures.shape
    assert not torch.allclose(seen[0], seen[1])
    loudest = seen.mean(dim=(1, 2)).argmax(dim=1)
    assert (loudest == 20).all().item() == of_sound


def test_contrast_is_lower_where_views_of_one_picture_agree() -> None:
    class Mean(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> object:
            from transformers.modeling_outputs import BaseModelOutput

            return BaseModelOutput(last_hidden_state=pictures.mean(dim=(2, 3), keepdim=True))

    torch.manual_seed(0)
    colours = torch.randn(8, 16, 1, 1).expand(8, 16, 8, 8) * 5
    alike = torch.zeros(8, 16, 8, 8)
    losses = [
        contrastive_loss(
            Mean(), torch.nn.Identity(), p, torch.Generator().manual_seed(1), of_sound=False
        )
        for p in (colours, alike + torch.randn(8, 16, 8, 8))
    ]
    assert losses[0] < losses[1]
