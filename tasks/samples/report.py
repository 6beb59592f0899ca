"""What every stage says of itself: a typed result that becomes ``reports/STAGE.json``."""

from pydantic import BaseModel, ConfigDict


class StageReport(BaseModel):
    """Counts and findings of one stage.

    It holds no times and no paths of the machine, so that the same data gives the same bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def lines(self) -> list[str]:
        """Return what the log says when the stage is done, a line each."""
        return []
