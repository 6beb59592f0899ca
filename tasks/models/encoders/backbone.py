"""Any transformers encoder as tokens and one pooled vector, and which part of it is trained."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel


class BackboneEncoder(nn.Module):
    """A transformers model that turns one input into tokens.

    Text gives a token for each word piece, an image or a spectrogram one for each cell of the last
    feature map, or for each patch. The pooled vector is the mean of the tokens that are there.
    """

    def __init__(self, modality: str, config: dict[str, Any]) -> None:
        super().__init__()
        self.modality = modality
        self.backbone = AutoModel.from_config(
            AutoConfig.for_model(**config), trust_remote_code=False
        )
        self.width = output_width(self.backbone)

    def tokens(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Encode distinct inputs.

        Args:
            values: Text: ``(n, length)`` token ids, -1 behind the end. Image and audio: what the
                processor made, ``(n, channels, height, width)`` or as the backbone wants it.

        Returns:
            Tokens ``(n, n_tokens, width)`` and which of them are there, ``(n, n_tokens)``.
        """
        if self.modality == "text":
            there = values >= 0
            output = self.backbone(
                input_ids=values.clamp(min=0), attention_mask=there.to(torch.long)
            ).last_hidden_state
            return output, there
        main_input = self.backbone.main_input_name
        output = self.backbone(**{main_input: values}).last_hidden_state
        if output.ndim == 4:
            output = output.flatten(2).transpose(1, 2)
        return output, torch.ones(output.shape[:2], dtype=torch.bool, device=output.device)


def pool(tokens: Tensor, there: Tensor) -> Tensor:
    """Return the mean of the tokens that are there: ``(n, n_tokens, width)`` to ``(n, width)``."""
    weights = there.to(tokens.dtype).unsqueeze(-1)
    return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)


def output_width(backbone: nn.Module) -> int:
    """Return the width of a backbone's last hidden state."""
    config: Any = backbone.config
    if getattr(config, "hidden_sizes", None):
        return int(config.hidden_sizes[-1])
    for name in ("hidden_size", "d_model"):
        if isinstance(getattr(config, name, None), int) and not hasattr(config, "depth_multiplier"):
            return int(getattr(config, name))
    return _last_channels(backbone)


def _last_channels(backbone: nn.Module) -> int:
    """Return the output channels of the last convolution, where the config does not tell."""
    convolutions = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    return int(convolutions[-1].out_channels)


def choose_trained(backbone: nn.Module, part: str) -> None:
    """Let gradients reach all of a backbone, its last block, or none of it.

    The blocks are the longest list of modules that the backbone holds; what is registered behind
    them (a last norm, a pooler) is trained with the last of them.
    """
    for parameter in backbone.parameters():
        parameter.requires_grad = part == "all"
    if part != "last_block":
        return
    blocks_name, blocks = max(
        ((n, m) for n, m in backbone.named_modules() if isinstance(m, nn.ModuleList)),
        key=lambda named: (len(named[1]), -named[0].count(".")),
    )
    last = f"{blocks_name}.{len(blocks) - 1}"
    reached = False
    for name, module in backbone.named_modules():
        if name == last:
            reached = True
        behind = reached and not name.startswith(f"{blocks_name}.")
        if name == last or name.startswith(f"{last}.") or behind:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad = True


def freeze_batch_norm(module: nn.Module) -> None:
    """Keep the running statistics of batch norms as they are.

    transformers builds MobileNets with a momentum that torch reads as "replace the statistics by
    those of the last batch"; one pass in training mode would undo the pre-training.
    """
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.eval()
