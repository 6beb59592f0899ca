"""Cross-attention: the tokens of all inputs look at one another."""

import torch
from torch import Tensor, nn

from tasks.models.fusions.registry import fusions


@fusions.register("cross_attention")
class CrossAttentionFusion(nn.Module):
    """Two transformer layers over the tokens of all inputs, read out by a learned token.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2; pre-norm as in arXiv:2002.04745.
    """

    reads_tokens = True
    n_heads = 4
    n_layers = 2

    def __init__(self, n_inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.readout = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                self.n_heads,
                dim_feedforward=2 * width,
                dropout=dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(self.n_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """Fuse ``(n, n_tokens, width)`` to ``(n, width)``."""
        n = len(tokens)
        sequence = torch.cat([self.readout.expand(n, -1, -1), tokens], dim=1)
        hidden = torch.cat([torch.ones_like(there[:, :1]), there], dim=1).logical_not()
        for layer in self.layers:
            sequence = layer(sequence, src_key_padding_mask=hidden)
        fused: Tensor = self.norm(sequence[:, 0])
        return fused
