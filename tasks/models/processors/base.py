"""What every processor does: turn raw values of one input into one array, the same each time."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.errors import ModelError


class Processor(Protocol):
    """Turns distinct raw values into arrays, and arrays into what an encoder takes."""

    def fingerprint(self) -> str:
        """Return text that changes whenever the arrays would."""
        ...

    def arrays(self, values: Sequence[Any]) -> NDArray[Any]:
        """Return ``(n, …)``, compact: 8-bit pixels, half-precision spectra, token ids."""
        ...

    def tensor(self, arrays: NDArray[Any], device: torch.device) -> torch.Tensor:
        """Return what the encoder takes, on the device: scaled, normalised, trimmed."""
        ...

    def save(self, folder: Path) -> None:
        """Write the files that the processor can be loaded from."""
        ...


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a checkpoint.

    Raises:
        ModelError: The file is missing or not JSON.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise ModelError(f"{path}: expected a JSON file of the checkpoint ({fault})") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path}: expected a JSON object")
    return content


def as_tensor(arrays: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Copy an array, which may lie in a file, to the device."""
    return torch.from_numpy(np.array(arrays)).to(device, non_blocking=True)
