"""Words that name a side of an image, and what becomes of them when the image is mirrored."""

import re
from collections.abc import Iterable, Sequence


class SideWords:
    """Pairs of words that change places in a mirror.

    >>> sides = SideWords([("left", "right")])
    >>> sides.mirrored("Left of the car, not right; leftover")
    'Right of the car, not left; leftover'
    >>> sides.are_in("what is left?"), sides.are_in("leftover"), sides.are_in(None)
    (True, False, False)
    """

    def __init__(self, pairs: Iterable[Sequence[str]]) -> None:
        self._other: dict[str, str] = {}
        for one, another in pairs:
            self._other[one.lower()] = another.lower()
            self._other[another.lower()] = one.lower()
        words = sorted(self._other, key=len, reverse=True)
        pattern = "|".join(map(re.escape, words)) or r"(?!)"
        # An underscore parts words too: targets are written like 'turn_left'.
        self._found = re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", re.IGNORECASE)

    def are_in(self, text: str | None) -> bool:
        """Tell whether a text has one of the words."""
        return text is not None and self._found.search(text) is not None

    def mirrored(self, text: str) -> str:
        """Return a text with the words of each pair in each other's place."""
        return self._found.sub(lambda match: self._cased(match.group()), text)

    def _cased(self, word: str) -> str:
        other = self._other[word.lower()]
        if word.isupper():
            return other.upper()
        return other[:1].upper() + other[1:] if word[:1].isupper() else other
