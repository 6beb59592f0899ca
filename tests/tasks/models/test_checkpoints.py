"""Checkpoints: what is not safe or not there is refused, with what to do about it."""

import json
from pathlib import Path

import pytest

from tasks.errors import ModelError
from tasks.models.checkpoints import find_checkpoint


def checkpoint(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    return folder


def found(name: str, root: Path) -> ModelError:
    (root / "pretrain" / "image").mkdir(parents=True, exist_ok=True)
    with pytest.raises(ModelError) as caught:
        find_checkpoint(name, "text", root / "pretrain", root)
    return caught.value


def test_a_missing_folder_names_where_it_was_looked_for(tmp_path: Path) -> None:
    assert f"at {tmp_path / 'weights/none'}" in str(found("weights/none", tmp_path))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (checkpoint(tmp_path / "old") / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    assert "no .safetensors file" in str(found("old", tmp_path))


def test_a_checkpoint_with_its_own_code_is_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path / "own", auto_map={"AutoModel": "evil.Model"})
    assert "brings its own code" in str(found("own", tmp_path))


def test_a_hub_name_needs_a_revision(tmp_path: Path) -> None:
    assert "names no revision" in str(found("hub:someone/model", tmp_path))


def test_an_encoder_that_pretrain_did_not_make_is_named(tmp_path: Path) -> None:
    assert "made no text encoder (it made: 'image')" in str(found("pretrain", tmp_path))
