"""Read the files that records name: inside the root, plain files, each of them once."""

import errno
import os
import stat
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

from tasks.collect.cells import BadCell
from tasks.collect.rows import Medium, excerpt
from tasks.errors import SourceError
from tasks.samples.media import MediaWriter

MAX_MEDIUM_BYTES = 256 * 2**20


class CellMedia(Protocol):
    """Stores the media of records."""

    def prepare(self, cells: Sequence[str]) -> None:
        """Hear of some cells before they are collected one by one."""
        ...

    def collect(self, written: str) -> str:
        """Store the medium that a cell names, and return its digest."""
        ...

    def store(self, medium: Medium) -> str:
        """Store a medium that its source held, and return its digest."""
        ...


@dataclass
class MediaFiles:
    """The files under one root, stored as they are asked for.

    Attributes:
        root: The folder that no path may lead out of.
        writer: Where contents go.
        n_bytes: Bytes of all that was stored.
    """

    root: Path
    writer: MediaWriter
    n_bytes: int = 0
    _digests: set[str] = field(default_factory=set)
    _known: dict[str, str | tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = Path(os.path.realpath(self.root))

    @property
    def n_files(self) -> int:
        """How many distinct contents were stored."""
        return len(self._digests)

    def unlisted(self) -> list[str]:
        """Return the files that lie beside collected ones, end like them, and were not asked for.

        They are named relative to the root, in order.
        """
        endings: dict[str, set[str]] = defaultdict(set)
        for path, known in self._known.items():
            if isinstance(known, str):
                folder, name = os.path.split(path)
                endings[folder].add(PurePosixPath(name).suffix.lower())
        found = [
            Path(entry.path)
            for folder, like in endings.items()
            for entry in os.scandir(folder)
            if PurePosixPath(entry.name).suffix.lower() in like
            and not entry.name.startswith(".")
            and os.path.realpath(entry.path) not in self._known
            and entry.is_file()
        ]
        names = (path.relative_to(self.root).as_posix() for path in found)
        return sorted(os.fsencode(name).decode("utf-8", "backslashreplace") for name in names)

    def prepare(self, cells: Sequence[str]) -> None:
        """Do nothing, since the files are here."""

    def store(self, medium: Medium) -> str:
        """Store a medium that its source held, and return its digest.

        Raises:
            BadCell: ``too_large``.
        """
        if len(medium.content) > MAX_MEDIUM_BYTES:
            raise BadCell(
                "too_large", f"{len(medium.content):,} bytes, more than {MAX_MEDIUM_BYTES:,}"
            )
        return self._stored(medium.content, medium.suffix)

    def _stored(self, content: bytes, suffix: str) -> str:
        digest = self.writer.add(content, suffix)
        if digest not in self._digests:
            self._digests.add(digest)
            self.n_bytes += len(content)
        return digest

    def collect(self, written: str) -> str:
        """Store the file at a path as the user wrote it, and return its digest.

        Raises:
            BadCell: ``path_outside_root``, ``missing_file``, ``not_a_regular_file``,
                ``unreadable_file``, ``too_large`` or ``changed_during_read``.
        """
        path = resolve_inside(self.root, written)
        known = self._known.get(str(path))
        if known is None:
            try:
                known = self._stored(read_regular_file(path, written), path.suffix.lower())
            except BadCell as bad:
                known = (bad.reason, bad.detail)
            self._known[str(path)] = known
        if isinstance(known, tuple):
            raise BadCell(*known)
        return known


def resolve_inside(root: Path, written: str) -> Path:
    """Return where a path leads, with its links followed.

    Args:
        root: The folder it must lie in, its own links followed.
        written: The path as the user wrote it, relative to the root.

    Raises:
        BadCell: ``path_outside_root``.
    """
    parts = {*PurePosixPath(written).parts, *PureWindowsPath(written).parts}
    path = Path(os.path.realpath(root / written)) if "\0" not in written else None
    climbs = "\\" in written and (".." in parts or PureWindowsPath(written).drive != "")
    if path is None or climbs or not path.is_relative_to(root):
        raise BadCell(
            "path_outside_root", f"{excerpt(written)} leads out of collect.root; move the file in"
        )
    return path


def read_regular_file(path: Path, written: str, max_bytes: int = MAX_MEDIUM_BYTES) -> bytes:
    """Read a plain file whole, without waiting on pipes or devices.

    Raises:
        BadCell: It is missing, no plain file, too large, or changed while it was being read.
        SourceError: The system cannot read it for another reason.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError:
        raise BadCell("unreadable_file", f"no permission to read {excerpt(written)}") from None
    except OSError as fault:
        if fault.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise BadCell("missing_file", f"there is no file {excerpt(written)}") from None
        if fault.errno in (errno.ELOOP, errno.ENXIO):
            raise BadCell("not_a_regular_file", f"{excerpt(written)}: {fault.strerror}") from None
        raise SourceError(
            f"{path}: cannot be read ({fault.strerror}); see to it, then run collect again"
        ) from None
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise BadCell("not_a_regular_file", f"{excerpt(written)} is {_kind(before.st_mode)}")
        if before.st_size > max_bytes:
            raise BadCell("too_large", f"{before.st_size:,} bytes, more than {max_bytes:,}")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read()
        after = os.fstat(handle)
    finally:
        os.close(handle)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns) or len(
        content
    ) != before.st_size:
        raise BadCell("changed_during_read", f"{excerpt(written)} changed while it was read")
    return content


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in kinds if test(mode)), "a device")
