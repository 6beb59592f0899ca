"""A web server of this machine whose answers a test decides; it ends with the test."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LONGEST_SECONDS = 10.0
"""After this no answer goes on, whatever a test asks for."""

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request, and the ways to answer it."""

    protocol_version = "HTTP/1.1"
    timeout = 5
    server: "Server"

    def do_GET(self) -> None:
        """Answer as the test says."""
        with self.server.lock:
            self.server.asked[self.path] += 1
            self.server.headers_seen.append(dict(self.headers))
        self.began = time.monotonic()
        try:
            self.server.answers[self.path](self)
        except KeyError:
            self.plain(404, b"")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    @property
    def n_before(self) -> int:
        """How often this path was asked for before."""
        return self.server.asked[self.path] - 1

    def plain(self, status: int, body: bytes, **headers: str) -> None:
        """Answer with a whole body."""
        self.start(status, **{"Content-Length": str(len(body)), **headers})
        self.wfile.write(body)

    def start(self, status: int, **headers: str) -> None:
        """Send the status and headers; ``_`` in a name stands for ``-``."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def cut(self, body: bytes, after: int, **headers: str) -> None:
        """Promise a whole body and break off."""
        self.start(200, Content_Length=str(len(body)), **headers)
        self.wfile.write(body[:after])
        self.close_connection = True

    def part(self, body: bytes, **headers: str) -> None:
        """Answer a request for a range, or send all where none is asked for."""
        wanted = self.headers.get("Range")
        if wanted is None:
            self.plain(200, body, **headers)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        told = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self.plain(206, body[start:], Content_Range=told, **headers)

    def drip(self, every_seconds: float) -> None:
        """Send a byte now and then of a body of any length."""
        self.start(200, Content_Length="1000000")
        while time.monotonic() - self.began < LONGEST_SECONDS:
            self.wfile.write(b"x")
            time.sleep(every_seconds)
        self.close_connection = True

    def endless(self) -> None:
        """Send chunks without end."""
        self.start(200, Transfer_Encoding="chunked")
        while time.monotonic() - self.began < LONGEST_SECONDS:
            self.wfile.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """The server, and what it was asked for."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answers: dict[str, Answer] = {}
        self.asked: Counter[str] = Counter()
        self.headers_seen: list[dict[str, str]] = []
        self.lock = threading.Lock()

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.server_port}{path}"

    def file(self, path: str, body: bytes, etag: str = '"v1"') -> str:
        """Serve a file as a good server does, and return its address."""

        def answer(request: Request) -> None:
            headers = {"ETag": etag, "Last-Modified": formatdate(0, usegmt=True)}
            if request.headers.get("If-None-Match") == etag:
                request.start(304, **headers)
            else:
                request.part(body, **headers)

        self.answers[path] = answer
        return self.url(path)


@contextmanager
def loopback_server() -> Iterator[Server]:
    """Run a server until the end of the block."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
