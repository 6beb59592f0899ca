"""Settings of the augment stage: what is added to the training rows."""

from typing import Literal

from pydantic import Field

from tasks.params.section import Section


class AugmentParams(Section):
    """Copies of training samples with changed inputs; validation and test are never touched."""

    copies: int = Field(0, ge=0, le=100)
    """Augmented copies of each training sample."""

    image: tuple[Literal["shift", "rotate", "flip_horizontal", "colour", "noise", "erase"], ...] = (
        "shift",
        "rotate",
        "noise",
    )
    audio: tuple[Literal["noise", "gain", "shift"], ...] = ("noise", "gain", "shift")
    text: tuple[Literal["drop_word", "swap_words"], ...] = ()

    balance: Literal["none", "classes"] = "none"
    """``classes`` gives rare classes more copies, until all are as frequent as the largest."""

    max_balance_copies: int = Field(10, ge=1)
    """With ``balance: classes``: the most copies of one sample."""
