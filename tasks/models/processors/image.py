"""Images to pixels of the model's size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor

from tasks.errors import ModelError
from tasks.models.processors.base import as_tensor, read_json


class ImageProcessor:
    """A checkpoint's own image processor, in two halves.

    Resizing and cropping are done once and kept as 8-bit pixels; scaling and normalising are done
    on the device, batch by batch. torchvision is not needed.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.mean = np.asarray(processor.image_mean if processor.do_normalize else [0, 0, 0])
        self.std = np.asarray(processor.image_std if processor.do_normalize else [1, 1, 1])
        self.factor = float(processor.rescale_factor) if processor.do_rescale else 1.0

    @classmethod
    def load(cls, folder: Path, size_pixels: int | None = None) -> "ImageProcessor":
        """Load the image processor of a checkpoint, at its own size or another.

        Raises:
            ModelError: The folder holds no image processor.
        """
        path = folder / "preprocessor_config.json"
        settings = read_json(path)
        try:
            processor = AutoImageProcessor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, backend="pil"
            )
        except (OSError, ValueError, ImportError) as fault:
            raise ModelError(f"{path}: not an image processor: {fault}") from None
        if size_pixels is not None:
            square = {"height": size_pixels, "width": size_pixels}
            processor.size = type(processor.size)(**square)
            if settings.get("do_center_crop"):
                processor.crop_size = type(processor.crop_size)(**square)
        return cls(processor)

    def fingerprint(self) -> str:
        """Return text that changes whenever the pixels would."""
        return f"image {self.processor.to_json_string()}"

    def arrays(self, values: Sequence[Image.Image]) -> NDArray[np.uint8]:
        """Return ``(n, 3, height, width)`` 8-bit pixels.

        Raises:
            ModelError: The processor cannot take an image.
        """
        pixels = self.processor(
            images=list(values), do_rescale=False, do_normalize=False, return_tensors="np"
        )["pixel_values"]
        return np.asarray(pixels).astype(np.uint8)

    def tensor(self, arrays: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        """Return ``(n, 3, height, width)`` float32, scaled and normalised as the checkpoint was."""
        pixels = as_tensor(arrays, device).to(torch.float32)
        shape = (1, 3, 1, 1)
        mean = torch.as_tensor(self.mean, dtype=torch.float32, device=device).view(shape)
        std = torch.as_tensor(self.std, dtype=torch.float32, device=device).view(shape)
        return (pixels * self.factor - mean) / std

    def save(self, folder: Path) -> None:
        """Write preprocessor_config.json."""
        folder.mkdir(parents=True, exist_ok=True)
        self.processor.save_pretrained(folder)
