"""Remote files in a local cache: fetched whole or not at all, resumed, checked before each use.

Each address has a folder of its own: the file under ``content/``, beside it ``fetched.json`` with
its length, SHA-256 and the server's version, and while it is being fetched what is there so far.
"""

import hashlib
import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tasks.collect.remote.address import Unfetchable, file_name, redacted, require_scheme
from tasks.collect.remote.transfer import (
    Budget,
    HttpTransfer,
    ObjectTransfer,
    Transfer,
    Version,
)
from tasks.params.collect import RemoteParams
from tasks.samples.folders import sha256, write_text

LONGEST_WAIT_SECONDS = 60.0
WORTH_RESUMING_BYTES = 2**17

logger = logging.getLogger("tasks.collect")


@dataclass(frozen=True)
class Fetched:
    """A remote file that is here.

    Attributes:
        url: Where it came from, without what may be secret.
        etag: The server's tag of this version, if any.
        last_modified: When the server says that it changed, if it does.
        n_bytes: Its length.
        sha256: Its digest.
    """

    url: str
    etag: str | None
    last_modified: str | None
    n_bytes: int
    sha256: str

    @property
    def version(self) -> Version:
        """What the server said of it."""
        return Version(self.etag, self.last_modified)


@dataclass
class RemoteCache:
    """Fetches files into a folder.

    Attributes:
        folder: Where; it can be thrown away at any time.
        params: Limits, pins, and what is allowed.
        first_wait_seconds: Between the first attempt and the second; doubled from then on.
    """

    folder: Path
    params: RemoteParams
    first_wait_seconds: float = 0.5
    _transfers: dict[str, Transfer] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Let go of what is being fetched; nobody waits for it any more."""
        self._stopped.set()

    def fetch(self, url: str, max_bytes: int | None = None) -> tuple[Path, Fetched]:
        """Return a file that is there whole and as the server, or its pin, says.

        A pinned file whose copy is whole is not asked for again; any other is fetched anew where
        the server says that it has changed.

        Args:
            url: Its address.
            max_bytes: A limit under ``collect.remote.max_bytes``.

        Raises:
            Unfetchable: It cannot be had, or is not what it is pinned to.
        """
        place = self.folder / hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
        place.mkdir(parents=True, exist_ok=True)
        path = place / "content" / file_name(url)
        seconds = self.params.total_timeout_seconds
        budget = Budget(time.monotonic() + seconds, self._stopped)
        try:
            with FileLock(place / "lock", timeout=seconds):
                return path, self._settled(url, place, path, max_bytes, budget)
        except Timeout:
            raise Unfetchable(
                "timeout", f"{redacted(url)} is being fetched by another process for too long"
            ) from None

    def listed(self, url: str) -> list[str]:
        """Return the addresses of the files under a prefix or a pattern of object storage."""
        transfer = self.transfer(url)
        assert isinstance(transfer, ObjectTransfer)
        return transfer.listed(url)

    def transfer(self, url: str) -> Transfer:
        """Return the way to get a file.

        Raises:
            Unfetchable: The scheme is not allowed.
            SourceError: It needs a library that is not installed.
        """
        allow_http = self.params.allow_private_addresses or url in self.params.sha256
        scheme = require_scheme(url, allow_http)
        key = "http" if scheme in ("http", "https") else scheme
        if key not in self._transfers:
            self._transfers[key] = (
                HttpTransfer(self.params.allow_private_addresses)
                if key == "http"
                else ObjectTransfer(scheme)
            )
        return self._transfers[key]

    def _settled(
        self, url: str, place: Path, path: Path, max_bytes: int | None, budget: Budget
    ) -> Fetched:
        kept, pin = _kept_copy(place, path), self.params.sha256.get(url)
        if kept is not None and kept.sha256 == pin:
            return kept
        limit = min(self.params.max_bytes, max_bytes or self.params.max_bytes)
        transfer = self.transfer(url)
        fetched = self._retried(
            lambda: _attempt(transfer, url, place, path, kept, limit, budget), url, budget
        )
        if pin is not None and fetched.sha256 != pin:
            raise Unfetchable(
                "hash_mismatch",
                f"{redacted(url)} has the SHA-256 {fetched.sha256}, but collect.remote.sha256 says "
                f"{pin}; it has changed: find out why, then bring it back or pin the new one",
            )
        return fetched

    def _retried(self, attempt: Callable[[], Fetched], url: str, budget: Budget) -> Fetched:
        """Try again after what may pass, with growing pauses that no two clients share."""
        for n_done in range(self.params.retries + 1):
            try:
                return attempt()
            except Unfetchable as fault:
                pause = min(self.first_wait_seconds * 2**n_done, LONGEST_WAIT_SECONDS)
                pause *= random.uniform(0.5, 1.0)  # noqa: S311  (spreads clients, hides nothing)
                pause = max(pause, fault.wait_seconds or 0.0)
                last = n_done == self.params.retries
                if not fault.passing or last or pause > budget.left(url):
                    raise
                logger.info("%s; again in %.1f s", fault, pause)
                self._stopped.wait(pause)
        raise AssertionError("the last attempt returns or raises")


def _attempt(
    transfer: Transfer,
    url: str,
    place: Path,
    path: Path,
    kept: Fetched | None,
    limit: int,
    budget: Budget,
) -> Fetched:
    """Ask once; what came stays for the next attempt where the server can go on from there."""
    partial, note = place / "partial", place / "partial.json"
    before = _partial_version(note)
    offset = partial.stat().st_size if partial.is_file() and before.strong is not None else 0
    asked = kept.version if kept is not None else None
    try:
        with transfer.open(url, offset, before, asked, budget) as answer:
            if answer.unchanged and kept is not None:
                logger.debug("%s: as it was", redacted(url))
                return kept
            if answer.n_bytes is not None and answer.n_bytes > limit:
                raise Unfetchable("too_large", f"{redacted(url)}: {answer.n_bytes:,} bytes")
            if answer.n_bytes is None or answer.n_bytes > WORTH_RESUMING_BYTES:
                write_text(note, json.dumps(asdict(answer.version)))
            else:
                note.unlink(missing_ok=True)
            with partial.open("r+b" if answer.start else "wb") as file:
                file.seek(answer.start)
                file.truncate()
                for chunk in answer.chunks:
                    if file.tell() + len(chunk) > limit:
                        raise Unfetchable(
                            "too_large", f"{redacted(url)} has more than {limit:,} bytes"
                        )
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
    except Unfetchable as fault:
        if fault.reason in ("bad_range", "too_large"):
            partial.unlink(missing_ok=True)
        raise
    n_bytes = partial.stat().st_size
    if answer.n_bytes is not None and n_bytes != answer.n_bytes:
        partial.unlink()
        raise Unfetchable(
            "wrong_length",
            f"{redacted(url)}: {n_bytes:,} bytes came of {answer.n_bytes:,}",
            passing=True,
        )
    version = answer.version
    digest = sha256(partial)
    fetched = Fetched(redacted(url), version.etag, version.last_modified, n_bytes, digest)
    path.parent.mkdir(exist_ok=True)
    partial.replace(path)
    write_text(place / "fetched.json", json.dumps(asdict(fetched), indent=1, sort_keys=True))
    note.unlink(missing_ok=True)
    logger.debug("%s: %s bytes fetched", redacted(url), f"{n_bytes:,}")
    return fetched


def _kept_copy(place: Path, path: Path) -> Fetched | None:
    """Return what is known of the copy, if it is there and still the bytes that were fetched."""
    known = _json(place / "fetched.json")
    if known is None or not path.is_file():
        return None
    try:
        kept = Fetched(**known)
    except TypeError:
        return None
    return kept if sha256(path) == kept.sha256 else None


def _partial_version(note: Path) -> Version:
    try:
        return Version(**(_json(note) or {}))
    except TypeError:
        return Version()


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
