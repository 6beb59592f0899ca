"""Pick some of many values by a hash of each, so that adding values hardly moves the choice."""

from collections.abc import Sequence

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
    from pandas.util import hash_array

    key = f"{seed & 0xFFFFFFFFFFFFFFFF:016x}"
    hashes = hash_array(np.array(names, dtype=object), hash_key=key, categorize=False)
    chosen = np.argsort(hashes, kind="stable")[:most]
    return np.sort(chosen)
