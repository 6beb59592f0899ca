"""What a fusion model is made of, as saved in its config.json."""

from typing import Any

from transformers import PreTrainedConfig


class FusionConfig(PreTrainedConfig):
    """The inputs, the fusion and the head of a fusion model.

    Attributes:
        inputs: One mapping for each input, in a fixed order: ``name``, ``modality``, ``encoder``
            (the encoder's own config as a mapping; {} for tabular), ``trained`` (none, last_block
            or all), ``frozen_norms`` (batch-norm statistics stay as they were pre-trained), and
            for tabular ``n_numbers`` and ``n_values`` (categories of each column).
        fusion: Name of the fusion.
        width: Width of each projected input and of the fused vector.
        dropout: Dropout before the head and between its layers.
        objective: ``classification`` or ``regression``.
        classes: Names of the classes, in the order of the outputs; [] for regression.
        target_mean: For regression: mean of the training targets.
        target_scale: For regression: their standard deviation.
    """

    model_type = "fuseline_fusion"

    def __init__(
        self,
        inputs: list[dict[str, Any]] | None = None,
        fusion: str = "gated",
        width: int = 128,
        dropout: float = 0.1,
        objective: str = "classification",
        classes: list[str] | None = None,
        target_mean: float = 0.0,
        target_scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        self.inputs = inputs or []
        self.fusion = fusion
        self.width = width
        self.dropout = dropout
        self.objective = objective
        self.classes = classes or []
        self.target_mean = target_mean
        self.target_scale = target_scale
        super().__init__(**kwargs)

    @property
    def n_outputs(self) -> int:
        """One for each class, or one value."""
        return len(self.classes) if self.objective == "classification" else 1
