"""A proxy on loopback that hands HTTP on byte for byte, and notes each request and how much was answered.

proxy = NotingProxy()
proxy.open(port_of_the_server)
assert proxy.asked()[0].path == "/bucket/key"
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

HOST = "127.0.0.1"
BLOCK_BYTES = 1 << 16


@dataclass
class Asked:
    """A request, and what was answered."""

    method: str
    path: str
    """As on the wire, without the query."""
    query: str
    range: str
    """The header's value, or ""."""
    status: int = 0
    """0: the server went away."""
    bytes_sent: int = 0
    """Of the answer's body."""


class NotingProxy:
    """Opened and closed any number of times, always on the same port; while it is closed, connections are refused."""

    def __init__(self) -> None:
        self.port = 0
        self.cut_after: list[int] = []
        """Answers to the next GETs with a range break off after so many bytes of their body."""
        self._to = 0
        self._listener: socket.socket | None = None
        self._sockets: set[socket.socket] = set()
        self._asked: list[Asked] = []
        self._lock = threading.Lock()

    def open(self, to: int) -> None:
        """Hands on to this port."""
        self._to = to
        listener = socket.create_server((HOST, self.port), backlog=128)
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Cuts all connections."""
        with self._lock:
            listener, self._listener = self._listener, None
            sockets, self._sockets = self._sockets, set()
        for one in [*sockets, *([listener] if listener else [])]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def asked(self) -> list[Asked]:
        """All so far, in the order of their arrival."""
        with self._lock:
            return [*self._asked]

    def forget(self) -> None:
        with self._lock:
            self._asked.clear()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._relay, args=(connection, listener), daemon=True).start()

    def _relay(self, client: socket.socket, listener: socket.socket) -> None:
        """Requests of one connection, one after another."""
        with client, suppress(OSError), socket.create_connection((HOST, self._to)) as server:
            with self._lock:
                if self._listener is not listener:  # closed meanwhile
                    return
                self._sockets |= {client, server}
            try:
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with client.makefile("rb") as asking, server.makefile("rb") as answering:
                    while self._one(client, server, asking, answering):
                        pass
            finally:
                with self._lock:
                    self._sockets -= {client, server}

    def _one(self, client: socket.socket, server: socket.socket, asking: BinaryIO, answering: BinaryIO) -> bool:
        """Whether another request may follow."""
        head, headers = _head(asking)
        if not head:
            return False
        method, target, _ = head.decode("latin-1").split(" ", 2)
        path, _, query = target.partition("?")
        asked = Asked(method, path, query, headers.get("range", ""))
        with self._lock:
            self._asked.append(asked)
        server.sendall(head)
        _hand_on(asking, server, int(headers.get("content-length", 0)))
        head, headers = _head(answering)
        if not head:
            return False
        asked.status = int(head.split(b" ", 2)[1])
        client.sendall(head)
        if method == "HEAD" or asked.status in (204, 304):
            pass
        elif headers.get("transfer-encoding") == "chunked":
            while size := _chunk(answering, client):
                asked.bytes_sent += size
        else:
            left = size = int(headers["content-length"])
            cut = self.cut_after.pop(0) if self.cut_after and asked.range else size
            while left:
                if size - left >= cut < size:
                    return False
                block = answering.read1(min(left, BLOCK_BYTES))  # type: ignore[attr-defined]
                if not block:
                    return False
                client.sendall(block)
                left -= len(block)
                asked.bytes_sent += len(block)
        return headers.get("connection", "").lower() != "close"


def _head(file: BinaryIO) -> tuple[bytes, dict[str, str]]:
    """The head of a message with its empty line, and its headers with names in lower case; b"" at the end."""
    lines = []
    while line := file.readline():
        lines.append(line)
        if line == b"\r\n":
            pairs = (one.decode("latin-1").partition(":") for one in lines[1:-1])
            return b"".join(lines), {name.lower(): value.strip() for name, _, value in pairs}
    return b"", {}


def _hand_on(file: BinaryIO, to: socket.socket, size: int) -> None:
    if size:
        to.sendall(file.read(size))


def _chunk(file: BinaryIO, to: socket.socket) -> int:
    """Hands one on; returns its size, 0 for the last one. Raises OSError where it breaks off."""
    line = file.readline()
    if not line:
        raise OSError("the answer breaks off")
    size = int(line, 16)
    to.sendall(line + file.read(size + 2))
    return size
