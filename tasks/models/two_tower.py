"""Checkpoints with an encoder for images and one for texts that share a space, such as CLIP.

Source:
    Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision,
    arXiv:2103.00020, section 2.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoModel

from tasks.errors import ModelError
from tasks.models.checkpoints import find_checkpoint
from tasks.models.processors.image import ImageProcessor
from tasks.models.processors.text import TextProcessor

BATCH = 64


class TwoTower:
    """An image encoder and a text encoder whose vectors are near where the two belong together."""

    def __init__(self, model: Any, images: ImageProcessor, texts: TextProcessor) -> None:
        self._model = model.eval()
        self._images, self._tokenizer = images, texts.tokenizer
        longest = int(model.config.text_config.max_position_embeddings)
        self._n_tokens = min(texts.n_tokens, longest)

    @classmethod
    def load(cls, name: str, root: Path) -> "TwoTower":
        """Load a checkpoint from a folder, or from the hub as ``hub:NAME@REVISION``.

        Raises:
            ModelError: It is not there, not safe to load, or has no two towers.
        """
        folder = find_checkpoint(name, "image", root, root).folder
        model = AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
        if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
            raise ModelError(
                f"checkpoint '{name}' is a {type(model).__name__}: expected one with an encoder "
                "for images and one for texts, such as CLIP"
            )
        return cls(model, ImageProcessor.load(folder), TextProcessor.load(folder))

    def image_vectors(self, images: Iterable[Image.Image]) -> NDArray[np.float32]:
        """Return ``(n, width)`` vectors of images, each of length 1."""
        return _vectors(self._image_batch, images)

    def text_vectors(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Return ``(n, width)`` vectors of texts, each of length 1; long texts are cut."""
        return _vectors(self._text_batch, texts)

    def _image_batch(self, images: Sequence[Image.Image]) -> Any:
        pixels = self._images.tensor(self._images.arrays(images), self._model.device)
        return self._model.get_image_features(pixel_values=pixels)

    def _text_batch(self, texts: Sequence[str]) -> Any:
        # Padded to the full length, as towers such as SigLIP's were trained; a mask is given to
        # those that take one.
        settings = {"padding": "max_length", "truncation": True, "max_length": self._n_tokens}
        tokens = self._tokenizer(list(texts), return_tensors="pt", **settings)
        return self._model.get_text_features(**tokens.to(self._model.device))


def _vectors(encode: Callable[[Sequence[Any]], Any], values: Iterable[Any]) -> NDArray[np.float32]:
    parts, waiting = [], iter(values)
    with torch.inference_mode():
        while batch := list(islice(waiting, BATCH)):
            found = encode(batch)
            vectors = found if isinstance(found, torch.Tensor) else found.pooler_output
            parts.append(torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy())
    return np.concatenate(parts)
