"""Keys that are spelled alike: one form for all spellings, and the nearest of many by edits."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.samples.progress import progress

MARGIN = 0.05
"""The second most alike key must be less alike by this, and by an edit at least."""

GRAM = 2
_SPACES = re.compile(r"\s+")
_LEADING_ZEROS = re.compile(r"(?<![\d.,])0+(?=\d)")

AMBIGUOUS = -2
NONE = -1


def spelling_form(key: str) -> str:
    """Return what a key has in common with its other spellings.

    >>> spelling_form("  Ｐatient  007 "), spelling_form("STRASSE") == spelling_form("Straße")
    ('patient 7', True)
    """
    folded = unicodedata.normalize("NFKC", key).casefold()
    plain = _SPACES.sub(" ", unicodedata.normalize("NFKC", folded)).strip()
    return _LEADING_ZEROS.sub("", plain)


@dataclass(frozen=True)
class Alike:
    """The key most alike to each of some keys.

    Attributes:
        chosen: ``(n,)`` its position, ``NONE`` where none is alike enough, ``AMBIGUOUS`` where
            several come close to each other.
        similarity: ``(n,)`` of the key most alike, chosen or not; 0 where none is alike enough.
    """

    chosen: NDArray[np.int64]
    similarity: NDArray[np.float64]


def most_alike(keys: Sequence[str], among: Sequence[str], min_similarity: float) -> Alike:
    """Find for each key the one that is spelled most alike.

    Similarity is 1 less the edits (insertions, deletions, replacements) by the length of the longer
    key. Few pairs are compared: of the pairs of letters of a key, edits can break only so many, so
    another key within reach shares one of its rarest ones.

    Args:
        keys: Distinct keys.
        among: Distinct keys to choose from.
        min_similarity: The least similarity of a choice.
    """
    from rapidfuzz import process
    from rapidfuzz.distance import Levenshtein

    index = _GramIndex(among)
    chosen = np.full(len(keys), NONE, dtype=np.int64)
    similarity = np.zeros(len(keys))
    with progress("comparing keys", total=len(keys)) as advance:
        for i, key in enumerate(keys):
            at = index.within_reach(key, min_similarity)
            if len(at):
                found = process.cdist(
                    [key],
                    [among[j] for j in at],
                    scorer=Levenshtein.normalized_similarity,
                    score_cutoff=max(0.0, min_similarity - MARGIN),
                    dtype=np.float64,
                )[0]
                best = int(np.argmax(found))
                if found[best] >= min_similarity:
                    similarity[i] = found[best]
                    rivals = np.delete(found, best)
                    close = len(rivals) > 0 and rivals.max() > found[best] - MARGIN
                    chosen[i] = AMBIGUOUS if close else at[best]
            advance()
    return Alike(chosen, similarity)


class _GramIndex:
    """Which keys hold which pairs of letters."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.lengths = np.asarray([len(key) for key in keys], dtype=np.int64)
        self.by_length = np.argsort(self.lengths, kind="stable")
        letters = _letters("".join(keys))
        of_key = np.repeat(np.arange(len(keys)), self.lengths)
        whole = of_key[: 1 - GRAM] == of_key[GRAM - 1 :]
        grams = _grams(letters)[whole]
        self.owners = of_key[: 1 - GRAM][whole]
        order = np.argsort(grams, kind="stable")
        self.grams, self.owners = grams[order], self.owners[order].astype(np.int32)

    def within_reach(self, key: str, min_similarity: float) -> NDArray[np.int64]:
        """Return the keys that may be alike enough, or within the margin of it."""
        least = max(0.05, min_similarity - MARGIN)
        shortest, longest = int(np.ceil(len(key) * least)), int(len(key) / least)
        n_edits = int((1 - least) * longest + 1e-9)
        grams = np.unique(_grams(_letters(key)))
        n_broken = n_edits * GRAM
        if len(grams) <= n_broken:  # edits may break all of them: look at every key so long
            edges = np.searchsorted(self.lengths[self.by_length], [shortest, longest + 1])
            return np.sort(self.by_length[edges[0] : edges[1]])
        first = np.searchsorted(self.grams, grams, side="left")
        last = np.searchsorted(self.grams, grams, side="right")
        rarest = np.argsort(last - first, kind="stable")[: n_broken + 1]
        found = np.unique(np.concatenate([self.owners[first[g] : last[g]] for g in rarest]))
        length = self.lengths[found]
        within = (length >= shortest) & (length <= longest)
        return np.asarray(found[within], dtype=np.int64)


def _letters(text: str) -> NDArray[np.uint64]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)


def _grams(letters: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return each pair of neighbours as one number."""
    return np.asarray((letters[:-1] << np.uint64(32)) | letters[1:])
