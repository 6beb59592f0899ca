"""What was added to the training samples."""

from pydantic import Field

from tasks.samples.report import StageReport
from tasks.samples.schema import Contract


class Example(Contract):
    """One copy, and what was done to it."""

    sample_id: str
    parent_id: str
    recipe: str | None
    texts: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """By input: the text before and after, where it was changed."""


class AugmentReport(StageReport):
    """What was added to the training samples."""

    n_train: int
    n_added: int
    n_plain_repetitions: int
    """Copies in which nothing could be changed."""

    n_texts_changed: int
    classes_before: dict[str, int]
    """Training samples of each class, the commonest first; at most 200. Empty for a number."""

    classes_added: dict[str, int]
    classes_after: dict[str, int]
    modalities_before: dict[str, int]
    """Training samples by the inputs they have, such as ``question+image``."""

    modalities_after: dict[str, int]
    examples: tuple[Example, ...]
    notices: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return what was added, how the classes stand, and what to look at."""
        lines = [f"{self.n_train:,} training samples, {self.n_added:,} copies added"]
        if self.n_added and self.classes_after:
            label, n = next(iter(self.classes_after.items()))
            least, n_least = list(self.classes_after.items())[-1]
            lines.append(f"classes from {n_least:,} ('{least}') to {n:,} ('{label}')")
        return [*lines, *(f"note: {notice}" for notice in self.notices)]
