"""Hostile and broken servers: none is reached that should not be, none hangs or fills the disk."""

import gzip
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from loopback_server import loopback_server

from tasks.collect.remote.address import Unfetchable, checked_addresses, is_public
from tasks.collect.remote.cache import RemoteCache
from tasks.errors import SourceError
from tasks.params.collect import RemoteParams

BODY = os.urandom(200_000)


@pytest.fixture
def server():
    with loopback_server() as running:
        yield running


@pytest.fixture
def cache(tmp_path):
    def make(**settings):
        settings = {"allow_private_addresses": True, "total_timeout_seconds": 15.0, **settings}
        return RemoteCache(tmp_path / "remote", RemoteParams(**settings), first_wait_seconds=0.01)

    return make


def refused(cache, url):
    with pytest.raises(Unfetchable) as caught:
        cache.fetch(url)
    return caught.value


def n_bytes_kept(tmp_path):
    return sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


PRIVATE_HOSTS = [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "169.254.169.254",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "0.0.0.0",
    "0x7f000001",
    "2130706433",
    "127.1",
    "0177.0.0.1",
    "[::ffff:10.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::a00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fc00::1]",
    "224.0.0.1",
    "255.255.255.255",
]


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_132_private_addresses(cache, host):
    begin = time.monotonic()
    fault = refused(cache(allow_private_addresses=False), f"https://{host}/latest/meta-data")
    if host == "0177.0.0.1":  # no address as the standard has it; it does not get to be resolved
        assert fault.reason == "bad_address"
    else:
        assert fault.reason == "private_address"
        assert "allow_private_addresses" in fault.detail
    assert time.monotonic() - begin < 2


def test_132_one_private_address_among_several_is_enough(cache):
    addresses = checked_addresses("localhost", 80, allow_private=True)
    assert addresses
    assert not any(map(is_public, addresses))


