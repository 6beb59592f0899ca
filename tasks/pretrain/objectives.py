"""What an encoder learns from inputs without labels."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tasks.models.encoders.backbone import pool

MASK_FRACTION = 0.15
TEMPERATURE = 0.2


def masked_loss(model: Any, ids: Tensor, mask_id: int, generator: torch.Generator) -> Tensor:
    """Return the loss of guessing masked word pieces.

    Args:
        model: A masked language model.
        ids: ``(n, length)`` token ids, -1 behind the end.
        mask_id: The token that hides another.
        generator: Draws what is hidden.

    Source:
        Devlin et al. 2019, arXiv:1810.04805, section 3.1; every chosen token is masked.
    """
    there = ids >= 0
    inner = there.clone()
    inner[:, 0] = False
    inner[torch.arange(len(ids)), there.sum(1) - 1] = False
    hidden = (torch.rand(ids.shape, generator=generator) < MASK_FRACTION) & inner
    hidden[:, 1] |= inner[:, 1] & ~hidden.any(1)  # a short text gives something to guess too
    labels = torch.where(hidden, ids, -100)
    shown = torch.where(hidden, mask_id, ids.clamp(min=0))
    output = model(input_ids=shown, attention_mask=there.long())
    return functional.cross_entropy(output.logits.flatten(0, 1), labels.flatten())


def contrastive_loss(
    model: Any, projector: Any, pictures: Tensor, generator: torch.Generator, *, of_sound: bool
) -> Tensor:
    """Return the loss of telling two views of one picture from views of others.

    Args:
        model: An encoder of pictures.
        projector: What the loss is computed behind, left behind later.
        pictures: ``(n, channels, height, width)``.
        generator: Draws the views.
        of_sound: Whether they are spectra, ``height`` being time; those keep their pitch.

    Source:
        Chen et al. 2020, arXiv:2002.05709, section 2.1.
    """
    views = torch.cat([view(pictures, generator, of_sound=of_sound) for _ in range(2)])
    hidden = model(views).last_hidden_state.flatten(2).transpose(1, 2)
    pooled = pool(hidden, torch.ones(hidden.shape[:2], dtype=torch.bool))
    vectors = functional.normalize(projector(pooled), dim=1)
    likeness = vectors @ vectors.T / TEMPERATURE
    likeness.fill_diagonal_(float("-inf"))
    n = len(pictures)
    partner = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
    return functional.cross_entropy(likeness, partner)


def view(pictures: Tensor, generator: torch.Generator, *, of_sound: bool) -> Tensor:
    """Return each picture shifted, brightened, with noise and a patch erased, each its own way.

    Spectra are shifted in time alone: what sounds higher is something else.
    """
    n, _, height, width = pictures.shape

    def draw(low: float, high: float, shape: tuple[int, ...] = (n, 1, 1, 1)) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    move = torch.zeros(n, 2, 3)
    move[:, 0, 0] = draw(0.8, 1.1, (n,))
    move[:, 1, 1] = draw(0.8, 1.1, (n,))
    move[:, :, 2] = draw(-0.2, 0.2, (n, 2))
    if of_sound:
        move[:, 0] = torch.tensor([1.0, 0.0, 0.0])
    grid = functional.affine_grid(move, list(pictures.shape), align_corners=False)
    moved = functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    middle, spread = pictures.mean(), pictures.std()
    noise = torch.randn(moved.shape, generator=generator)
    stretched = middle + (moved - middle) * draw(0.7, 1.3)
    changed = stretched + draw(-0.3, 0.3) * spread + noise * draw(0.0, 0.3) * spread
    rows, columns = torch.arange(height).view(1, 1, -1, 1), torch.arange(width).view(1, 1, 1, -1)
    top, left = draw(0, 0.75) * height, draw(0, 0.75) * width
    erased = (rows >= top) & (rows < top + height / 4)
    erased = erased & (columns >= left) & (columns < left + width / 4)
    return torch.where(erased, middle, changed)
