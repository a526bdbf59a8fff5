"""A real https server on loopback with a certificate of the tests' own authority, and a script for each path.

with https_server() as web:
    web.put("/a.wav", data)                                  # as a good server serves a file
    web.script("/b.wav", Answer(404), Answer(200, b"..."))   # in this order, the last one again and again
    batch("run", manifest, **web.environment)                # `web.url("/a.wav")` stands in the manifest
    assert [one.method for one in web.requests] == ["HEAD", "GET"]
"""

from __future__ import annotations

import re
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any

import trustme

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost", "::1", "media.example.org")
UNTIL_CLOSED = 1000.0
"""A pause in seconds that nobody waits for: it ends with the connection or the server."""


@dataclass
class Seen:
    """A request, as the server got it, and what it sent for it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """Names in lower case."""
    bytes_sent: int = 0
    """Of the answer's body."""


@dataclass(frozen=True)
class Answer:
    """What is answered, whatever was asked. HEAD gets the same without its body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str | None] = field(default_factory=dict)
    """In place of those that belong to the body; None leaves one out."""
    drip: tuple[int, float] | None = None
    """Bytes of the body at a time, and the pause in seconds before each but the first."""
    head_drip: float | None = None
    """A pause in seconds before each byte of the head but the first."""
    hang: bool = False
    """The connection is kept open after the body, until the client or the server closes it."""
    close: bool = False
    """The connection is closed after the body, as an interrupted one: without the end of TLS."""


@dataclass(frozen=True)
class Raw:
    """Bytes in place of an answer; numbers are pauses in seconds. Then the connection is closed."""

    pieces: tuple[bytes | float, ...]


@dataclass(frozen=True)
class Hosted:
    """A file as a good server serves it: with HEAD, ranges, If-Range, ETag and Last-Modified."""

    data: bytes
    content_type: str | None = "audio/wav"
    etag: str | None = ""
    """"" makes one of the content."""
    modified: float | None = 1_700_000_000
    ranges: bool = True
    head: bool = True
    """False: HEAD is refused by 403, as by a signed address for GET."""

    def answer(self, asked: Seen) -> Answer:
        if asked.method == "HEAD" and not self.head:
            return Answer(403)
        etag = f'"{sha256(self.data).hexdigest()[:16]}"' if self.etag == "" else self.etag
        headers: dict[str, str | None] = {
            "Content-Type": self.content_type,
            "ETag": etag,
            "Last-Modified": None if self.modified is None else formatdate(self.modified, usegmt=True),
        }
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
        if not self.ranges or part is None or asked.headers.get("if-range", etag) != etag:
            return Answer(200, self.data, headers)
        total = len(self.data)
        start, stop = int(part[1]), min(total, int(part[2]) + 1 if part[2] else total)
        if start >= total:
            return Answer(416, b"", headers | {"Content-Range": f"bytes */{total}"})
        return Answer(206, self.data[start:stop], headers | {"Content-Range": f"bytes {start}-{stop - 1}/{total}"})


Script = Answer | Raw | Hosted | Callable[[Seen], "Answer | Raw"]


class WebServer:
    """The running server: what it answers, and what it was asked."""

    def __init__(self, port: int, environment: dict[str, str]) -> None:
        self.port = port
        self.environment = environment
        """Variables by which a command trusts it, and may read from it."""
        self.address = f"{HOST}:{port}"
        """As in `sources.allow_private`."""
        self.stalls = False
        """Whether new connections wait for TLS in vain."""
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._requests: list[Seen] = []
        self._scripts: dict[str, list[Script]] = {}

    def url(self, path: str, host: str = HOST) -> str:
        return f"https://{host}:{self.port}{path}"

    def put(self, path: str, data: bytes, **options: Any) -> str:
        """Serves a file as a good server does; see Hosted. Returns its URL."""
        return self.script(path, Hosted(data, **options))

    def script(self, path: str, *answers: Script) -> str:
        """Answers requests for a path in this order, and all further ones as the last. Returns its URL."""
        with self._lock:
            self._scripts[path] = [*answers]
        return self.url(path)

    @property
    def requests(self) -> list[Seen]:
        """All so far, in the order of their arrival."""
        with self._lock:
            return [*self._requests]

    def asked(self, path: str, method: str = "GET") -> list[Seen]:
        """The requests for one path."""
        return [one for one in self.requests if (one.path, one.method) == (path, method)]

    def forget_requests(self) -> None:
        with self._lock:
            self._requests.clear()

    def _next(self, asked: Seen) -> Answer | Raw:
        with self._lock:
            self._requests.append(asked)
            scripts = self._scripts.get(asked.path, [Answer(404)])
            script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        if isinstance(script, Hosted):
            return script.answer(asked)
        return script if isinstance(script, Answer | Raw) else script(asked)


@contextmanager
def https_server() -> Iterator[WebServer]:
    """Runs one on a free port."""
    authority, context = _certificates()
    with tempfile.TemporaryDirectory(prefix="authority-") as folder:
        trusted = Path(folder) / "authority.pem"
        authority.cert_pem.write_to_path(str(trusted))
        with _Server((HOST, 0), _Handler) as server:
            port = server.server_address[1]
            environment = {
                "SSL_CERT_FILE": str(trusted),
                "GRADIUM_BATCH_SOURCES__ALLOW_PRIVATE": f'["{HOST}:{port}"]',
            }
            server.web, server.context = WebServer(port, environment), context
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            try:
                yield server.web
            finally:
                server.web.closing.set()
                server.shutdown()
                thread.join()


@cache
def _certificates() -> tuple[trustme.CA, ssl.SSLContext]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*NAMES).configure_cert(context)
    return authority, context


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    web: WebServer
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.web.stalls:
            self.web.closing.wait(UNTIL_CLOSED)
            return
        with suppress(OSError):  # the client refuses the certificate, or goes away
            encrypted = self.context.wrap_socket(request, server_side=True)
            with encrypted:
                handler = _Handler(encrypted, client_address, self)
                if not handler.was_cut:
                    encrypted.settimeout(1)
                    encrypted.unwrap()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    was_cut = False

    def handle(self) -> None:
        with suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Seen(self.command, path, query, headers)
        self._give(self.server.web._next(asked), asked)

    do_HEAD = do_GET  # noqa: N815  as the base class has it

    def _give(self, answer: Answer | Raw, asked: Seen) -> None:
        if isinstance(answer, Raw):
            self.close_connection = self.was_cut = True
            for piece in answer.pieces:
                if not (self._write(piece, asked) if isinstance(piece, bytes) else self._pause(piece)):
                    return
            return
        headers = {
            "Date": formatdate(usegmt=True),
            "Content-Length": str(len(answer.body)),
            "Content-Type": "audio/wav",
        } | answer.headers
        if answer.close or answer.hang:
            self.close_connection = True
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
        head = f"HTTP/1.1 {answer.status} Said\r\n{head}\r\n"
        drip = None if answer.head_drip is None else (1, answer.head_drip)
        if not self._drip(head.encode("latin-1"), drip, None):
            return
        if asked.method != "HEAD" and not self._drip(answer.body, answer.drip, asked):
            return
        if answer.hang:
            self._pause(UNTIL_CLOSED)
        self.was_cut = answer.close
        if headers["Content-Length"] is None and "Transfer-Encoding" not in headers:
            self.close_connection = True

    def _drip(self, data: bytes, drip: tuple[int, float] | None, asked: Seen | None) -> bool:
        if drip is None:
            return self._write(data, asked)
        size, pause_s = drip
        for start in range(0, len(data), size):
            if (start and not self._pause(pause_s)) or not self._write(data[start : start + size], asked):
                return False
        return True

    def _write(self, data: bytes, asked: Seen | None) -> bool:
        try:
            for start in range(0, len(data), 1 << 16):
                piece = data[start : start + (1 << 16)]
                self.connection.sendall(piece)
                if asked is not None:
                    asked.bytes_sent += len(piece)
        except OSError:
            self.close_connection = self.was_cut = True
            return False
        return True

    def _pause(self, seconds: float) -> bool:
        """False where the client or the server went away meanwhile."""
        went = self.server.web.closing.wait(seconds) if seconds < UNTIL_CLOSED else self._wait_for_client()
        if went:
            self.close_connection = self.was_cut = True
        return not went

    def _wait_for_client(self) -> bool:
        with suppress(OSError):
            self.connection.settimeout(0.05)
            while not self.server.web.closing.is_set():
                try:
                    if not self.connection.recv(1):
                        break
                except TimeoutError:
                    continue
        return True

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
