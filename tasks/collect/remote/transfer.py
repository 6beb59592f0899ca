"""One attempt to get a remote file: over HTTPS, or from object storage through fsspec.

Bytes are taken as they are sent: nothing is decompressed on the way. Redirects are followed one by
one, each under the same rules as the first address. Proxies are not used, since an address behind
one cannot be checked.
"""

import importlib
import math
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import httpcore
import httpx

from tasks.collect.remote.address import (
    PinnedBackend,
    Unfetchable,
    redacted,
    require_scheme,
)
from tasks.errors import SourceError

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
MAX_REDIRECTS = 5
CONNECTIONS = 8
RANGE_BYTES = 8 * 2**20

_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_EXTRAS = {"s3": "s3fs", "gs": "gcsfs"}
_FAULTS_OF_LIBRARIES = {
    "s3": (("botocore.exceptions", "BotoCoreError"),),
    "gs": (("google.auth.exceptions", "GoogleAuthError"), ("gcsfs.retry", "HttpError")),
}


@dataclass(frozen=True)
class Version:
    """What a server says of the state of a file.

    Attributes:
        etag: Its entity tag, or whatever tells two states apart.
        last_modified: When it changed, as the server writes it.
    """

    etag: str | None = None
    last_modified: str | None = None

    @property
    def strong(self) -> str | None:
        """What names the bytes exactly, for resuming; None where nothing does."""
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


@dataclass(frozen=True)
class Budget:
    """The time that a file may take.

    Attributes:
        deadline: When it is over, on the monotonic clock.
        stopped: Set where nobody waits for the file any more.
    """

    deadline: float
    stopped: threading.Event

    def left(self, url: str) -> float:
        """Return the seconds that are left.

        Raises:
            Unfetchable: None are, or the work was stopped.
        """
        if self.stopped.is_set():
            raise Unfetchable("stopped", f"{redacted(url)}: the work was stopped")
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise Unfetchable(
                "timeout",
                f"{redacted(url)} takes longer than collect.remote.total_timeout_seconds",
            )
        return seconds


@dataclass(frozen=True)
class Answer:
    """What a server sends.

    Attributes:
        unchanged: The file is as it was; there are no chunks.
        version: The state that is sent.
        start: The byte of the file that the chunks start with.
        n_bytes: Length of the whole file, where it is said.
        chunks: The bytes from there on.
    """

    unchanged: bool
    version: Version
    start: int
    n_bytes: int | None
    chunks: Iterator[bytes]


class Transfer(Protocol):
    """A way to get files of one scheme."""

    def open(
        self, url: str, offset: int, partial: Version, kept: Version | None, budget: Budget
    ) -> AbstractContextManager[Answer]:
        """Ask for a file.

        Args:
            url: Its address.
            offset: Bytes that are here already, of the state ``partial``.
            partial: That state.
            kept: The state of a whole copy, where there is one.
            budget: The time it may take.

        Raises:
            Unfetchable: It cannot be had.
        """
        ...


