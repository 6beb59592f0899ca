"""Windows of a time series as tokens: convolutions for shapes, statistics for levels."""

import torch
from torch import Tensor, nn

_WIDTHS = (32, 64, 64)


class TimeSeriesEncoder(nn.Module):
    """A small residual convolutional network, and the statistics of each channel beside it.

    Convolutions see short shapes wherever they are; means, spreads and ranges of whole windows tell
    postures and levels, which convolutions followed by a norm tend to lose.

    Source:
        Wang et al. 2017, arXiv:1611.06455, for residual convolutions as a baseline.
    """

    def __init__(self, n_channels: int, width: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        self.n_channels = n_channels
        self.width = width
        before = [2 * n_channels, *_WIDTHS]
        after = [*_WIDTHS, width]
        self.blocks = nn.ModuleList(
            _Block(a, b, stride=2 if i else 1)
            for i, (a, b) in enumerate(zip(before, after, strict=True))
        )
        self.dropout = nn.Dropout(dropout)
        self.statistics = nn.Sequential(
            nn.Linear(6 * n_channels, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def tokens(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Encode windows.

        Args:
            values: ``(n, 2 n_channels, n_steps)``: channels, standardised and 0 where missing;
                which are missing, as 0 and 1.

        Returns:
            Tokens, one for every eight steps, ``(n, n_tokens, width)``, and that they are there.
        """
        hidden = values
        for block in self.blocks:
            hidden = block(hidden)
        told = self.statistics(window_statistics(values, self.n_channels))
        output = self.dropout(hidden.transpose(1, 2)) + told.unsqueeze(1)
        return output, torch.ones(output.shape[:2], dtype=torch.bool, device=output.device)


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(before, after, 7, stride=stride, padding=3),
            nn.GroupNorm(8, after),
            nn.GELU(),
            nn.Conv1d(after, after, 3, padding=1),
            nn.GroupNorm(8, after),
        )
        self.shortcut = nn.Conv1d(before, after, 1, stride=stride)
        self.activation = nn.GELU()

    def forward(self, values: Tensor) -> Tensor:
        output: Tensor = self.activation(self.convolutions(values) + self.shortcut(values))
        return output


def window_statistics(values: Tensor, n_channels: int) -> Tensor:
    """Return six statistics of each channel over the steps that are there, ``(n, 6 n_channels)``.

    Mean, standard deviation, minimum, maximum, mean step from one value to the next, and the part
    that is missing.
    """
    channels, missing = values[:, :n_channels], values[:, n_channels:]
    there = 1 - missing
    n = there.sum(2).clamp(min=1)
    mean = (channels * there).sum(2) / n
    spread = ((channels - mean.unsqueeze(2)).square() * there).sum(2).div(n).add(1e-8).sqrt()
    low = channels.masked_fill(missing > 0, torch.inf).amin(2)
    high = channels.masked_fill(missing > 0, -torch.inf).amax(2)
    nothing = there.sum(2) == 0
    step = (channels.diff(dim=2).abs() * there[:, :, 1:] * there[:, :, :-1]).mean(2)
    return torch.cat(
        [
            mean,
            spread,
            low.masked_fill(nothing, 0),
            high.masked_fill(nothing, 0),
            step,
            missing.mean(2),
        ],
        dim=1,
    )
