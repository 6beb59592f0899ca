"""Name each record, and find the names that two records claim.

Rows stream by once, so only 64-bit digests are kept of them: of the name and of the content. Where
digests repeat, the names themselves are looked at again.
"""

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_PART = "\x1f"
_NO_VALUE = "\x1e"


def content_digest(cells: Iterable[str | None]) -> int:
    """Return a 64-bit digest of a row's cells.

    Raises:
        UnicodeEncodeError: A cell holds a lone surrogate, which is no text.
    """
    text = _PART.join(_NO_VALUE if cell is None else cell for cell in cells)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


class Identities:
    """The digests of all records of one source, in order."""

    def __init__(self) -> None:
        self._names, self._contents = array("Q"), array("Q")

    def add(self, names: Sequence[str], contents: Sequence[int]) -> None:
        """Remember the names and contents of some more records."""
        self._names.extend(content_digest((name,)) for name in names)
        self._contents.extend(contents)

    @property
    def contents(self) -> NDArray[np.uint64]:
        """The digest of each record's content."""
        return np.frombuffer(self._contents, dtype=np.uint64)

    def repeated_names(self) -> NDArray[np.int64]:
        """Return the places of records whose name some other record seems to have too."""
        names = np.frombuffer(self._names, dtype=np.uint64)
        ordered = np.sort(names)
        shared = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if not len(shared):
            return np.empty(0, dtype=np.int64)
        places = np.minimum(np.searchsorted(shared, names), len(shared) - 1)
        return np.flatnonzero(shared[places] == names)


def occurrences(contents: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Count, for each element, how often it stood before it and with it: 1 for the first.

    >>> occurrences(np.array([5, 7, 5, 5], dtype=np.uint64)).tolist()
    [1, 1, 2, 3]
    """
    order = np.argsort(contents, kind="stable")
    ordered = contents[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(order) else order
    lengths = np.diff(np.r_[starts, len(order)])
    counts = np.empty(len(order), dtype=np.int64)
    counts[order] = np.arange(len(order)) - np.repeat(starts, lengths) + 1
    return counts


def rejected_repeats(names: Sequence[str], contents: Sequence[int]) -> dict[int, tuple[str, int]]:
    """Decide which of the records that share names are set aside.

    Args:
        names: Names of the records in question, in their order.
        contents: A digest of the content of each.

    Returns:
        By place: ``duplicate_id`` for one that says the same as an earlier one of its name, or
        ``conflicting_id`` where those of its name differ, with the place of the first of the name.

    >>> rejected_repeats(["a", "b", "a", "b", "c"], [1, 2, 1, 3, 4])
    {2: ('duplicate_id', 0), 1: ('conflicting_id', 1), 3: ('conflicting_id', 1)}
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places[name].append(place)
    rejected = {}
    for same in places.values():
        if len({contents[place] for place in same}) > 1:
            rejected.update(dict.fromkeys(same, ("conflicting_id", same[0])))
        else:
            rejected.update(dict.fromkeys(same[1:], ("duplicate_id", same[0])))
    return rejected
