"""Values as 64-bit numbers, so that a table of any width is split in a few bytes a sample.

Equal values have equal keys. Two different values have one key with a chance of n²/2⁶⁵, which is
one in 30 million for a million values; were it to happen, two groups would become one.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.samples.membership import text_keys

Keys = NDArray[np.uint64]
"""``(n,)`` keys; :data:`NOTHING` where there is no value."""

NOTHING = np.uint64(0)


def cell_keys(values: pa.Array) -> Keys:
    """Return the key of each cell of a column."""
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        coded = values.dictionary_encode()
        distinct = text_keys(coded.dictionary.to_pylist())
        codes = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
        keys = distinct[codes] if len(distinct) else np.zeros(len(values), np.uint64)
    elif pa.types.is_floating(values.type):
        numbers = values.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        keys = mixed((numbers + 0.0).view(np.uint64))  # -0.0 and 0.0 are one value
    elif pa.types.is_timestamp(values.type) or pa.types.is_integer(values.type):
        whole = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        keys = mixed(whole.astype(np.int64).view(np.uint64))
    else:
        return cell_keys(values.cast(pa.string()))
    return np.where(valid, np.maximum(keys, np.uint64(1)), NOTHING)


def bound_keys(values: pa.Array) -> Keys:
    """Return keys that are equal for values that differ in case or in the space around them alone.

    They bind samples into groups: 'S08' and 's08 ' are most likely one, and two that were held for
    one cost little, while one that was held for two would leak.

    >>> bool(np.ptp(bound_keys(pa.array(["S08", "s08 "]))) == 0)
    True
    """
    if pa.types.is_string(values.type):
        values = pc.utf8_lower(pc.utf8_trim_whitespace(values))
    return cell_keys(values)


def hexadecimal_keys(digests: Iterable[str]) -> Keys:
    """Return the keys of texts of which the SHA-256 is known, as hexadecimal digits."""
    return np.array([int(digest[:16], 16) for digest in digests], dtype=np.uint64)


def salt(purpose: str) -> np.uint64:
    """Return a number for a purpose; keys mixed with it have nothing to do with other purposes."""
    return np.uint64(text_keys([purpose])[0])


def mixed(keys: Keys) -> Keys:
    """Spread numbers evenly over all 64 bits; different ones stay different.

    Source:
        The finaliser of SplitMix64: Steele, Lea, Flood 2014, doi:10.1145/2714064.2660195.
    """
    keys = keys.copy()
    with np.errstate(over="ignore"):
        keys ^= keys >> np.uint64(30)
        keys *= np.uint64(0xBF58476D1CE4E5B9)
        keys ^= keys >> np.uint64(27)
        keys *= np.uint64(0x94D049BB133111EB)
        keys ^= keys >> np.uint64(31)
    return keys


def hashed_fractions(keys: Keys, purpose: str) -> NDArray[np.float64]:
    """Map each key to a number from 0 up to 1, evenly spread and fixed by the purpose."""
    return np.asarray((mixed(keys ^ salt(purpose)) >> np.uint64(11)) * 2.0**-53)


def hexadecimal(keys: Keys) -> list[str]:
    """Write keys as 16 hexadecimal digits.

    >>> hexadecimal(np.array([255], dtype=np.uint64))
    ['00000000000000ff']
    """
    digits = keys.astype(">u8").tobytes().hex()
    return [digits[i : i + 16] for i in range(0, len(digits), 16)]
