"""Inputs that do not belong together, such as an image beside the text of another one.

What one input says of another is learned on other samples, by canonical correlation in both
directions at once. A pair is then compared with pairs joined at random: where real pairs hardly fit
better than those, the inputs say nothing of each other and nobody is suspected.

Source:
    Hotelling 1936, Relations Between Two Sets of Variates, Biometrika 28.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.align.suspects.out_of_fold import Numbers, folds_of
from tasks.align.suspects.report import PairFindings, Scores
from tasks.align.suspects.views import View
from tasks.samples.wording import percent

FEWEST_PAIRS = 100
TOLD_APART_TO_TRUST = 0.85
"""How often a real pair must fit better than a random one for misfits to mean anything."""

N_DIRECTIONS = 16
SHRINKAGE = 0.1
"""What is added to each input's own variance, in parts of its mean, so that noise is not chased."""

N_RANDOM = 3
"""Random partners that each value is compared with."""

PROBABLY_WRONG = 0.5
"""A pair is suspect where so many of those that fit about as badly are wrong."""

STEP = 0.1
"""How finely pairs are ranked among random ones for that."""

MOST_RANDOM = 0.9
"""A pair that fits better than this part of random ones is never suspect."""

_BINS = 20


@dataclass(frozen=True)
class PairSuspects:
    """Doubts about whether two inputs belong together.

    Attributes:
        score: ``(n,)`` the part of random pairs that fit better; NaN for what was not judged.
        flagged: ``(n,)``.
        findings: Counts.
    """

    score: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    findings: PairFindings

    def detail(self, place: int) -> str:
        """Return what is said of a flagged sample."""
        found = self.findings
        return (
            f"{found.left} and {found.right} fit as if joined at random: "
            f"{percent(self.score[place])} of such pairs fit better"
        )


@dataclass(frozen=True)
class Fits:
    """How well pairs fit, as they are and joined at random; more is better.

    Attributes:
        real: ``(n_pairs,)``.
        random: ``(n_random,)``.
    """

    real: NDArray[np.float64]
    random: NDArray[np.float64]


def learned_fits(left: View, right: View, pairs: NDArray[np.int64], seed: int) -> Fits:
    """Learn what two inputs say of each other, and return how well each distinct pair fits.

    Args:
        left: An input.
        right: Another one.
        pairs: ``(n_pairs, 2)`` the distinct values of each.
        seed: Fixes the folds and the random partners.
    """
    finer = int(np.argmax([len(np.unique(pairs[:, side])) for side in (0, 1)]))
    folds = folds_of(pairs[:, finer], seed)
    rng = np.random.default_rng(seed)
    a, b = left.lifted[pairs[:, 0]], right.lifted[pairs[:, 1]]
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    parts = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    own = [
        tuple((x[at].T @ y[at]).astype(np.float64) for x, y in ((a, a), (b, b), (a, b)))
        for at in parts
    ]
    every = [sum(each) for each in zip(*own, strict=True)]
    real, random = np.zeros(len(pairs)), []
    for at, (aa, bb, ab) in zip(parts, own, strict=True):
        to_a, to_b = _canonical(every[0] - aa, every[1] - bb, every[2] - ab)
        u, v = a[at] @ to_a, b[at] @ to_b
        real[at] = _cosine(u, v)
        for _ in range(N_RANDOM):
            other = rng.permutation(len(at))
            differ = (pairs[at] != pairs[at[other]]).all(axis=1)
            random.append(_cosine(u[differ], v[other[differ]]))
    return Fits(real, np.concatenate(random))


def _canonical(aa: Numbers, bb: Numbers, ab: Numbers) -> tuple[Numbers, Numbers]:
    """Return what turns each input into what it says of the other, each direction by its weight."""
    to_white_a, to_white_b = _whitening(aa), _whitening(bb)
    u, strength, v = np.linalg.svd(to_white_a.T @ ab @ to_white_b, full_matrices=False)
    k = min(N_DIRECTIONS, len(strength))
    return to_white_a @ u[:, :k] * strength[:k], to_white_b @ v[:k].T * strength[:k]


def _whitening(power: Numbers) -> Numbers:
    level = max(float(np.trace(power)) / len(power), 1e-12)
    values, vectors = np.linalg.eigh(power + SHRINKAGE * level * np.eye(len(power)))
    return np.asarray(vectors / np.sqrt(values))


