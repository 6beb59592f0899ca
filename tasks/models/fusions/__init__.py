"""The fusions, each registered under the name that ``finetune.fusion`` takes."""

from tasks.models.fusions.concat import ConcatFusion
from tasks.models.fusions.cross_attention import CrossAttentionFusion
from tasks.models.fusions.gated import GatedFusion
from tasks.models.fusions.registry import fusions

__all__ = ["ConcatFusion", "CrossAttentionFusion", "GatedFusion", "fusions"]