class HttpTransfer:
    """Files of web servers."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._pool = httpcore.ConnectionPool(
            max_connections=CONNECTIONS, network_backend=PinnedBackend(allow_private)
        )

    @contextmanager
    def open(
        self, url: str, offset: int, partial: Version, kept: Version | None, budget: Budget
    ) -> Iterator[Answer]:
        """Ask for a file; see :class:`Transfer`."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "fuseline"}
        if offset and partial.strong is not None:
            headers |= {"Range": f"bytes={offset}-", "If-Range": partial.strong}
        elif kept is not None and kept.etag is not None:
            headers["If-None-Match"] = kept.etag
        elif kept is not None and kept.last_modified is not None:
            headers["If-Modified-Since"] = kept.last_modified
        try:
            with self._followed(url, headers, budget) as response:
                yield _answer_of(response, url, offset, budget)
        except httpcore.TimeoutException:
            raise Unfetchable(
                "timeout", f"{redacted(url)} did not answer in time", passing=True
            ) from None
        except (httpcore.NetworkError, httpcore.RemoteProtocolError) as fault:
            if "CERTIFICATE_VERIFY_FAILED" in str(fault):
                raise Unfetchable(
                    "untrusted_server",
                    f"{redacted(url)}: {_cause(fault)}; SSL_CERT_FILE names certificates to trust",
                ) from None
            raise Unfetchable(
                "connection_lost", f"{redacted(url)}: {_cause(fault)}", passing=True
            ) from None
        except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol, httpx.InvalidURL) as bad:
            raise Unfetchable("bad_address", f"{redacted(url)}: {_cause(bad)}") from None

    @contextmanager
    def _followed(
        self, url: str, headers: Mapping[str, str], budget: Budget
    ) -> Iterator[httpcore.Response]:
        """Follow redirects to a response that is none."""
        here = httpx.URL(url)
        secure = here.scheme == "https"
        for _ in range(MAX_REDIRECTS + 1):
            scheme = require_scheme(str(here), allow_http=self._allow_private or not secure)
            if scheme not in ("http", "https"):
                raise Unfetchable(
                    "scheme_not_allowed", f"{redacted(url)} leads to {redacted(str(here))}"
                )
            left = budget.left(url)
            waits = {
                "connect": min(CONNECT_SECONDS, left),
                "read": min(READ_SECONDS, left),
                "write": min(READ_SECONDS, left),
                "pool": left,
            }
            with self._pool.stream(
                "GET",
                httpcore.URL(
                    scheme=here.raw_scheme, host=here.raw_host, port=here.port, target=here.raw_path
                ),
                headers=[("Host", here.netloc.decode("ascii")), *headers.items()],
                extensions={"timeout": waits},
            ) as response:
                if response.status not in _REDIRECTS:
                    yield response
                    return
                here = here.join(_header(response, "location") or "")
        raise Unfetchable(
            "too_many_redirects", f"{redacted(url)} redirects more than {MAX_REDIRECTS} times"
        )


def _answer_of(response: httpcore.Response, url: str, offset: int, budget: Budget) -> Answer:
    version = Version(_header(response, "etag"), _header(response, "last-modified"))
    shown, status = redacted(url), response.status
    if status == 304:
        return Answer(True, version, 0, None, iter(()))
    if status in (404, 410):
        raise Unfetchable("missing_file", f"{shown} is not there (HTTP {status})")
    if status in (401, 403):
        raise Unfetchable("no_permission", f"{shown} may not be read (HTTP {status})")
    if status == 416:
        raise Unfetchable("bad_range", f"{shown} is shorter than what was here", passing=True)
    if status not in (200, 206):
        raise Unfetchable(
            "http_status",
            f"{shown} gives HTTP {status}",
            passing=status in _PASSING,
            wait_seconds=retry_after(_header(response, "retry-after"), datetime.now(UTC)),
        )
    encoding = _header(response, "content-encoding") or "identity"
    if encoding != "identity" and not shown.endswith((".gz", ".tgz", ".zst")):
        raise Unfetchable(
            "content_encoding",
            f"{shown} comes compressed ({encoding}), though that was not asked for; see to it that "
            "the server sends the file as it is",
        )
    chunks = _in_time(response.iter_stream(), url, budget)
    if status == 206:
        found = _CONTENT_RANGE.fullmatch(_header(response, "content-range") or "")
        if found is None or int(found[1]) != offset:
            raise Unfetchable("bad_range", f"{shown} sends another part than asked", passing=True)
        return Answer(False, version, offset, int(found[2]), chunks)
    length = _header(response, "content-length")
    if length is None and (_header(response, "transfer-encoding") or "").lower() != "chunked":
        raise Unfetchable(
            "no_length",
            f"{shown}: the server does not say how long the file is, so a cut could not be noticed",
        )
    return Answer(False, version, 0, None if length is None else int(length), chunks)


def _in_time(chunks: Iterator[bytes], url: str, budget: Budget) -> Iterator[bytes]:
    for chunk in chunks:
        budget.left(url)
        yield chunk


def _header(response: httpcore.Response, name: str) -> str | None:
    wanted = name.encode()
    found = (value for key, value in response.headers if key.lower() == wanted)
    value = next(found, None)
    return None if value is None else value.decode("latin-1").strip()


