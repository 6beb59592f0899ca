"""Which samples are meant, as one digest: so two stages can tell whether they mean the same."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.samples.schema import PARENT_ID, SAMPLE_ID, SPLIT


def membership(ids: pa.ChunkedArray) -> str:
    """Return one digest of some samples, in whatever order they come.

    >>> membership(pa.chunked_array([["a", "b"]])) == membership(pa.chunked_array([["b"], ["a"]]))
    True
    """
    return membership_of_keys(text_keys(ids.to_pylist()))


def trained_on(samples: pa.Table) -> str:
    """Return the digest of the collected training samples of a table that augment wrote."""
    own = pc.and_(pc.equal(samples[SPLIT], "train"), pc.is_null(samples[PARENT_ID]))
    return membership(samples.filter(own)[SAMPLE_ID])


def membership_of_keys(keys: NDArray[np.uint64]) -> str:
    """Return the digest of samples by the keys of their names: the SHA-256 of the sorted keys."""
    return hashlib.sha256(np.sort(keys).astype("<u8").tobytes()).hexdigest()


def text_keys(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Return the first 64 bits of the SHA-256 of each text.

    >>> [f"{key:016x}" for key in text_keys(["a", ""])]
    ['ca978112ca1bbdca', 'e3b0c44298fc1c14']
    """
    digests = b"".join(hashlib.sha256(text.encode()).digest()[:8] for text in texts)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)