def test_133_a_redirect_to_another_scheme(server, cache, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    for i, target in enumerate((f"file://{secret}", "ftp://127.0.0.1/a", "s3://bucket/key")):
        server.answers[f"/{i}"] = lambda r, target=target: r.plain(302, b"", Location=target)
        assert refused(cache(), server.url(f"/{i}")).reason == "scheme_not_allowed"


def test_133_a_redirect_to_a_private_address(server, cache):
    """The first address is allowed by its pin; where it leads to is checked like any other."""
    url = server.url("/a")
    server.answers["/a"] = lambda r: r.plain(302, b"", Location=server.url("/b"))
    server.file("/b", BODY)
    strict = cache(allow_private_addresses=False, sha256={url: "0" * 64})
    assert refused(strict, url).reason == "private_address"
    assert server.asked["/b"] == 0


def test_133_redirects_in_a_circle(server, cache):
    server.answers["/a"] = lambda r: r.plain(302, b"", Location="/a")
    assert refused(cache(), server.url("/a")).reason == "too_many_redirects"
    assert server.asked["/a"] == 6


def test_133_redirects_within_reason_are_followed(server, cache):
    for i in range(5):
        server.answers[f"/{i}"] = lambda r, i=i: r.plain(307, b"", Location=f"/{i + 1}")
    server.file("/5", BODY)
    assert cache().fetch(server.url("/0"))[0].read_bytes() == BODY


def test_133_a_redirect_from_https_down_to_http(cache):
    """Only where servers of one's own network are allowed may anything go over http."""
    fault = refused(cache(allow_private_addresses=False), "http://example.org/a")
    assert fault.reason == "scheme_not_allowed"


def test_134_a_slow_server(server, cache):
    server.answers["/a"] = lambda request: request.drip(0.1)
    begin = time.monotonic()
    assert refused(cache(total_timeout_seconds=1.0), server.url("/a")).reason == "timeout"
    assert time.monotonic() - begin < 4


def test_134_a_server_that_says_nothing(server, cache):
    server.answers["/a"] = lambda request: time.sleep(3)
    begin = time.monotonic()
    fault = refused(cache(total_timeout_seconds=1.0, retries=0), server.url("/a"))
    assert fault.reason == "timeout"
    assert time.monotonic() - begin < 3


def test_134_an_endless_body(server, cache, tmp_path):
    server.answers["/a"] = lambda request: request.endless()
    assert refused(cache(max_bytes=300_000), server.url("/a")).reason == "too_large"
    assert n_bytes_kept(tmp_path) < 1000


def test_134_a_body_that_says_that_it_is_too_large(server, cache):
    server.answers["/a"] = lambda request: request.start(200, Content_Length=str(10**15))
    assert refused(cache(), server.url("/a")).reason == "too_large"


def test_134_a_body_shorter_than_said(server, cache, tmp_path):
    server.answers["/a"] = lambda request: request.cut(BODY, after=50_000)
    assert refused(cache(retries=1), server.url("/a")).reason == "connection_lost"
    assert server.asked["/a"] == 2
    assert not list(tmp_path.rglob("content/*"))


def test_134_a_range_of_another_place(server, cache):
    def answer(request):
        if request.n_before == 0:
            request.cut(BODY, after=50_000, ETag='"v1"')
        elif "Range" in request.headers:
            told = f"bytes 10-{len(BODY) - 1}/{len(BODY)}"
            request.plain(206, BODY[10:], Content_Range=told, ETag='"v1"')
        else:
            request.plain(200, BODY, ETag='"v1"')

    server.answers["/a"] = answer
    assert cache().fetch(server.url("/a"))[0].read_bytes() == BODY


def test_134_a_bomb_as_content_encoding_is_not_unpacked(server, cache, tmp_path):
    bomb = gzip.compress(bytes(50_000_000))
    server.answers["/a.csv"] = lambda r: r.plain(200, bomb, Content_Encoding="gzip")
    assert refused(cache(), server.url("/a.csv")).reason == "content_encoding"
    assert n_bytes_kept(tmp_path) < 1000


def test_134_a_server_that_stays_busy_sets_a_medium_aside(
    server, tmp_path, settings, table, outcome_of
):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "rows.csv").write_text("text,label,image\na,x,good.png\nb,y,busy.png\n")
    server.file("/good.png", BODY)
    server.answers["/busy.png"] = lambda r: r.plain(503, b"", Retry_After="0")
    columns = {"text": "text", "label": "category", "image": "image"}
    params = settings(
        table(columns=columns, media_base=server.url("/")),
        project={"max_bad_fraction": 1.0},
        collect={
            "root": "raw",
            "sources": (table(columns=columns, media_base=server.url("/")),),
            "remote": {"allow_private_addresses": True, "retries": 1},
        },
    )
    outcome = outcome_of("collect", params, tmp_path)
    assert outcome.reasons == {"http_status": 1}
    assert [row["text"] for row in outcome.only()] == ["a"]
    assert server.asked["/busy.png"] == 2


def test_135_workers_on_one_file(server, cache, tmp_path):
    server.answers["/a"] = lambda r: (time.sleep(0.1), r.part(BODY, ETag=f'"{r.n_before}"'))
    caches = [cache() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: one.fetch(server.url("/a")), caches))
    assert {path.read_bytes() for path, _ in found} == {BODY}
    assert not list(tmp_path.rglob("partial"))


@pytest.mark.parametrize(
    "path", ["file:///etc/passwd", "memory://rows.csv", "ftp://host/rows.csv", "http://host/a.csv"]
)
def test_133_settings_with_other_schemes_are_refused(settings, table, path):
    with pytest.raises(ValueError, match=r"expected https://|anybody on the way"):
        settings(table(path=path))


def test_132_a_source_at_a_private_address_stops_collect(tmp_path, settings, table, outcome_of):
    (tmp_path / "raw").mkdir()
    params = settings(table(path="https://127.0.0.1:1/rows.csv"))
    with pytest.raises(SourceError, match=r"source 'rows'.*private_address"):
        outcome_of("collect", params, tmp_path)