def _cause(fault: Exception) -> str:
    return str(fault) or type(fault).__name__


def retry_after(header: str | None, now: datetime) -> float | None:
    """Return how many seconds a server asks to wait: a number, or a moment.

    >>> retry_after("3", datetime(2020, 1, 1, tzinfo=UTC))
    3.0
    >>> retry_after("Wed, 01 Jan 2020 00:01:00 GMT", datetime(2020, 1, 1, tzinfo=UTC))
    60.0
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


class ObjectTransfer:
    """Files of object storage; who may read them is for the environment to say."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self._files = file_system(scheme)
        self._faults = _library_faults(scheme)

    @contextmanager
    def open(
        self, url: str, offset: int, partial: Version, kept: Version | None, budget: Budget
    ) -> Iterator[Answer]:
        """Ask for a file; see :class:`Transfer`."""
        path = url.partition("://")[2]
        with self._translated(url):
            size, version = self._state(path)
            if kept is not None and kept.etag == version.etag:
                yield Answer(True, version, 0, None, iter(()))
                return
            start = offset if partial.etag == version.etag else 0
            chunks = _in_time(self._ranges(path, start, size, version), url, budget)
            yield Answer(False, version, start, size, chunks)

    def listed(self, url: str) -> list[str]:
        """Return the addresses of the files that a pattern fits, or that lie under a prefix.

        Raises:
            Unfetchable: The storage cannot be reached, or does not allow it.
        """
        path = url.partition("://")[2]
        with self._translated(url):
            pattern = any(sign in path for sign in "*?[")
            found = self._files.glob(path) if pattern else self._files.find(path)
            return sorted(f"{self._scheme}://{str(name).lstrip('/')}" for name in found)

    def _state(self, path: str) -> tuple[int, Version]:
        self._files.invalidate_cache()
        about = self._files.info(path)
        if about["type"] != "file":
            raise FileNotFoundError(path)
        modified = about.get("LastModified") or about.get("updated")
        told = modified.isoformat() if isinstance(modified, datetime) else modified
        etag = about.get("ETag") or about.get("etag") or self._files.ukey(path)
        return int(about["size"]), Version(str(etag).strip('"'), told)

    def _ranges(self, path: str, start: int, size: int, version: Version) -> Iterator[bytes]:
        for at in range(start, size, RANGE_BYTES):
            chunk: bytes = self._files.cat_file(path, start=at, end=min(at + RANGE_BYTES, size))
            yield chunk
        if self._state(path) != (size, version):
            raise Unfetchable("changed_during_read", f"{path} changed while it was read", True)

    @contextmanager
    def _translated(self, url: str) -> Iterator[None]:
        shown = redacted(url)
        try:
            yield
        except FileNotFoundError:
            raise Unfetchable("missing_file", f"{shown} is not there") from None
        except PermissionError:
            raise Unfetchable(
                "no_permission", f"{shown} may not be read with the credentials of the environment"
            ) from None
        except OSError as fault:
            raise Unfetchable(
                "connection_lost", f"{shown}: {type(fault).__name__}", passing=True
            ) from None
        except self._faults as fault:
            name = type(fault).__name__
            if "Credential" in name:
                raise Unfetchable(
                    "no_permission", f"{shown}: no credentials in the environment ({name})"
                ) from None
            raise Unfetchable("connection_lost", f"{shown}: {name}", passing=True) from None


def file_system(scheme: str) -> Any:
    """Return fsspec's file system of a scheme.

    Raises:
        SourceError: The library it needs is not installed.
    """
    import fsspec

    try:
        return fsspec.filesystem(scheme)
    except ImportError:
        library = _EXTRAS[scheme]
        raise SourceError(
            f"an address begins with {scheme}://, which needs the library {library}; "
            f"install it with `pip install 'fuseline[{scheme}]'`"
        ) from None


def _library_faults(scheme: str) -> tuple[type[Exception], ...]:
    """Return what a storage's library raises that is no OSError, as far as it is installed."""
    faults = []
    for module, name in _FAULTS_OF_LIBRARIES[scheme]:
        try:
            faults.append(getattr(importlib.import_module(module), name))
        except ImportError:
            continue
    return tuple(faults)
