"""What speaks against samples, and what becomes of them: a flag, or the quarantine."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.align.suspects.contradictions import Contradictions
from tasks.align.suspects.labels import LabelSuspects
from tasks.align.suspects.pairs import PairSuspects

LABEL, CONTRADICTION, PAIR = "suspect_label", "contradicting_label", "suspect_pair"
FLAGS_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("flag", pa.string()),
        ("score", pa.float64()),
        ("detail", pa.string()),
    ]
)
_DECIMALS = 6
DOUBTS = (CONTRADICTION, LABEL, PAIR)
"""All kinds. Where not all can be dropped, what is certain goes before what is probable."""


@dataclass(frozen=True)
class Doubt:
    """One thing that speaks against a sample.

    Attributes:
        place: Of the sample in its table.
        flag: Which kind of doubt.
        score: How strong; comparable within a kind only.
        detail: The same in words.
        to_drop: Whether the settings ask for the sample to be set aside.
        group: Samples that are set aside together or not at all share a number; -1 for alone.
    """

    place: int
    flag: str
    score: float
    detail: str
    to_drop: bool
    group: int = -1


def doubts_of_contradictions(found: Contradictions, deed: str) -> list[Doubt]:
    """Return the doubts about samples that contradict each other.

    ``drop`` sets all of a group aside, ``majority`` those that most of it speak against.
    """
    dropped = found.minority if deed == "majority" else np.full(len(found.at), deed == "drop")
    return [
        Doubt(int(place), CONTRADICTION, _rounded(score), detail, bool(drop), int(group))
        for place, score, detail, drop, group in zip(
            found.at, found.score, found.detail, dropped, found.group, strict=True
        )
    ]


def doubts_of_labels(found: LabelSuspects, at: NDArray[np.int64], deed: str) -> list[Doubt]:
    """Return the doubts about targets of the samples ``at``."""
    return [
        Doubt(int(at[i]), LABEL, _rounded(found.score[i]), detail, deed == "drop")
        for i, detail in found.detail.items()
    ]


def doubts_of_pairs(found: PairSuspects, at: NDArray[np.int64], deed: str) -> list[Doubt]:
    """Return the doubts about two inputs of the samples ``at``."""
    return [
        Doubt(int(at[i]), PAIR, _rounded(found.score[i]), found.detail(int(i)), deed == "drop")
        for i in np.flatnonzero(found.flagged)
    ]


def _rounded(score: float) -> float:
    return round(float(score), _DECIMALS)


def to_set_aside(doubts: Iterable[Doubt], most: int) -> dict[int, Doubt]:
    """Choose the samples to set aside, the strongest doubts first: by place, why.

    Args:
        doubts: All doubts.
        most: How many samples may be set aside; groups are not torn.
    """
    groups: dict[tuple[str, int, int], list[Doubt]] = {}
    for doubt in doubts:
        if doubt.to_drop:
            alone = doubt.place if doubt.group < 0 else -1
            groups.setdefault((doubt.flag, doubt.group, alone), []).append(doubt)
    ordered = sorted(
        groups.values(),
        key=lambda each: (
            DOUBTS.index(each[0].flag), -max(d.score for d in each), each[0].place
        ),
    )  # fmt: skip
    chosen: dict[int, Doubt] = {}
    for group in ordered:
        new = {doubt.place: doubt for doubt in group if doubt.place not in chosen}
        if len(chosen) + len(new) <= most:
            chosen |= new
    return dict(sorted(chosen.items()))
