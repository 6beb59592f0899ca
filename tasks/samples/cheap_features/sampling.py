"""Pick some of many values by a hash of each, so that adding values hardly moves the choice."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def stable_choice(names: Sequence[str], most: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the places of at most ``most`` names, in their order: those with the smallest hashes.

    >>> a, b = stable_choice(list("abcdef"), 3), stable_choice(list("fedcba"), 3)
    >>> {"abcdef"[i] for i in a} == {"fedcba"[i] for i in b}
    True
    """
    if len(names) <= most:
        return np.arange(len(names))
    return smallest([stable_hashes(names, seed)], most)


def smallest(hashes: Iterable[NDArray[np.uint64]], most: int) -> NDArray[np.int64]:
    """Return the places of the smallest of many hashes, which come in parts."""
    together = np.concatenate([np.zeros(0, dtype=np.uint64), *hashes])
    return np.sort(np.argsort(together, kind="stable")[:most])


def stable_hashes(names: Sequence[str], seed: int = 0) -> NDArray[np.uint64]:
    """Return a number for each name, the same on every machine and in every run."""
    from pandas.util import hash_array

    key = f"{seed & 0xFFFFFFFFFFFFFFFF:016x}"
    objects = np.array(names, dtype=object)
    return np.asarray(hash_array(objects, hash_key=key, categorize=False), dtype=np.uint64)
