"""What every stage says of itself: a typed result that becomes ``reports/STAGE.json``."""

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from tasks.samples.quarantine import SetAside


class StageReport(BaseModel):
    """Counts and findings of one stage.

    It holds no times and no paths of the machine, so that the same data gives the same bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def lines(self) -> list[str]:
        """Return what the log says when the stage is done, a line each."""
        return []


class SetAsideExample(BaseModel):
    """One record in quarantine, as a report shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    record_id: str
    file: str
    row: int
    column: str
    reason: str
    detail: str


def examples(records: Iterable[SetAside], of_each: int = 3) -> tuple[SetAsideExample, ...]:
    """Return the first few records of each reason."""
    taken: Counter[str] = Counter()
    shown = []
    for record in records:
        taken[record.reason] += 1
        if taken[record.reason] <= of_each:
            shown.append(
                SetAsideExample(
                    record_id=record.record_id,
                    file=record.file,
                    row=record.row,
                    column=record.column,
                    reason=record.reason,
                    detail=record.detail,
                )
            )
    return tuple(shown)
