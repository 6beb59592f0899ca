"""Walk through a tar archive without trusting it: nothing is unpacked to disk, no bomb goes off.

Members come one by one, in the order of the archive. Whether an archive is compressed is told by
its first bytes, not by its name. One that ends too early is noticed, also at the end of a member.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, cast

from tasks.collect.rows import excerpt
from tasks.errors import SourceError

MAX_RATIO = 200
"""How many bytes one compressed byte may become, once there are many."""

_FREE_BYTES = 64 * 2**20
_STEP_BYTES = 2**18
_MAX_HEADER_BYTES = 2**20
"""More than any name or note of a member needs."""

_BLOCK = 512
_FAULTS = (tarfile.TarError, ValueError)
_KINDS = {
    tarfile.SYMTYPE: "a link",
    tarfile.LNKTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a file with holes",
}


class ArchiveFault(Exception):  # noqa: N818  (a verdict on an archive, not a fault of the program)
    """What is wrong with an archive from some member on, with the reason code for quarantine."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: As it is written there, without a leading ``./``.
        n_bytes: Its length.
        unsafe: Why it is not to be taken; "" where nothing is wrong.
        read: Returns its bytes, before the next member is asked for.
    """

    name: str
    n_bytes: int
    unsafe: str
    read: Callable[[], bytes]


class _Guarded(io.RawIOBase):
    """An archive's bytes, read forwards in small steps; too large a ratio stops it."""

    def __init__(self, unpacked: IO[bytes], packed: IO[bytes]) -> None:
        self._unpacked, self._packed = unpacked, packed
        self._at = 0
        self.last = b""

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or offset < self._at:
            raise ArchiveFault("damaged_archive", f"a header at byte {self._at:,} points back")
        while self._at < offset and self.take(min(_STEP_BYTES, offset - self._at)):
            continue
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Read a header, which is never long."""
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise ArchiveFault("damaged_archive", f"a header at byte {self._at:,} is too long")
        self.last = self.take(size)
        return self.last

    def take(self, size: int) -> bytes:
        """Read so many bytes, or what there is of them."""
        parts = []
        while size > 0 and (part := self._step(min(size, _STEP_BYTES))):
            parts.append(part)
            size -= len(part)
            self._at += len(part)
            taken = self._packed.tell()
            if self._at > _FREE_BYTES and self._at > MAX_RATIO * taken:
                raise ArchiveFault("archive_bomb", f"{taken:,} bytes become more than {self._at:,}")
        return b"".join(parts)

    def _step(self, size: int) -> bytes:
        try:
            return self._unpacked.read(size)
        except EOFError as fault:
            raise ArchiveFault("truncated_archive", _worded(fault)) from None
        except (zlib.error, gzip.BadGzipFile) as fault:
            raise ArchiveFault("damaged_archive", _worded(fault)) from None


def members_of(path: Path) -> Iterator[Member]:
    """Yield the files of an archive; folders are left out.

    Raises:
        SourceError: It is no tar archive.
        ArchiveFault: It is cut off, damaged, or unpacks to an absurd size.
    """
    with path.open("rb") as packed:
        unpacked = _unpacked(path, packed)
        guarded = _Guarded(unpacked, packed)
        try:
            with _opened(path, guarded) as archive:
                while (entry := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # it remembers every member
                    if entry.size < 0:
                        raise ArchiveFault(
                            "damaged_archive", f"{excerpt(entry.name)} has {entry.size:,} bytes"
                        )
                    if not entry.isdir():
                        yield _member(guarded, entry)
                _require_end(guarded)
        except _FAULTS as fault:
            early = "unexpected end" in str(fault)
            reason = "truncated_archive" if early else "damaged_archive"
            raise ArchiveFault(reason, _worded(fault)) from None


def _unpacked(path: Path, packed: IO[bytes]) -> IO[bytes]:
    head = packed.read(4)
    packed.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=packed))
    if head == b"PK\x03\x04":
        raise SourceError(f"{path}: a ZIP archive, not a tar; unpack it, or pack it as .tar")
    return packed


def _opened(path: Path, guarded: _Guarded) -> tarfile.TarFile:
    try:
        return tarfile.TarFile.taropen(path.name, "r", guarded)
    except (*_FAULTS, ArchiveFault) as fault:
        raise SourceError(
            f"{path}: not a tar archive ({_worded(fault)}); expected .tar, .tar.gz or .tgz"
        ) from None


def _require_end(guarded: _Guarded) -> None:
    """Check that the archive stopped at its end mark, which is a block of zeros.

    Reading stops there, but also at the end of the file, and at a header that is broken.
    """
    if len(guarded.last) < _BLOCK:
        raise ArchiveFault(
            "truncated_archive", f"it ends at byte {guarded.tell():,}, without an end mark"
        )
    if guarded.last.strip(b"\0"):
        raise ArchiveFault("damaged_archive", f"no header before byte {guarded.tell():,}")


def _member(guarded: _Guarded, entry: tarfile.TarInfo) -> Member:
    def read() -> bytes:
        guarded.seek(entry.offset_data)
        content = guarded.take(entry.size)
        if len(content) != entry.size:
            raise ArchiveFault(
                "truncated_archive",
                f"{excerpt(entry.name)} has {len(content):,} of {entry.size:,} bytes",
            )
        return content

    return Member(entry.name.removeprefix("./"), entry.size, _danger(entry), read)


def _danger(entry: tarfile.TarInfo) -> str:
    """Say why a member is not to be taken; "" where nothing is wrong with it."""
    if entry.type in _KINDS or entry.issparse() or not entry.isreg():
        return f"is {_KINDS.get(entry.type, 'no plain file')}"
    name = entry.name
    windows = PureWindowsPath(name)
    if name.startswith("/") or windows.drive or windows.root:
        return "has an absolute name"
    if ".." in {*PurePosixPath(name).parts, *windows.parts}:
        return "leads out of the archive"
    return "has a name that cannot be shown" if not name.isprintable() else ""


def _worded(fault: Exception) -> str:
    return str(fault) or type(fault).__name__
