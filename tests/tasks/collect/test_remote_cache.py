"""Fetching a file: whole or not at all, resumed, retried, checked, and only from where it may."""

import datetime as dt
import gzip
import hashlib
import json
import os
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from loopback_server import loopback_server

from tasks.collect.remote.address import (
    Unfetchable,
    checked_addresses,
    file_name,
    is_public,
    redacted,
)
from tasks.collect.remote.cache import RemoteCache
from tasks.params.collect import RemoteParams

BODY = os.urandom(300_000)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server():
    with loopback_server() as running:
        yield running


@pytest.fixture
def cache(tmp_path):
    def make(**settings):
        settings = {"allow_private_addresses": True, "total_timeout_seconds": 20.0, **settings}
        return RemoteCache(tmp_path / "remote", RemoteParams(**settings), first_wait_seconds=0.01)

    return make


def refused(cache, url, **limits):
    with pytest.raises(Unfetchable) as caught:
        cache.fetch(url, **limits)
    return caught.value


def left_behind(tmp_path):
    return [path for path in (tmp_path / "remote").rglob("content/*") if path.is_file()]


def test_a_file_comes_whole_with_its_digest(server, cache):
    path, fetched = cache().fetch(server.file("/rows.csv", BODY))
    assert path.read_bytes() == BODY
    assert path.name == "rows.csv"
    assert (fetched.n_bytes, fetched.sha256) == (len(BODY), digest(BODY))
    assert (fetched.etag, fetched.last_modified) == ('"v1"', "Thu, 01 Jan 1970 00:00:00 GMT")
    assert server.headers_seen[0]["Accept-Encoding"] == "identity"


def test_what_did_not_change_is_asked_for_but_not_sent_again(server, cache):
    url = server.file("/a", BODY)
    first = cache().fetch(url)
    assert cache().fetch(url) == first
    assert server.asked["/a"] == 2
    assert server.headers_seen[1]["If-None-Match"] == '"v1"'


def test_what_changed_is_fetched_anew(server, cache):
    url = server.file("/a", BODY)
    cache().fetch(url)
    server.file("/a", b"new", etag='"v2"')
    path, fetched = cache().fetch(url)
    assert path.read_bytes() == b"new"
    assert fetched.etag == '"v2"'


def test_a_copy_that_was_damaged_is_not_used(server, cache):
    url = server.file("/a", BODY)
    path, _ = cache().fetch(url)
    path.write_bytes(b"\0" + BODY[1:])
    assert cache().fetch(url)[0].read_bytes() == BODY
    assert server.asked["/a"] == 2


def test_a_pinned_copy_needs_no_network(server, cache):
    url = server.file("/a", BODY)
    pinned = cache(sha256={url: digest(BODY)})
    pinned.fetch(url)
    pinned.fetch(url)
    assert server.asked["/a"] == 1


def test_a_changed_file_under_a_pin_is_refused(server, cache):
    url = server.file("/a", BODY)
    fault = refused(cache(sha256={url: "0" * 64}), url)
    assert fault.reason == "hash_mismatch"
    assert digest(BODY) in fault.detail


def test_a_transfer_that_was_cut_goes_on_where_it_stopped(server, cache):
    def answer(request):
        if request.n_before == 0:
            request.cut(BODY, after=200_000, ETag='"v1"')
        else:
            request.part(BODY, ETag='"v1"')

    server.answers["/a"] = answer
    path, fetched = cache().fetch(server.url("/a"))
    assert path.read_bytes() == BODY
    assert fetched.sha256 == digest(BODY)
    seen = server.headers_seen[1]
    assert seen["If-Range"] == '"v1"'
    assert 0 < int(seen["Range"].removeprefix("bytes=").removesuffix("-")) <= 200_000


def test_a_later_run_goes_on_too(server, cache):
    server.answers["/a"] = lambda request: request.cut(BODY, after=200_000, ETag='"v1"')
    assert refused(cache(retries=0), server.url("/a")).reason == "connection_lost"
    server.file("/a", BODY)
    assert cache().fetch(server.url("/a"))[0].read_bytes() == BODY
    assert "Range" in server.headers_seen[1]


def test_a_file_that_changed_in_between_is_not_pieced_together(server, cache):
    new = os.urandom(250_000)

    def answer(request):
        if request.n_before == 0:
            request.cut(BODY, after=200_000, ETag='"v1"')
        else:
            assert request.headers["If-Range"] == '"v1"'
            request.plain(200, new, ETag='"v2"')

    server.answers["/a"] = answer
    assert cache().fetch(server.url("/a"))[0].read_bytes() == new


def test_without_a_version_a_transfer_starts_anew(server, cache):
    def answer(request):
        assert "Range" not in request.headers
        if request.n_before == 0:
            request.cut(BODY, after=200_000)
        else:
            request.plain(200, BODY)

    server.answers["/a"] = answer
    assert cache().fetch(server.url("/a"))[0].read_bytes() == BODY


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(server, cache, status):
    server.answers["/a"] = lambda request: (
        request.plain(200, BODY) if request.n_before == 2 else request.plain(status, b"busy")
    )
    assert cache().fetch(server.url("/a"))[0].read_bytes() == BODY
    assert server.asked["/a"] == 3


