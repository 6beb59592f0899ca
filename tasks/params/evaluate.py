"""Settings of the evaluate stage: what is measured, and how surely."""

from pydantic import Field

from tasks.params.section import Section


class EvaluateParams(Section):
    """What is measured, and how surely."""

    bootstrap_resamples: int = Field(1000, ge=100)
    confidence: float = Field(0.95, gt=0.5, lt=1)
    floors: bool = True
    """Also measure the trivial models a good one must beat."""

    gallery_samples: int = Field(12, ge=0)
    """Confident mistakes to show in the report."""
