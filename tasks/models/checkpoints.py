"""Pre-trained encoders: where they come from, whether they are safe, and how they are loaded.

Only safetensors are read; no code that comes with a checkpoint is run; the network is used only for
a name that says so, ``hub:NAME@REVISION``, and then only at that revision.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModel

from tasks.errors import ModelError, listing
from tasks.models.processors.base import read_json

PRETRAIN = "pretrain"
HUB = "hub:"
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


@dataclass(frozen=True)
class Checkpoint:
    """An encoder that training starts from.

    Attributes:
        name: As written in params.yaml.
        folder: Where its files are.
        made_here: Whether the pretrain stage made it.
    """

    name: str
    folder: Path
    made_here: bool


def find_checkpoint(name: str, modality: str, pretrain: Path, root: Path) -> Checkpoint:
    """Return the checkpoint that a name in params.yaml means.

    Args:
        name: ``pretrain``, a folder, or ``hub:NAME@REVISION``.
        modality: The modality it is to encode.
        pretrain: Output folder of the pretrain stage.
        root: The project's folder, which relative folders are relative to.

    Raises:
        ModelError: It is not there, or not safe to load.
    """
    if name == PRETRAIN:
        folder = pretrain / modality
        if not folder.is_dir():
            made = listing(sorted(p.name for p in pretrain.iterdir() if p.is_dir())) or "none"
            raise ModelError(
                f"the pretrain stage made no {modality} encoder (it made: {made}); "
                f"add {modality} to pretrain.modalities, or name a checkpoint under "
                "finetune.encoders"
            )
        return Checkpoint(name, folder, made_here=True)
    folder = _download(name) if name.startswith(HUB) else (root / name).expanduser()
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"checkpoint '{name}': expected a folder with config.json at {folder}; "
            "write hub:NAME@REVISION to take a model of the Hugging Face hub"
        )
    if "auto_map" in read_json(folder / "config.json"):
        raise ModelError(f"checkpoint '{name}' brings its own code (auto_map), which is never run")
    if not list(folder.glob("*.safetensors")):
        raise ModelError(
            f"checkpoint '{name}' holds no .safetensors file; other formats can run code and are "
            "not read: load it where it came from and save it again with save_pretrained"
        )
    return Checkpoint(name, folder, made_here=False)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, _, revision = name.removeprefix(HUB).partition("@")
    if not revision:
        raise ModelError(
            f"checkpoint '{name}' names no revision; write {HUB}{repository}@REVISION, so "
            "that the same name always means the same weights"
        )
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(_FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as fault:
        raise ModelError(
            f"checkpoint '{name}' could not be had from the hub ({type(fault).__name__}); "
            "check the name and the network, or name a local folder"
        ) from None


def encoder_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the encoder's own config as a mapping that rebuilds it."""
    config = AutoConfig.from_pretrained(
        checkpoint.folder, local_files_only=True, trust_remote_code=False
    )
    return {
        **{k: v for k, v in config.to_diff_dict().items() if k not in _NOT_ARCHITECTURE},
        "model_type": config.model_type,
    }


_NOT_ARCHITECTURE = (
    "transformers_version",
    "architectures",
    "id2label",
    "label2id",
    "_name_or_path",
)


def load_encoder(checkpoint: Checkpoint) -> Any:
    """Load the encoder without the head it was trained with.

    Raises:
        ModelError: Weights of the encoder are missing from the checkpoint.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    model, info = AutoModel.from_pretrained(
        checkpoint.folder,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    absent = [name for name in info["missing_keys"] if "pooler" not in name]
    if absent:
        raise ModelError(
            f"checkpoint '{checkpoint.name}' lacks weights of its encoder ({listing(absent, 3)}); "
            "is it a checkpoint of this architecture?"
        )
    return model
