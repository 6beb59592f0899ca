"""Which spellings of a category mean the same, and which are probably typing errors."""

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np

MAX_COMPARED = 2000
MIN_TYPO_CHARACTERS = 4
TYPO_RATIO = 20
"""A typing error is at least this many times rarer than what was meant."""


class Typo(NamedTuple):
    """A rare category that differs by one character from a frequent one."""

    written: str
    meant: str
    n_written: int
    n_meant: int


def spelling_of(category: str) -> str:
    r"""Return what different spellings of one category have in common: letters, not case or blanks.

    A single character keeps its case, and so do two that are not written as words are: there, case
    may be all that tells values apart.

    >>> spelling_of("Ice  Cream"), spelling_of("No"), spelling_of("mV"), spelling_of("A")
    ('ice cream', 'no', 'mV', 'A')
    """
    composed = " ".join(unicodedata.normalize("NFC", category).split())
    like_a_word = composed in (composed.lower(), composed.upper(), composed.capitalize())
    if len(composed) < 2 or (len(composed) == 2 and not like_a_word):
        return composed
    return composed.casefold()


def merges(counts: Mapping[str, int], declared: Collection[str] = ()) -> dict[str, str]:
    """Return how categories are to be written that differ in case or blanks alone.

    Args:
        counts: Records of each category.
        declared: Categories that may be; one of them wins over a commoner spelling.

    Returns:
        For each spelling that goes, the one that stays: a declared one, else the commonest, else
        the first in the order of Unicode.

    >>> merges({"cat": 5, "Cat": 2, "dog": 4})
    {'Cat': 'cat'}
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for category in {*counts, *declared}:
        groups[spelling_of(category)].append(category)
    merged: dict[str, str] = {}
    for group in groups.values():
        stays = min(group, key=lambda c: (c not in declared, -counts.get(c, 0), c))
        merged |= {c: stays for c in group if c != stays and c in counts and c not in declared}
    return dict(sorted(merged.items()))


def typos(counts: Mapping[str, int]) -> list[Typo]:
    """Return rare categories that are one edit away from one at least twenty times as frequent.

    An edit adds, drops or changes a character, or swaps two neighbours. Digits are never taken for
    a typing error ("class 1" and "class 2"), nor are words of under four characters.

    >>> [typo.meant for typo in typos({"healthy": 50, "heathly": 1, "sick": 40})]
    []
    >>> [typo.meant for typo in typos({"healthy": 50, "helathy": 1, "sick": 40})]
    ['healthy']
    """
    most = max(counts.values(), default=0)
    rare = sorted(
        c for c, n in counts.items() if n * TYPO_RATIO <= most and len(c) >= MIN_TYPO_CHARACTERS
    )
    frequent = sorted(c for c, n in counts.items() if n >= TYPO_RATIO)
    if not rare or not frequent or len(counts) > MAX_COMPARED:
        return []
    from rapidfuzz.distance import OSA
    from rapidfuzz.process import cdist

    distances = cdist(rare, frequent, scorer=OSA.distance, score_cutoff=1, dtype=np.uint8)
    found = []
    for i, written in enumerate(rare):
        near = [
            frequent[j]
            for j in np.flatnonzero(distances[i] == 1).tolist()
            if counts[frequent[j]] >= TYPO_RATIO * counts[written]
            and _digits(frequent[j]) == _digits(written)
        ]
        if near:
            meant = min(near, key=lambda c: (-counts[c], c))
            found.append(Typo(written, meant, counts[written], counts[meant]))
    return found


def _digits(category: str) -> list[str]:
    return [character for character in category if character.isdigit()]


def lookalikes(categories: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Group categories that differ only in case, width or the like: probably one, written twice.

    >>> lookalikes(["cat", "dog", "Cat"])
    (('Cat', 'cat'),)
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for category in categories:
        folded = " ".join(unicodedata.normalize("NFKC", category).casefold().split())
        groups[folded].add(category)
    return tuple(sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1))
