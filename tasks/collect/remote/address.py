"""Which addresses may be fetched: allowed schemes, and servers of the public internet only.

A name is resolved once for each connection, every address it stands for is checked, and the
connection goes to a checked address; so a name that changes its mind in between gains nothing.
"""

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

import httpcore

from tasks.params.collect import REMOTE_SCHEMES

_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that a gateway turns into the IPv4 address in their last 32 bits (RFC 6052)."""

_SYNCHRONOUS = httpcore.SyncBackend()


class Unfetchable(Exception):  # noqa: N818  (a verdict on a file, not a fault of the program)
    """A remote file that cannot be had, with the reason code for quarantine.

    Attributes:
        passing: Whether a further attempt may succeed.
        wait_seconds: How long the server asks to wait before it.
    """

    def __init__(
        self, reason: str, detail: str, passing: bool = False, wait_seconds: float | None = None
    ) -> None:
        self.reason, self.detail = reason, detail
        self.passing, self.wait_seconds = passing, wait_seconds
        super().__init__(f"{reason}: {detail}")


def redacted(url: str) -> str:
    """Return an address without what may be secret: user, password, query and fragment.

    >>> redacted("https://me:secret@example.org/a.csv?token=1#x")
    'https://example.org/a.csv?…'
    """
    scheme, _, rest = url.partition("://")
    rest, asks, _ = rest.partition("?")
    host, slash, path = rest.partition("#")[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{'?…' if asks else ''}"


def require_scheme(url: str, allow_http: bool) -> str:
    """Return the scheme of an address.

    Raises:
        Unfetchable: ``scheme_not_allowed``.
    """
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    allowed = (*REMOTE_SCHEMES, "http") if allow_http else REMOTE_SCHEMES
    if scheme not in allowed:
        raise Unfetchable(
            "scheme_not_allowed",
            f"{redacted(url)} begins with {scheme or 'no scheme'}; expected "
            + ", ".join(f"{name}://" for name in allowed),
        )
    return scheme


def file_name(url: str) -> str:
    """Return the name that a fetched file gets: the last part of the path, made harmless.

    >>> file_name("https://example.org/a/rows.csv?v=2"), file_name("https://example.org/")
    ('rows.csv', 'file')
    """
    last = unquote(urlsplit(url).path.rpartition("/")[2])
    kept = "".join(c if c.isalnum() or c in "._-" else "_" for c in last).lstrip(".")
    return kept[-120:].lstrip(".") or "file"


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet, under every disguise.

    >>> is_public("8.8.8.8"), is_public("::ffff:10.0.0.1"), is_public("64:ff9b::7f00:1")
    (True, False, False)
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _TRANSLATED:
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if not all(is_public(str(v4)) for v4 in inner if v4 is not None):
            return False
        if ip.ipv4_mapped is not None:
            return True
    return ip.is_global and not ip.is_multicast


def checked_addresses(host: str, port: int, allow_private: bool) -> list[str]:
    """Resolve a host, and return its addresses only if all of them may be connected to.

    Raises:
        Unfetchable: ``private_address``, or ``unreachable`` where the name is not known.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unfetchable(
            "unreachable", f"the name '{host}' is not known to the network", passing=True
        ) from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    private = [address for address in addresses if not is_public(address)]
    if private and not allow_private:
        raise Unfetchable(
            "private_address",
            f"'{host}' is {private[0]}, which is not of the public internet; if it is a server of "
            "your own network, set collect.remote.allow_private_addresses: true",
        )
    return addresses


class PinnedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only; the name still goes into TLS and the request."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that answers."""
        addresses = checked_addresses(host, port, self._allow_private)
        for address in addresses[:-1]:
            try:
                return _SYNCHRONOUS.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return _SYNCHRONOUS.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)
