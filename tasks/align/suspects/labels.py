"""Targets that look wrong: what the other samples teach speaks against them.

Source:
    Northcutt, Jiang and Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels,
    JAIR 70, arXiv:1911.00068; as implemented by cleanlab.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.align.suspects.equality import Codes
from tasks.align.suspects.out_of_fold import Numbers, folds_of
from tasks.align.suspects.predictors import Problem, predictions
from tasks.align.suspects.report import LabelFindings, Scores
from tasks.align.suspects.strata import Strata, strata_of
from tasks.align.suspects.views import View
from tasks.samples.wording import number, percent, short

FEWEST_SAMPLES = 100
FEWEST_OF_A_CLASS = 6
MOST_CLASSES = 200
SAMPLES_OF_A_GROUP = 20
"""Samples that share a value are judged by the others, unless there are more than this to it."""

SKILL_TO_TRUST = 0.7
"""How much of the way from the floor to no error at all a model must go for its doubts to count."""

FAR_OFF = 6.0
"""A number is suspect where it is off by this many ordinary errors."""

SURE = 0.75
"""How probable another class must be for a label to be suspect."""

_SHARPNESS = (0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
_ROUNDS = 3
_BINS = 20


@dataclass(frozen=True)
class LabelSuspects:
    """Doubts about targets.

    Attributes:
        score: ``(n,)``: for a class, how improbable it is; for a number, how many ordinary errors
            it is off; NaN for what was not judged.
        flagged: ``(n,)``.
        detail: What is said of each flagged one, by its place.
        findings: Counts.
    """

    score: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    detail: dict[int, str]
    findings: LabelFindings


@dataclass(frozen=True)
class Examined:
    """Samples ready to be judged.

    Attributes:
        views: Their inputs.
        codes: ``(n,)`` for each input: equal for equal values, -1 where it is missing.
        same: ``(n,)`` equal for equal inputs throughout, -1 for a sample that lacks one.
        table: ``(n, d)`` plain features where all inputs are tabular; else None.
        targets: ``(n,)`` text or numbers.
        seed: Fixes what is drawn at random.
    """

    views: Sequence[View]
    codes: Sequence[Codes]
    same: Codes
    table: NDArray[np.float32] | None
    targets: pa.Array
    seed: int

    def folds(self) -> NDArray[np.int64]:
        """Return the folds: samples that share their most telling input are in one.

        That is the text or medium of most values, since a wrong label often stands at all samples
        that share it; equal samples are then in one fold too. Where there are hardly any values,
        each sample is judged by those with the same ones.
        """
        n = len(self.targets)
        finest = max(self.codes, key=lambda each: len(np.unique(each)))
        for each in (self.same, np.arange(n)):
            if len(np.unique(finest)) < n / SAMPLES_OF_A_GROUP:
                finest = each
        lone = np.arange(n) + int(finest.max(initial=0)) + 1
        return folds_of(np.where(finest < 0, lone, finest), self.seed)


def suspect_classes(examined: Examined) -> LabelSuspects:
    """Find classes that look wrong."""
    encoded = examined.targets.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    given = np.asarray(encoded.indices, dtype=np.int64)
    judged = _common_enough(given)
    n_rare = int((~judged).sum())
    at = np.flatnonzero(judged)
    kinds, label = np.unique(given[at], return_inverse=True)
    if len(at) < FEWEST_SAMPLES or len(kinds) < 2:
        why = (
            f"{len(at):,} samples of {len(kinds):,} classes of {FEWEST_OF_A_CLASS} or more samples"
        )
        return _nothing(len(given), len(at), n_rare, f"{why} are too few to learn from")
    problem = _problem(examined, at, np.eye(len(kinds))[label], label)
    model, probability = _most_probable(problem, label)
    everywhere = _common_in_stratum(problem.strata, label)

    accuracy = float((probability.argmax(axis=1) == label).mean())
    floor = _commonest_answers(problem.strata, label)
    trusted = accuracy - floor >= SKILL_TO_TRUST * (1 - floor)
    score, doubtful = confident_doubts(label, probability)
    doubtful &= everywhere & trusted
    found = np.full(len(given), np.nan)
    found[at] = np.where(everywhere, score, np.nan)
    flagged = np.zeros(len(given), dtype=bool)
    flagged[at] = doubtful
    detail = {
        int(at[i]): f"given '{short(names[given[at[i]]], 30)}', the other samples say "
        f"'{short(names[kinds[probability[i].argmax()]], 30)}' ({percent(probability[i].max())})"
        for i in np.flatnonzero(doubtful)
    }
    findings = LabelFindings(
        n_judged=int(everywhere.sum()),
        model=model,
        measure="accuracy",
        value=round(accuracy, 4),
        floor=round(floor, 4),
        trusted=trusted,
        n_rare=n_rare + int((~everywhere).sum()),
        n_flagged=len(detail),
        scores=_histogram(found, 1.0),
        why_not=""
        if trusted
        else f"cheap features reach an accuracy of {accuracy:.3f} where guessing gives "
        f"{floor:.3f}: too little for their doubts to mean anything",
    )
    return LabelSuspects(found, flagged, detail, findings)


def confident_doubts(
    label: NDArray[np.int64], probability: Numbers
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return how improbable each label is, and which are so improbable that they look wrong.

    How many labels are wrong is estimated by confident learning; the least probable ones are they.

    Args:
        label: ``(n,)`` the given classes.
        probability: ``(n, n_classes)`` out of fold.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    quality = get_label_quality_scores(label, probability, method="self_confidence")
    wrong = find_label_issues(label, probability, filter_by="low_self_confidence", n_jobs=1)
    sure = (probability.argmax(axis=1) != label) & (probability.max(axis=1) >= SURE)
    return 1 - np.asarray(quality, dtype=np.float64), np.asarray(wrong & sure, dtype=bool)


def suspect_numbers(examined: Examined) -> LabelSuspects:
    """Find numbers that are further off what the inputs say than the others are."""
    values = np.asarray(examined.targets, dtype=np.float64)
    if len(values) < FEWEST_SAMPLES:
        return _nothing(len(values), len(values), 0, f"{len(values):,} samples are too few")
    if not np.ptp(values):
        return _nothing(len(values), len(values), 0, "all targets are the same")
    model, expected, ordinary = expected_numbers(examined, values)
    error = values - expected
    score = np.abs(error) / ordinary
    usual = score <= FAR_OFF
    variance = float(np.square(values[usual] - values[usual].mean()).sum())
    r2 = 1 - float(np.square(error[usual]).sum()) / variance if variance else 0.0
    trusted = r2 >= SKILL_TO_TRUST
    flagged = ~usual & trusted
    detail = {
        int(i): f"given {number(values[i])}, the other samples say about {number(expected[i])}"
        for i in np.flatnonzero(flagged)
    }
    findings = LabelFindings(
        n_judged=len(values),
        model=model,
        measure="r2",
        value=round(r2, 4),
        floor=0.0,
        trusted=trusted,
        n_rare=0,
        n_flagged=len(detail),
        scores=_histogram(score, 2 * FAR_OFF),
        why_not=""
        if trusted
        else f"cheap features reach an r² of {r2:.3f}: too little for doubts to mean anything",
    )
    return LabelSuspects(score, flagged, detail, findings)


def expected_numbers(
    examined: Examined, values: NDArray[np.float64]
) -> tuple[str, NDArray[np.float64], float]:
    """Return the best way of predicting, what it expects of each sample, and its ordinary error.

    A target that is absurd must not bend the model: what is further off than allowed is brought
    nearer, and the model is fitted again.
    """
    tame = values.clip(*np.quantile(values, [0.005, 0.995]))
    every = np.arange(len(values))
    for _ in range(_ROUNDS):
        middle, spread = float(tame.mean()), float(tame.std()) or 1.0
        problem = _problem(examined, every, ((tame - middle) / spread)[:, None], None)
        name, out = min(
            predictions(problem), key=lambda found: float(np.abs(found[1] - problem.targets).mean())
        )
        expected = out[:, 0] * spread + middle
        expected += np.median(values - expected)
        error = np.abs(values - expected)
        ordinary = 1.4826 * float(np.median(error)) or float(error.mean()) or 1.0
        tame = values.clip(expected - FAR_OFF * ordinary, expected + FAR_OFF * ordinary)
    return name, expected, ordinary


def _problem(
    examined: Examined,
    at: NDArray[np.int64],
    targets: Numbers,
    classes: NDArray[np.int64] | None,
) -> Problem:
    views = [View(v.name, v.reduced, v.lifted, v.index[at]) for v in examined.views]
    return Problem(
        views=views,
        strata=strata_of(views, [each[at] for each in examined.codes]),
        folds=examined.folds()[at],
        targets=targets,
        classes=classes,
        table=None if examined.table is None else examined.table[at],
        seed=examined.seed,
    )


def _most_probable(problem: Problem, label: NDArray[np.int64]) -> tuple[str, Numbers]:
    """Return the way of predicting that gives the given labels most credit, and what it says."""
    parts = problem.strata.parts()
    chosen: tuple[float, str, Numbers] | None = None
    for name, out in predictions(problem):
        said = np.empty_like(out)
        for at in parts:
            said[at] = _calibrated(out[at], label[at])
        loss = _surprise(said, label)
        if chosen is None or loss < chosen[0]:
            chosen = loss, name, said
    assert chosen is not None
    return chosen[1], chosen[2]


def _calibrated(scores: Numbers, label: NDArray[np.int64]) -> Numbers:
    """Return probabilities as sharp as the given labels bear out."""
    sharpness = min(_SHARPNESS, key=lambda each: _surprise(probabilities(scores, each), label))
    return probabilities(scores, sharpness)


def probabilities(scores: Numbers, sharpness: float) -> Numbers:
    """Return ``(n, n_classes)`` the softmax of scores.

    >>> probabilities(np.array([[1.0, 1.0]]), sharpness=4).tolist()
    [[0.5, 0.5]]
    """
    scaled = np.exp(sharpness * (scores - scores.max(axis=1, keepdims=True)))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def _surprise(probability: Numbers, label: NDArray[np.int64]) -> float:
    """Return how surprising the given labels are, on average."""
    given = probability[np.arange(len(label)), label]
    return float(-np.log(np.maximum(given, 1e-9)).mean())


def _common_enough(given: NDArray[np.int64]) -> NDArray[np.bool_]:
    counts = np.bincount(given)
    least = FEWEST_OF_A_CLASS
    if (counts >= least).sum() > MOST_CLASSES:
        least = int(np.sort(counts)[-MOST_CLASSES])
    return np.asarray(counts[given] >= least)


def _common_in_stratum(strata: Strata, label: NDArray[np.int64]) -> NDArray[np.bool_]:
    pair = strata.code * (int(label.max()) + 1) + label
    _, place, counts = np.unique(pair, return_inverse=True, return_counts=True)
    return np.asarray(counts[place] >= FEWEST_OF_A_CLASS)


def _commonest_answers(strata: Strata, label: NDArray[np.int64]) -> float:
    """Return how often the commonest label is right, for each value of inputs of few values."""
    right = sum(int(np.bincount(label[at]).max()) for at in strata.parts())
    return right / len(label)


def _histogram(score: NDArray[np.float64], most: float) -> Scores:
    counts, edges = np.histogram(score[np.isfinite(score)].clip(0, most), _BINS, (0, most))
    return Scores(edges=tuple(edges.round(6).tolist()), counts=tuple(counts.tolist()))


def _nothing(n: int, n_judged: int, n_rare: int, why: str) -> LabelSuspects:
    findings = LabelFindings(
        n_judged=n_judged, model="", measure="", value=None, floor=None, trusted=False,
        n_rare=n_rare, n_flagged=0, scores=None, why_not=why,
    )  # fmt: skip
    return LabelSuspects(np.full(n, np.nan), np.zeros(n, dtype=bool), {}, findings)
