"""A masked language model that puts likely words in the place of others."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from tasks.errors import ModelError
from tasks.models.checkpoints import find_checkpoint

MOST_LIKELY = 10
_BATCH = 64
_WORDS = re.compile(r"[^\W\d_]{2,}")


class MaskedWords:
    """Replaces one word of a text by one that the model finds likely in its place.

    Source:
        Wu et al. 2019, arXiv:1812.06705, section 3, without training on the labels.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model.eval(), tokenizer
        longest = getattr(model.config, "max_position_embeddings", 512)
        self._n_tokens = min(int(tokenizer.model_max_length), int(longest))
        self._barred = torch.tensor(self._not_words(), dtype=torch.bool)

    @classmethod
    def load(cls, checkpoint: str, root: Path, cpu_threads: int) -> "MaskedWords":
        """Load a checkpoint.

        Args:
            checkpoint: A folder, or ``hub:NAME@REVISION``.
            root: The project's folder, which relative folders are relative to.
            cpu_threads: Threads torch uses.

        Raises:
            ModelError: It is missing, unsafe, or no masked language model.
        """
        folder = find_checkpoint(checkpoint, "text", root / "data" / "pretrain", root).folder
        torch.set_num_threads(cpu_threads)
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            model, info = AutoModelForMaskedLM.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
        except (OSError, ValueError) as fault:
            raise ModelError(
                f"checkpoint '{checkpoint}': expected a masked language model with its tokenizer "
                f"({fault})"
            ) from None
        if info["missing_keys"] or tokenizer.mask_token_id is None:
            raise ModelError(
                f"checkpoint '{checkpoint}' is an encoder without the head that predicts masked "
                "words; name one that was saved with it, such as BertForMaskedLM"
            )
        return cls(model, tokenizer)

    def replaced(
        self, texts: Sequence[str], generators: Sequence[np.random.Generator]
    ) -> list[str]:
        """Return each text with a word replaced; as it was where it has none that can be."""
        after = list(texts)
        spans = [self._chosen(text, rng) for text, rng in zip(texts, generators, strict=True)]
        rows = [row for row, span in enumerate(spans) if span is not None]
        # Texts of like length together waste no padding.
        rows.sort(key=lambda row: len(texts[row]))
        for start in range(0, len(rows), _BATCH):
            some = rows[start : start + _BATCH]
            chosen = [(texts[row], spans[row] or (0, 0)) for row in some]
            for row, words in zip(some, self._likely_words(chosen), strict=True):
                if words:
                    (a, b), rng = spans[row] or (0, 0), generators[row]
                    weights = np.asarray([weight for _, weight in words])
                    at = int(np.searchsorted(weights.cumsum(), rng.random() * weights.sum()))
                    after[row] = texts[row][:a] + words[min(at, len(words) - 1)][0] + texts[row][b:]
        return after

    @staticmethod
    def _chosen(text: str, rng: np.random.Generator) -> tuple[int, int] | None:
        words = [match.span() for match in _WORDS.finditer(text)]
        return words[int(rng.integers(len(words)))] if words else None

    def _likely_words(
        self, chosen: Sequence[tuple[str, tuple[int, int]]]
    ) -> list[list[tuple[str, float]]]:
        """Return for each text the likeliest other words at a place, with their probabilities.

        These are rounded: how texts are batched changes their last digits, and must not decide.
        """
        masked = [text[:a] + self._tokenizer.mask_token + text[b:] for text, (a, b) in chosen]
        encoded = self._tokenizer(
            masked, padding=True, truncation=True, max_length=self._n_tokens, return_tensors="pt"
        )
        with torch.inference_mode():
            logits = self._model(
                input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]
            ).logits
        found: list[list[tuple[str, float]]] = []
        for row, (text, (a, b)) in enumerate(chosen):
            at = (encoded["input_ids"][row] == self._tokenizer.mask_token_id).nonzero()
            if not len(at):  # the place lies behind what the model reads
                found.append([])
                continue
            scores = logits[row, at[0, 0]].float().masked_fill(self._barred, -torch.inf)
            best = scores.softmax(0).topk(min(MOST_LIKELY + 1, len(scores)))
            words = [
                (self._word(token), round(weight, 3))
                for token, weight in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
            others = [(w, p) for w, p in words if w.lower() != text[a:b].lower() and p > 0]
            found.append(sorted(others, key=lambda other: (-other[1], other[0]))[:MOST_LIKELY])
        return found

    def _word(self, token: int) -> str:
        return str(self._tokenizer.decode([token])).strip()

    def _not_words(self) -> list[bool]:
        """Tell of each token whether it is none that can stand as a word."""
        special = set(self._tokenizer.all_special_ids)
        width = int(self._model.config.vocab_size)
        tokens = self._tokenizer.convert_ids_to_tokens(range(min(width, len(self._tokenizer))))
        barred = [
            token in special
            or str(text).startswith("##")
            or not _WORDS.fullmatch(self._word(token))
            for token, text in enumerate(tokens)
        ]
        return barred + [True] * (width - len(barred))


def weights_digest(checkpoint: str, root: Path) -> str:
    """Return one SHA-256 for the weights of a checkpoint, by which a report names them."""
    folder = find_checkpoint(checkpoint, "text", root / "data" / "pretrain", root).folder
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
