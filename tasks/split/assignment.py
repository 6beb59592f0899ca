"""What comes of a split: each sample's split and fold, or the reason why it is set aside."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

TRAIN, VALIDATION, TEST = range(3)
ASIDE = -1
"""Instead of a split: the sample is set aside."""

SplitNumbers = NDArray[np.int8]
FoldNumbers = NDArray[np.int16]
Mask = NDArray[np.bool_]

codes = (
    "",
    "no_time",
    "in_time_gap",
    "duplicate_elsewhere",
    "near_duplicate_elsewhere",
    "group_elsewhere",
    "window_elsewhere",
    "few_shot",
)
"""Why a sample is in no split; ``few_shot`` samples are unused, all others are in quarantine."""

FEW_SHOT = codes.index("few_shot")


@dataclass(frozen=True)
class Assignment:
    """Where samples go.

    Attributes:
        split: ``(n_samples,)`` positions in ``SPLITS``, or :data:`ASIDE`.
        reason: ``(n_samples,)`` positions in :data:`codes`; 0 for samples of a split.
        fold: ``(n_samples,)`` for k-fold.
        inner_fold: ``(n_samples,)`` for nested; -1 for samples of test.
        n_straddling: For splits by time: groups that began before the split they are in.
    """

    split: SplitNumbers
    reason: NDArray[np.int8]
    fold: FoldNumbers | None = None
    inner_fold: FoldNumbers | None = None
    n_straddling: int = 0

    @classmethod
    def of(
        cls,
        split: NDArray[np.integer],
        fold: FoldNumbers | None = None,
        inner_fold: FoldNumbers | None = None,
    ) -> "Assignment":
        """Return an assignment that sets nothing aside."""
        return cls(split.astype(np.int8), np.zeros(len(split), np.int8), fold, inner_fold)

    def without(self, rows: Mask, reason: str) -> "Assignment":
        """Return the assignment with some samples set aside, but for those that are already."""
        rows = rows & (self.split != ASIDE)
        return replace(
            self,
            split=np.where(rows, np.int8(ASIDE), self.split),
            reason=np.where(rows, np.int8(codes.index(reason)), self.reason),
        )

    @property
    def kept(self) -> Mask:
        """Which samples are in a split."""
        return np.asarray(self.split != ASIDE)

    @property
    def unused(self) -> Mask:
        """Which samples would train, were it not for few-shot learning."""
        return np.asarray(self.reason == FEW_SHOT)

    @property
    def quarantined(self) -> Mask:
        """Which samples are set aside for a fault."""
        return ~self.kept & ~self.unused

    def counts(self) -> dict[str, int]:
        """Count the samples that are set aside by reason."""
        n = np.bincount(self.reason, minlength=len(codes))
        return {code: int(n[i]) for i, code in enumerate(codes) if code and n[i]}
