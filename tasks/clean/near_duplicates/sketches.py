"""Sketches of media, kept in a file while clean runs: memory holds only whose they are."""

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 32


class SketchBook:
    """Sketches of one kind by the digest of the medium, in a file that has no name.

    The operating system removes the file when the book is closed, or when the process dies.
    """

    def __init__(self, folder: Path, kind: np.dtype[np.void]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._kind = kind
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed with the book)
        self._digests = bytearray()

    def __len__(self) -> int:
        return len(self._digests) // DIGEST_BYTES

    def add(self, digest: str, sketch: NDArray[np.void]) -> None:
        """Keep the sketch of a medium; each is added once."""
        self._digests += bytes.fromhex(digest)
        self._file.write(sketch.tobytes())

    def digests(self) -> NDArray[np.void]:
        """Return the digests of all media, ``(n,)`` of 32 bytes each."""
        return np.frombuffer(bytes(self._digests), f"V{DIGEST_BYTES}")

    def read(self, places: NDArray[np.int64]) -> NDArray[np.void]:
        """Return the sketches at some places."""
        if len(places) == 0:
            return np.zeros(0, self._kind)
        self._file.flush()
        # Read, not mapped: a map would bring in much that lies around what is asked for.
        rows = np.empty(len(places), self._kind)
        content = memoryview(rows.view(np.uint8).data)
        size = self._kind.itemsize
        for row, place in enumerate(places.tolist()):
            os.preadv(self._file.fileno(), [content[row * size : (row + 1) * size]], place * size)
        return rows

    def close(self) -> None:
        """Forget all sketches."""
        self._file.close()
