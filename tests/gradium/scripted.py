"""A peer that sends exactly the bytes it was told to, for answers that no well-behaved HTTP server can send.

with Scripted(answer(b"body")) as peer:
    httpx.post(peer.url)
    assert peer.requests[0].head.startswith("POST ")
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import NamedTuple, Self


class Request(NamedTuple):
    """What the peer was sent."""

    head: str
    body: bytes


def answer(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None, framed: bool = True) -> bytes:
    """An HTTP/1.1 answer; one that is not framed ends where the connection does."""
    lines = [f"HTTP/1.1 {status} Whatever", "Connection: close"]
    if framed:
        lines.append(f"Content-Length: {len(body)}")
    lines.extend(f"{name}: {value}" for name, value in (headers or {}).items())
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Scripted:
    """Takes one connection after another; each gets the next reply, then the last one again, and is closed.

    A reply of None stays silent until the client has gone; with `open_end` none is closed before that.
    """

    def __init__(self, *replies: bytes | None, open_end: bool = False) -> None:
        self._open_end = open_end
        self.requests: list[Request] = []
        self._replies = list(replies)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.port = int(self._socket.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/api/post/speech/asr"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        with connection.makefile("rb") as stream:
            lines = []
            while line := stream.readline().strip():
                lines.append(line.decode("latin-1"))
            head = "\n".join(lines)
            length = next((line[15:] for line in lines if line.lower().startswith("content-length:")), "0")
            self.requests.append(Request(head, stream.read(int(length))))
            if reply is not None:
                connection.sendall(reply)
            if reply is None or self._open_end:
                stream.read()
