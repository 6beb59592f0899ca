"""What was added to the training samples."""

from collections.abc import Iterator

from pydantic import Field

from tasks.errors import listing
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
    """What was added to the training samples, and what was left out."""

    n_train: int
    n_added: int
    n_left_out: int = 0
    """Rows that undersampling set aside in left_out.parquet."""

    n_plain_repetitions: int
    """Copies in which nothing could be changed."""

    n_texts_changed: int
    n_tabular_changed: int = 0
    """Copies with another number or category."""

    n_flips_refused: int = 0
    """Horizontal flips that a word in a text or in the target forbade."""

    n_words_swapped: int = 0
    """Flipped copies in which words of a pair changed places."""

    n_numbers_negated: int = 0
    """Flipped copies in which numbers changed their sign."""

    target_kind: str = "category"
    classes_before: dict[str, int]
    """Training samples of each class, the commonest first; at most 200. Empty where the target is
    no category."""

    classes_added: dict[str, int]
    classes_after: dict[str, int]
    modalities_before: dict[str, int]
    """Training samples by the inputs they have, such as ``question+image``."""

    modalities_after: dict[str, int]
    weights: dict[str, float] = Field(default_factory=dict)
    """With ``balance_by: weights``: how much a row counts in the loss, by what was balanced."""

    online: tuple[str, ...] = ()
    """What is done to batches while the model trains, in words."""

    masked_words_weights: str | None = None
    """The SHA-256 of the weights of the masked language model that replaced words."""

    examples: tuple[Example, ...]
    notices: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return what was added, how the classes stand, and what to look at."""
        return [*self._lines(), *(f"note: {notice}" for notice in self.notices)]

    def _lines(self) -> Iterator[str]:
        yield f"{self.n_train:,} training samples, {self.n_added:,} copies added"
        if self.n_left_out:
            yield f"{self.n_left_out:,} training samples left out, see left_out.parquet"
        if (self.n_added or self.n_left_out) and self.classes_after:
            label, n = next(iter(self.classes_after.items()))
            least, n_least = list(self.classes_after.items())[-1]
            yield f"classes from {n_least:,} ('{least}') to {n:,} ('{label}')"
        if self.weights:
            low, high = min(self.weights.values()), max(self.weights.values())
            yield f"weights in the loss from {low:.3g} to {high:.3g}"
        flips = {
            "swapped words": self.n_words_swapped,
            "changed the sign of numbers": self.n_numbers_negated,
            "were refused": self.n_flips_refused,
        }
        if any(flips.values()):
            told = ", ".join(f"{n:,} {what}" for what, n in flips.items() if n)
            yield f"flips of copies: {told}"
        if self.online:
            yield f"in training batches: {listing(self.online, most=20)}"