def _cosine(u: Numbers, v: Numbers) -> NDArray[np.float64]:
    length = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    return np.asarray((u * v).sum(axis=1) / np.maximum(length, 1e-12), dtype=np.float64)


def told_apart(fits: Fits) -> float:
    """Return how often a real pair fits better than a random one.

    >>> told_apart(Fits(np.array([0.9, 0.8, 0.1]), np.array([0.2, 0.3])))
    0.6666666666666666
    """
    if not len(fits.real) or not len(fits.random):
        return 0.5
    ordered = np.sort(fits.random)
    below = np.searchsorted(ordered, fits.real, side="left")
    up_to = np.searchsorted(ordered, fits.real, side="right")
    return float((below + up_to).mean() / 2 / len(ordered))


def misfits(fits: Fits) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return which part of random pairs fit better than each real one, and which are suspect.

    Wrong pairs are as good as random ones, so the worst real pairs tell how many are wrong: of the
    wrong ones, as of the random ones, a tenth fits worse than the worst tenth of the random
    ones, and so on. A real pair is suspect as long as most of those that fit about as badly are
    wrong.
    """
    ordered = np.sort(fits.random)
    rank = np.searchsorted(ordered, fits.real, side="right") / max(1, len(ordered))
    parts = np.arange(1, round(MOST_RANDOM / STEP) + 1) * STEP
    so_bad = np.searchsorted(np.sort(rank), parts, side="right").astype(np.float64)
    n_wrong = float(((so_bad + np.sqrt(so_bad)) / parts).min())  # few are counted with an error
    about_as_bad, allowed = np.diff(so_bad, prepend=0.0), n_wrong * STEP / PROBABLY_WRONG
    likely = about_as_bad <= allowed + np.sqrt(allowed)
    n_likely = len(likely) if likely.all() else int(np.argmin(likely))
    return 1 - rank, rank <= (parts[n_likely - 1] if n_likely else -1.0)


def suspect_pairs(left: View, right: View, fits: Fits | None, seed: int) -> PairSuspects:
    """Find samples of which two inputs do not belong together.

    Args:
        left: An input.
        right: Another one.
        fits: How well the distinct pairs of :func:`distinct_pairs` fit, where a checkpoint says
            so; learned here where None.
        seed: Fixes what is drawn at random.
    """
    pairs, place = distinct_pairs(left, right)
    by: Literal["learned", "two_tower"] = "learned" if fits is None else "two_tower"
    if len(pairs) < FEWEST_PAIRS and fits is None:
        return _nothing(left, right, len(place), len(pairs), "too few pairs to learn from")
    fits = learned_fits(left, right, pairs, seed) if fits is None else fits
    apart = told_apart(fits)
    informative = apart >= TOLD_APART_TO_TRUST
    of_pair, suspect = misfits(fits)
    there = place >= 0
    score = np.where(there, np.append(of_pair, np.nan)[place], np.nan)
    flagged = np.where(there, np.append(suspect, False)[place], False) & informative
    counts, edges = np.histogram(of_pair, _BINS, (0, 1))
    findings = PairFindings(
        left=left.name,
        right=right.name,
        by=by,
        n_judged=len(pairs),
        told_apart=round(apart, 4),
        informative=informative,
        n_flagged=int(flagged.sum()),
        scores=Scores(edges=tuple(edges.round(6).tolist()), counts=tuple(counts.tolist())),
        why_not=""
        if informative
        else f"pairs as joined fit better than random ones in {percent(apart)} of cases, which is "
        "too little to tell misfits by",
    )
    return PairSuspects(score, flagged, findings)


def distinct_pairs(left: View, right: View) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ``(n_pairs, 2)`` the distinct pairs of values, and each sample's pair, -1 for none."""
    there = (left.index >= 0) & (right.index >= 0)
    both = np.column_stack([left.index, right.index])[there]
    pairs, place = np.unique(both, axis=0, return_inverse=True)
    found = np.full(len(there), -1, dtype=np.int64)
    found[there] = place.ravel()
    return pairs, found


def _nothing(left: View, right: View, n: int, n_judged: int, why: str) -> PairSuspects:
    findings = PairFindings(
        left=left.name, right=right.name, by="learned", n_judged=n_judged, told_apart=None,
        informative=False, n_flagged=0, scores=None, why_not=why,
    )  # fmt: skip
    return PairSuspects(np.full(n, np.nan), np.zeros(n, dtype=bool), findings)
