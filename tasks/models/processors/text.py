"""Texts to token ids."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer

from tasks.errors import ModelError
from tasks.models.processors.base import as_tensor

_SETTINGS = "fuseline_text.json"


class TextProcessor:
    """A checkpoint's own tokenizer; texts are cut at ``n_tokens``, and how many is counted."""

    def __init__(self, tokenizer: Any, n_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.n_tokens = n_tokens
        self.n_cut = 0

    @classmethod
    def load(cls, folder: Path, n_tokens: int | None = None) -> "TextProcessor":
        """Load the tokenizer of a checkpoint.

        Raises:
            ModelError: The folder holds no tokenizer.
        """
        settings = folder / _SETTINGS
        if n_tokens is None and settings.is_file():
            n_tokens = int(json.loads(settings.read_text())["n_tokens"])
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError) as fault:
            raise ModelError(
                f"{folder}: expected a tokenizer (tokenizer.json) beside config.json: {fault}"
            ) from None
        longest = min(int(tokenizer.model_max_length), 2**16)
        return cls(tokenizer, min(n_tokens or longest, longest))

    def fingerprint(self) -> str:
        """Return text that changes whenever the token ids would."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        vocabulary = backend.to_str() if backend is not None else str(self.tokenizer.get_vocab())
        return f"text {self.n_tokens} {vocabulary}"

    def arrays(self, values: Sequence[str]) -> NDArray[np.int32]:
        """Return ``(n, n_tokens)`` token ids, -1 behind the end of each text."""
        encoded = self.tokenizer(list(values), add_special_tokens=True)["input_ids"]
        cut = self.tokenizer(
            list(values), add_special_tokens=True, truncation=True, max_length=self.n_tokens
        )["input_ids"]
        self.n_cut = sum(len(e) > self.n_tokens for e in encoded)
        width = max((len(ids) for ids in cut), default=1)
        ids = np.full((len(cut), max(width, 1)), -1, dtype=np.int32)
        for row, text_ids in enumerate(cut):
            ids[row, : len(text_ids)] = text_ids
        return ids

    def tensor(self, arrays: NDArray[np.int32], device: torch.device) -> torch.Tensor:
        """Return the ids, trimmed to the longest text of the batch."""
        longest = max(1, int((arrays >= 0).sum(axis=1).max(initial=1)))
        return as_tensor(arrays[:, :longest].astype(np.int64), device)

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files."""
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(folder)
        (folder / _SETTINGS).write_text(json.dumps({"n_tokens": self.n_tokens}) + "\n")