def test_attempts_end(server, cache):
    server.answers["/a"] = lambda request: request.plain(503, b"")
    fault = refused(cache(retries=2), server.url("/a"))
    assert (fault.reason, server.asked["/a"]) == ("http_status", 3)
    assert "503" in fault.detail


def test_a_server_that_asks_to_wait_is_obeyed(server, cache):
    server.answers["/a"] = lambda request: (
        request.plain(200, BODY) if request.n_before else request.plain(429, b"", Retry_After="1")
    )
    begin = time.monotonic()
    cache().fetch(server.url("/a"))
    assert time.monotonic() - begin >= 1.0


def test_a_wait_longer_than_the_time_there_is_ends_at_once(server, cache):
    server.answers["/a"] = lambda request: request.plain(503, b"", Retry_After="3600")
    begin = time.monotonic()
    assert refused(cache(), server.url("/a")).reason == "http_status"
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "missing_file"), (410, "missing_file"), (403, "no_permission"), (418, "http_status")],
)
def test_what_will_not_pass_is_asked_for_once(server, cache, tmp_path, status, reason):
    server.answers["/a"] = lambda request: request.plain(status, b"a page of words")
    assert refused(cache(), server.url("/a")).reason == reason
    assert server.asked["/a"] == 1
    assert left_behind(tmp_path) == []


def test_a_body_of_unknown_length_is_refused_and_a_chunked_one_is_not(server, cache):
    def unknown(request):
        request.start(200, Connection="close")
        request.wfile.write(BODY)
        request.close_connection = True

    def chunked(request):
        request.start(200, Transfer_Encoding="chunked")
        request.wfile.write(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")

    server.answers |= {"/unknown": unknown, "/chunked": chunked}
    assert refused(cache(), server.url("/unknown")).reason == "no_length"
    assert cache().fetch(server.url("/chunked"))[0].read_bytes() == b"abcdef"


def test_many_at_once_get_one_file(server, cache, tmp_path):
    server.answers["/a"] = lambda request: (time.sleep(0.2), request.part(BODY, ETag='"v1"'))
    url = server.url("/a")
    with ThreadPoolExecutor(6) as pool:
        digests = {
            fetched.sha256
            for _, fetched in pool.map(
                lambda _: cache(sha256={url: digest(BODY)}).fetch(url), range(6)
            )
        }
    assert digests == {digest(BODY)}
    assert server.asked["/a"] == 1
    assert [path.read_bytes() for path in left_behind(tmp_path)] == [BODY]


def test_stopping_ends_a_transfer(server, cache):
    server.answers["/a"] = lambda request: request.drip(0.02)
    running = cache()
    threading.Timer(0.3, running.stop).start()
    begin = time.monotonic()
    assert refused(running, server.url("/a")).reason == "stopped"
    assert time.monotonic() - begin < 3


def test_nothing_secret_is_kept_or_said(server, cache, tmp_path):
    url = server.file("/a.csv?token=hush", BODY)
    path, fetched = cache().fetch(url)
    assert path.name == "a.csv"
    kept = [p.read_text() for p in (tmp_path / "remote").rglob("*.json")]
    assert kept
    assert not any("hush" in text for text in [*kept, json.dumps(fetched.url), str(path)])
    del server.answers["/a.csv?token=hush"]
    assert "hush" not in str(refused(cache(), server.url("/b?token=hush")))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pw@host/a?x=1#y", "https://host/a?…"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("https://host", "https://host"),
        ("https://host/a#token", "https://host/a"),
    ],
)
def test_redacted(url, shown):
    assert redacted(url) == shown


@pytest.mark.parametrize("url", ["https://h/..%2f..%2fetc", "https://h/.ssh", "https://h/a/.."])
def test_a_name_for_the_copy_is_harmless(url):
    name = file_name(url)
    assert "/" not in name
    assert not name.startswith(".")


def test_an_error_page_compressed_unasked_is_refused(server, cache):
    packed = gzip.compress(b"x" * 1000)
    server.answers["/a.csv"] = lambda r: r.plain(200, packed, Content_Encoding="gzip")
    server.answers["/a.csv.gz"] = lambda r: r.plain(200, packed, Content_Encoding="gzip")
    assert refused(cache(), server.url("/a.csv")).reason == "content_encoding"
    assert cache().fetch(server.url("/a.csv.gz"))[0].read_bytes() == packed


@pytest.fixture
def certificate(tmp_path):
    """A certificate for localhost that nobody vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return path


def test_a_server_must_prove_its_name(server, cache, certificate, monkeypatch):
    """The connection goes to a checked address, and yet it is the name that counts for TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.file("/a", BODY)
    named = f"https://localhost:{server.server_port}/a"
    assert refused(cache(), named).reason == "untrusted_server"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert cache().fetch(named)[0].read_bytes() == BODY
    by_number = named.replace("localhost", "127.0.0.1")
    assert refused(cache(), by_number).reason == "untrusted_server"
    assert server.asked["/a"] == 1


def test_public_addresses_are_public():
    assert all(map(is_public, ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"]))
    with pytest.raises(Unfetchable, match="private_address"):
        checked_addresses("localhost", 443, allow_private=False)
