"""The training loop of the small encoders."""

import logging
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tasks.errors import TrainingError

logger = logging.getLogger("tasks.pretrain")


def learn(
    name: str,
    parameters: list[nn.Parameter],
    loss_of: Callable[[Tensor, torch.Generator], Tensor],
    n_inputs: int,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> list[float]:
    """Minimise a loss over shuffled inputs and return its mean in each epoch.

    Args:
        name: What is learned, for the log.
        parameters: What is trained.
        loss_of: The loss of the inputs with the given numbers.
        n_inputs: How many inputs there are.
        epochs: Passes over them.
        batch_size: Inputs a step.
        learning_rate: The highest; it rises over a tenth of the steps and falls as a cosine.
        seed: Fixes the order and what the loss draws.

    Raises:
        TrainingError: The loss is no number any more.
    """
    generator = torch.Generator().manual_seed(seed)
    n_batches = max(1, n_inputs // batch_size)
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.01)
    n_steps = max(1, epochs * n_batches)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / max(1, n_steps // 10), 0.5 * (1 + math.cos(math.pi * step / n_steps))
        ),
    )
    means = []
    for epoch in range(epochs):
        order = torch.randperm(n_inputs, generator=generator)
        losses = []
        for rows in torch.tensor_split(order, n_batches):
            loss = loss_of(rows, generator)
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"pre-training of the {name} encoder: the loss is {loss.item()} in epoch "
                    f"{epoch + 1}; lower pretrain.learning_rate"
                )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        means.append(sum(losses) / len(losses))
        logger.info("%s: epoch %d of %d: loss %.4f", name, epoch + 1, epochs, means[-1])
    return means
