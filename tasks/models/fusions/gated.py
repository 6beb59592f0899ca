"""Gated fusion: every input decides how much of every other is let through."""

import torch
from torch import Tensor, nn

from tasks.models.fusions.registry import fusions


@fusions.register("gated")
class GatedFusion(nn.Module):
    """A sum of the inputs, each feature weighted by a gate that sees all inputs.

    The gates multiply, so that a question can select what of an image counts.

    Source:
        Arevalo et al. 2017, arXiv:1702.01992, section 3.1, the gated multimodal unit.
    """

    reads_tokens = False

    def __init__(self, n_inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.values = nn.ModuleList(nn.Linear(width, width) for _ in range(n_inputs))
        self.gates = nn.Linear(n_inputs * width, n_inputs * width)
        self.after = nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout))

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Fuse ``(n, n_inputs, width)`` to ``(n, width)``."""
        values = torch.stack([v(vectors[:, i]) for i, v in enumerate(self.values)], dim=1).tanh()
        gates = self.gates(vectors.flatten(1)).sigmoid().view_as(values)
        fused: Tensor = self.after((gates * values).sum(1))
        return fused
