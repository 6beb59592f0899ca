"""From the fused vector to what is predicted, and the loss that trains it."""

from torch import Tensor, nn
from torch.nn import functional


class PredictionHead(nn.Module):
    """A perceptron with one hidden layer."""

    def __init__(self, width: int, n_outputs: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, n_outputs)
        )

    def forward(self, fused: Tensor) -> Tensor:
        """Return ``(n, n_outputs)`` for ``(n, width)``."""
        outputs: Tensor = self.layers(fused)
        return outputs


def prediction_loss(
    outputs: Tensor, labels: Tensor, objective: str, weights: Tensor | None = None
) -> Tensor:
    """Return the mean loss of a batch.

    Args:
        outputs: ``(n, n_classes)`` logits, or ``(n, 1)`` standardised values.
        labels: ``(n,)`` class indices, or standardised values.
        objective: ``classification`` (cross-entropy) or ``regression`` (squared error).
        weights: ``(n,)`` how much each sample counts, 1 on average over all of training; None for
            all alike.
    """
    how = "mean" if weights is None else "none"
    if objective == "classification":
        loss = functional.cross_entropy(outputs.float(), labels, reduction=how)
    else:
        loss = functional.mse_loss(outputs.float().squeeze(1), labels.float(), reduction=how)
    return loss if weights is None else (loss * weights).mean()
