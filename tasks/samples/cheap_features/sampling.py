"""Pick some of many values by a hash of each, so that adding values hardly moves the choice."""

import hashlib
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
    key = seed.to_bytes(8, "little", signed=True)
    hashes = np.fromiter(
        (
            int.from_bytes(hashlib.blake2b(n.encode(), digest_size=8, key=key).digest(), "little")
            for n in names
        ),
        dtype=np.uint64,
        count=len(names),
    )
    chosen = np.argpartition(hashes, most - 1)[:most]
    return np.sort(chosen)
