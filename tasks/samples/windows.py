"""Windows of a time series as bytes, so that they are stored, shared and read by digest as media.

A window is an array ``(n_steps, n_channels)`` of float32 on an even grid in time, NaN where a
channel has no value. The bytes are a header of two little-endian 32-bit numbers, the steps and the
channels, then the values row by row.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError

WINDOW_SUFFIX = ".window"
_HEADER = np.dtype("<u4")
_VALUES = np.dtype("<f4")


def encode_window(values: NDArray[np.floating]) -> bytes:
    """Return the bytes of a window ``(n_steps, n_channels)``.

    >>> decode_window(encode_window(np.array([[1.0], [2.0]]))).tolist()
    [[1.0], [2.0]]
    """
    header = np.asarray(values.shape, dtype=_HEADER)
    canonical = np.asarray(values, dtype=_VALUES)
    canonical = np.where(np.isnan(canonical), np.float32(np.nan), canonical)  # one NaN of the many
    return header.tobytes() + canonical.astype(_VALUES).tobytes()


def decode_window(content: bytes) -> NDArray[np.float32]:
    """Return the window that bytes hold, ``(n_steps, n_channels)``.

    Raises:
        DataError: They are not those of a window.
    """
    if len(content) >= 8:
        n_steps, n_channels = (int(n) for n in np.frombuffer(content[:8], dtype=_HEADER))
        if len(content) == 8 + n_steps * n_channels * _VALUES.itemsize:
            values = np.frombuffer(content, dtype=_VALUES, offset=8)
            return values.reshape(n_steps, n_channels).astype(np.float32)
    raise DataError(
        f"{len(content):,} bytes are no window of a time series; run `dvc repro --force align`"
    )
