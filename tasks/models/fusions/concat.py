"""Concatenation: the plain one, and a fair baseline for the others."""

from torch import Tensor, nn

from tasks.models.fusions.registry import fusions


@fusions.register("concat")
class ConcatFusion(nn.Module):
    """One layer over all vectors behind one another."""

    reads_tokens = False

    def __init__(self, n_inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(n_inputs * width, width), nn.GELU(), nn.Dropout(dropout))

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Fuse ``(n, n_inputs, width)`` to ``(n, width)``."""
        fused: Tensor = self.mix(vectors.flatten(1))
        return fused
