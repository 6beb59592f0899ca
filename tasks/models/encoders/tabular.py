"""Numbers and categories of a sample as one vector."""

import torch
from torch import Tensor, nn


class TabularEncoder(nn.Module):
    """A small perceptron over standardised numbers and embedded categories.

    Source:
        Gorishniy et al. 2021, arXiv:2106.11959, section 3: a tuned perceptron is a strong baseline.
    """

    def __init__(self, n_numbers: int, n_values: list[int], width: int) -> None:
        super().__init__()
        self.n_numbers = n_numbers
        self.width = width
        widths = [min(32, 2 + n // 2) for n in n_values]
        self.embeddings = nn.ModuleList(
            nn.Embedding(n, w) for n, w in zip(n_values, widths, strict=True)
        )
        self.layers = nn.Sequential(
            nn.Linear(2 * n_numbers + sum(widths), width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
        )

    def tokens(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Encode rows.

        Args:
            values: ``(n, 2 n_numbers + n_categories)``: the numbers, standardised and 0 where
                missing; which of them are missing, as 0 and 1; the categories' indices.

        Returns:
            One token a row, ``(n, 1, width)``, and that it is there, ``(n, 1)``.
        """
        numbers = values[:, : 2 * self.n_numbers]
        categories = values[:, 2 * self.n_numbers :].long()
        embedded = [e(categories[:, i]) for i, e in enumerate(self.embeddings)]
        output = self.layers(torch.cat([numbers, *embedded], dim=1)).unsqueeze(1)
        return output, torch.ones(output.shape[:2], dtype=torch.bool, device=output.device)
