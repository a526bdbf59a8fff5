"""Answers that repeat the API key in every place of an HTTP answer where a byte can stand, and who gives them.

Every second request is answered well, so that a run takes the rest for faults of single recordings.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Self

from tests.leaks import KEY, MASKS

END = b'{"type":"end_of_stream"}\n'
GOOD = b'{"type":"ready","request_id":"r","model_name":"m"}\n{"type":"text","text":"one","start_s":1}\n' + END
BALANCE = b'{"remaining_credits": 1000000}'


def framed(body: bytes, status: bytes = b"200 OK", *headers: bytes) -> bytes:
    """An answer of known length, after which the connection is closed."""
    head = [b"HTTP/1.1 " + status, b"Connection: close", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def chunked(rest: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + rest


def chunk(body: bytes, extension: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n" % (len(body), extension, body)


def line(**message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


def raw(kind: bytes, rest: bytes) -> bytes:
    """A line whose strings are escaped by whoever repeats the key in them."""
    return b'{"type":"%s",%s}\n' % (kind, rest)


WORD = line(type="text", text="one", start_s=1)
Place = Callable[[bytes], bytes]
IN_HEADS: dict[str, Place] = {
    "reason": lambda key: framed(b"no", b"500 " + key),
    "reason of 200": lambda key: framed(GOOD, b"200 " + key),
    "status": lambda key: framed(b"no", key),
    "version": lambda key: key + b" 200 OK\r\n\r\n",
    "no http": lambda key: key + b"\r\n\r\n",
    "header": lambda key: framed(GOOD, b"200 OK", b"X-Request-Id: " + key),
    "header's name": lambda key: framed(b"no", b"500 No", key + b": " + key),
    "header of no form": lambda key: framed(b"no", b"500 No", key),
    "header with a control": lambda key: framed(b"no", b"500 No", b"X-A: \x01" + key),
    "header that is too long": lambda key: framed(b"no", b"500 No", b"X-A: " + key * 300),
    "head that is too long": lambda key: framed(b"no", b"500 No", *[b"X-A: " + key] * 3000),
    "no bytes of text": lambda key: framed(b"no", b"500 \xff" + key, b"X-\xff: \xfe" + key),
    "cookie": lambda key: framed(b"no", b"500 No", b"Set-Cookie: " + key + b"=\x02" + key + b"; expires=" + key),
    "cookie's name": lambda key: framed(b"no", b"500 No", b"Set-Cookie: (" + key + b")=1"),
    "type": lambda key: framed(b"no", b"500 No", b"Content-Type: " + key),
    "charset": lambda key: framed(b"no", b"500 No", b"Content-Type: text/plain; charset=" + key),
    "coding": lambda key: framed(b"no", b"200 OK", b"Content-Encoding: " + key),
    "coding of a refusal": lambda key: framed(b"no", b"500 No", b"Content-Encoding: x, " + key),
    "transfer coding": lambda key: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + key + b"\r\n\r\n",
    "length": lambda key: b"HTTP/1.1 200 OK\r\nContent-Length: " + key + b"\r\n\r\n",
    "second length": lambda key: framed(b"no", b"500 No", b"Content-Length: " + key),
    "retry-after": lambda key: framed(b"no", b"503 No", b"Retry-After: " + key),
    "connection": lambda key: framed(b"no", b"500 No", b"Connection: " + key),
    "upgrade": lambda key: b"HTTP/1.1 101 " + key + b"\r\nUpgrade: " + key + b"\r\nConnection: upgrade\r\n\r\n",
    "100": lambda key: b"HTTP/1.1 100 " + key + b"\r\n" + key + b": 1\r\n\r\n" + framed(b"no", b"500 No"),
    "location": lambda key: framed(b"", b"302 Found", b"Location: /" + key),
    "location's host": lambda key: framed(b"", b"307 " + key, b"Location: http://" + key + b"@" + key + b"/" + key),
    "challenge": lambda key: framed(b"no", b"407 No", b"Proxy-Authenticate: Basic realm=" + key),
    "chunk's size": lambda key: chunked(key + b"\r\n"),
    "chunk's extension": lambda key: chunked(chunk(GOOD, b";" + key + b"=" + key) + b"0\r\n\r\n"),
    "chunk's end": lambda key: chunked(b"2\r\nok" + key + b"\r\n0\r\n\r\n"),
    "trailer": lambda key: chunked(chunk(WORD) + b"0\r\n" + key + b": " + key + b"\r\n\r\n"),
    "trailer of no form": lambda key: chunked(chunk(WORD) + b"0\r\n" + key + b"\r\n\r\n"),
    "after it": lambda key: framed(GOOD) + key,
    "compressed": lambda key: framed(gzip.compress(b"no " + key), b"500 No", b"Content-Encoding: gzip"),
    "badly compressed": lambda key: framed(b"\x1f\x8b" + key, b"200 OK", b"Content-Encoding: gzip"),
}
STATUSES = (202, 204, 206, 400, 408, 409, 413, 415, 418, 422, 425, 429, 451, 500, 502, 503, 504, 520, 524, 599)
IN_BODIES: dict[str, Place] = {
    **{f"{status}": lambda key, status=status: framed(b"no " + key, b"%d No" % status) for status in STATUSES},  # type: ignore[misc]
    "code": lambda key: framed(b"error from server 1011: " + key, b"500 No"),
    "code of another form": lambda key: framed(b"error from server Some(" + key + b"): no", b"500 No"),
    "detail": lambda key: framed(
        b'{"detail": [{"msg": "' + key + b'"}]}', b"422 No", b"Content-Type: application/json"
    ),
    "page": lambda key: framed(b"<html><h1>" + key + b"</h1>", b"500 No", b"Content-Type: text/html"),
    "no end": lambda key: b"HTTP/1.1 500 No\r\nContent-Length: 9999\r\n\r\nno " + key,
}
IN_STREAMS: dict[str, Place] = {
    "message": lambda key: framed(WORD + raw(b"error", b'"message":"no %s"' % key)),
    "message's code": lambda key: framed(raw(b"error", b'"message":"no","code":"%s"' % key)),
    "other field": lambda key: framed(raw(b"error", b'"message":"no","%s":"%s"' % (key, key))),
    "word": lambda key: framed(raw(b"text", b'"text":"%s","start_s":1' % key) + END),
    "in a word": lambda key: framed(raw(b"text", b'"text":"a-%s, b","start_s":1' % key) + END),
    "end of a text": lambda key: framed(raw(b"text", b'"text":"one %s","start_s":1' % key) + b"half"),
    "request id": lambda key: framed(raw(b"ready", b'"request_id":"%s"' % key) + WORD + END),
    "model": lambda key: framed(raw(b"ready", b'"model_name":"m %s"' % key) + WORD + END),
    "ids of a failure": lambda key: framed(
        raw(b"ready", b'"request_id":"%s","model_name":"%s"' % (key, key)) + b"half"
    ),
    "names of streams": lambda key: framed(raw(b"ready", b'"text_stream_names":["%s"]' % key) + WORD + END),
    "number": lambda key: framed(raw(b"text", b'"text":"a","start_s":"%s"' % key)),
    "stream id": lambda key: framed(raw(b"text", b'"text":"a","start_s":1,"stream_id":"%s"' % key)),
    "kind": lambda key: framed(raw(key, b'"a":1') + WORD + b"half"),
    "field's name": lambda key: framed(b'{"%s":1}\n' % key),
    "no json": lambda key: framed(key + b"\n"),
    "no json, later": lambda key: framed(b'{"type":"text","text":' + key + b"\n"),
    "after the end": lambda key: framed(GOOD + key),
}
PLACES = IN_HEADS | IN_BODIES | IN_STREAMS
CUTS = (60, 100, 200, 2000)
CUT_PLACES = ("500", "message", "no json", "coding", "location", "request id", "word", "reason")


def in_every_place(masks: tuple[str, ...]) -> Iterator[bytes]:
    for place in PLACES.values():
        for mask in masks:
            yield place(MASKS[mask](KEY).encode())


def at_every_cut(mask: str, step: int) -> Iterator[bytes]:
    """Texts in which the key lies over a place where somebody may cut them, or that are cut within it."""
    masked = MASKS[mask](KEY)
    for name in CUT_PLACES:
        for before in range(1, len(masked), step):
            for cut in CUTS:
                yield PLACES[name](b"x" * (cut - before % cut - 1) + b" " + masked.encode())
            yield PLACES[name](masked[:before].encode())
            yield PLACES[name](masked[before:].encode())


class Repeating:
    """Gives one answer after the other to every second POST, and `balance` to who asks for that."""

    def __init__(self, answers: list[bytes], balance: bytes | None = None) -> None:
        self._answers = iter(answers)
        self._balance = framed(BALANCE) if balance is None else balance
        self._lock = threading.Lock()
        self._asked = 0
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/api/post/speech/asr"
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    @property
    def is_exhausted(self) -> bool:
        return next(self._answers, None) is None

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
            head = b""
            while (text := stream.readline()).strip():
                head += text
            length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
            stream.read(int(length or 0))
            connection.sendall(self._next() if head.startswith(b"POST ") else self._balance)
            connection.shutdown(socket.SHUT_WR)
            stream.read()  # until the client has gone, or the reset would overtake the answer

    def _next(self) -> bytes:
        with self._lock:
            self._asked += 1
            return (next(self._answers, None) if self._asked % 2 else None) or framed(GOOD)
