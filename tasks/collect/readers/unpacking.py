"""Compressed text files, unpacked as they are read and never further than is believable."""

import io
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from tasks.errors import SourceError

CODECS = {".gz": "gzip", ".zst": "zstd"}
MAX_RATIO = 200
"""Text shrinks to a tenth or so; what unpacks to more than this was made to fill a disk."""

FREE_BYTES = 64 * 2**20
"""What may be unpacked before the ratio counts."""

_BUFFER_BYTES = 2**20


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file for reading, through the codec that its ending names.

    Raises:
        SourceError: While it is read: it is damaged, or unpacks to absurdly much.
    """
    codec = CODECS.get(path.suffix.lower())
    if codec is None:
        return path.open("rb")
    # typeshed asks for attributes that no reader of a stream uses
    return io.BufferedReader(_Unpacked(path, codec), _BUFFER_BYTES)  # type: ignore[type-var]


class _Unpacked(io.RawIOBase):
    def __init__(self, path: Path, codec: str) -> None:
        super().__init__()
        self._path, self._codec = path, codec
        self._packed = pa.PythonFile(path.open("rb"))
        self._stream = pa.CompressedInputStream(self._packed, codec)
        self._n_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        try:
            content: bytes = self._stream.read(len(buffer))
        except (OSError, pa.ArrowException) as fault:
            raise SourceError(
                f"{self._path}: not a whole {self._codec} file ({fault}); write it again"
            ) from None
        self._n_bytes += len(content)
        if self._n_bytes > max(FREE_BYTES, MAX_RATIO * self._packed.tell()):
            raise SourceError(
                f"{self._path}: unpacks to over {MAX_RATIO} times its size "
                "(decompression_bomb), which tables do not; if it is right, unpack it yourself"
            )
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._packed.close()
        super().close()
