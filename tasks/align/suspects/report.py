"""What was suspected of the joined samples, by what measure, and how far it is to be trusted."""

from typing import Literal

from tasks.samples.schema import Contract

Deed = Literal["off", "flag", "drop", "majority"]


class Scores(Contract):
    """How suspicious samples are: counts between edges, one edge more than counts."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class LabelFindings(Contract):
    """Targets that the inputs of other samples speak against."""

    n_judged: int
    model: str
    """What predicted the targets, each from samples other than itself; "" where nothing did."""

    measure: Literal["accuracy", "r2", ""]
    value: float | None
    """Of those predictions, against the targets as given."""

    floor: float | None
    """The same measure for guessing without a model: the commonest answer, or the mean."""

    trusted: bool
    """Whether the model is good enough for its doubts to mean something."""

    n_rare: int
    """Samples of classes too rare to be judged."""

    n_flagged: int
    scores: Scores | None
    why_not: str = ""
    """Where nothing was flagged because nothing could be judged: why."""


class ContradictionFindings(Contract):
    """Samples with the very same inputs and different targets."""

    n_groups: int
    n_samples: int
    trusted: bool
    """False where they are so many that the inputs simply do not determine the target."""

    n_flagged: int


class PairFindings(Contract):
    """Whether two inputs of a sample belong together."""

    left: str
    right: str
    by: Literal["learned", "two_tower"]
    n_judged: int
    """Distinct pairs of values."""

    told_apart: float | None
    """How often a pair as joined fits better than one joined at random; 0.5 is chance."""

    informative: bool
    n_flagged: int
    scores: Scores | None
    why_not: str = ""


class ClassSuspects(Contract):
    """One class before and after suspects are taken out."""

    name: str
    n: int
    n_flagged: int
    n_dropped: int


class SuspectsReport(Contract):
    """All suspects of the align stage."""

    n_samples: int
    n_examined: int
    """Samples that labels and pairs were judged on; contradictions are looked for among all."""

    labels: LabelFindings | None
    contradictions: ContradictionFindings | None
    pairs: tuple[PairFindings, ...]
    n_flagged: int
    """Samples with a flag that were kept."""

    n_dropped: int
    n_spared: int
    """Samples that were to be dropped, but for ``suspects.max_dropped_fraction``."""

    classes: tuple[ClassSuspects, ...]
    """The classes with most suspects first; at most 50 of them."""

    notices: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return what the log says of suspects."""
        words = []
        if self.labels and self.labels.n_flagged:
            words.append(f"{self.labels.n_flagged:,} labels look wrong")
        if self.contradictions and self.contradictions.n_flagged:
            words.append(f"{self.contradictions.n_flagged:,} samples contradict their likes")
        words += [
            f"{pair.n_flagged:,} do not fit together in {pair.left} and {pair.right}"
            for pair in self.pairs
            if pair.n_flagged
        ]
        notes = [f"note: {notice}" for notice in self.notices]
        if not words:
            return notes
        aside = f", {self.n_dropped:,} set aside" if self.n_dropped else ""
        return [f"suspects: {'; '.join(words)}: {self.n_flagged:,} flagged{aside}", *notes]
