"""Settings that hold for the whole project."""

from pydantic import Field

from tasks.params.section import Section


class ProjectParams(Section):
    """Name, seed and limits of the project."""

    name: str = Field("fuseline", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Names the MLflow experiment and the registered model."""

    seed: int = Field(7, ge=0, lt=2**32)
    """Fixes everything that is drawn at random, in every stage."""

    cpu_threads: int = Field(2, ge=1)
    """Threads torch uses; another number gives slightly other weights on a CPU."""

    max_bad_fraction: float = Field(0.2, ge=0, le=1)
    """A stage fails where it would quarantine a larger part of its records than this."""
