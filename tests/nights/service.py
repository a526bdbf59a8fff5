"""The endpoint of these nights: answers by content and settings, plays the faults of a night, keeps the books.

One server in a thread of this process, on loopback. It speaks HTTP by itself, because half of the faults are none that
a well-behaved server can send.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import threading
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from pipeline.gradium import wire
from tests.nights.answers import Identity, Span, asked_for, is_odd, price_of, word_of

TOO_MANY = "error from server 1008: Concurrency limit exceeded: 2 active sessions"
FAULTS = (
    "refused",
    "unavailable",
    "internal",
    "cut",
    "malformed",
    "empty",
    "reset",
    "busy",
    "sessions",
    "stream_error",
    "html_403",
    "overloaded_sentence",
)
"""What a request may draw; `open_end` is a complete answer whose connection breaks, `revoked` and `spent` are the
account's and hold for the rest of the night."""
ACCOUNT = ("revoked", "spent")
BILLED = ("ok", "open_end", "cut", "malformed", "stream_error")


class Asked(NamedTuple):
    """A request that came in whole."""

    identity: Identity
    span: Span | None
    end: str
    """`ok`, or the fault it drew."""
    price: float

    @property
    def answered(self) -> bool:
        return self.end in ("ok", "open_end")

    @property
    def billed(self) -> float:
        return self.price if self.end in BILLED else 0.0


@dataclass(frozen=True)
class Faults:
    """What goes wrong in one night: `kind`, for each `every`th content or piece of one, the first `times` that it is
    sent; an account's fault from the request number `after` on."""

    kind: str = "ok"
    every: int = 1
    times: int = 99
    after: int = 0

    def of(self, identity: Identity, span: Span | None, sent_before: int, requests: int) -> str:
        if self.kind in ACCOUNT:
            return self.kind if requests >= self.after else "ok"
        number = int(identity.content, 16) if span is None else zlib.crc32(word_of(identity, span).encode())
        hit = number % self.every == 0 and sent_before < self.times
        return self.kind if hit else "ok"


@dataclass
class Books:
    """What one night asked for."""

    key: str
    faults: Faults
    asked: list[Asked] = field(default_factory=list)
    kill: tuple[int, int] | None = None
    """(request number, process): that process is killed when that request has come in."""
    sent: Counter[tuple[Identity, Span | None]] = field(default_factory=Counter)

    @property
    def account(self) -> str | None:
        """The account's fault, once it holds."""
        return self.faults.kind if self.faults.kind in ACCOUNT and len(self.asked) >= self.faults.after else None


class Service:
    """The running server. Each night has a key of its own: what a killed one still sends is not the next one's."""

    def __init__(self) -> None:
        self._books: dict[str, Books] = {}
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}{wire.PATH}"
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def books(self, faults: Faults) -> Books:
        """New books, for one night."""
        books = Books(f"gd_night_{len(self._books)}", faults)
        self._books[books.key] = books
        return books

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await self._converse(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; returns whether another may come on this connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        target, books = line.split(" ")[1], self._books[headers[wire.KEY_HEADER]]
        if target.startswith(wire.CREDITS_PATH):
            writer.write(_balance(books.account))
        elif not await self._answer(target, body, books, writer):
            return False
        await writer.drain()
        return True

    async def _answer(self, target: str, body: bytes, books: Books, writer: asyncio.StreamWriter) -> bool:
        config = json.loads(parse_qs(urlsplit(target).query)["json_config"][0])
        identity, span = asked_for(body, config["language"], f"t{config.get('temp', 'none')}")
        end = books.faults.of(identity, span, books.sent[identity, span], len(books.asked))
        books.sent[identity, span] += 1
        books.asked.append(Asked(identity, span, end, price_of(body)))
        if books.kill is not None and len(books.asked) == books.kill[0]:
            os.kill(books.kill[1], signal.SIGKILL)
        lines = _lines(identity, span)
        refusal = _REFUSALS.get(end)
        if end == "ok":
            writer.write(_response(200, b"".join(lines), wire.NDJSON))
        elif refusal is not None:
            writer.write(_response(*refusal))
        elif end == "reset":
            writer.transport.abort()
            return False
        else:  # a stream that does not come to its end
            said = {
                "open_end": lines,
                "cut": lines[:2],
                "malformed": [lines[0], b'{"type": "text", "text": \n'],
                "stream_error": [*lines[:2], b'{"type": "error", "message": "the decoder gave up"}\n'],
            }[end]
            whole = end in ("malformed", "stream_error")
            writer.write(_response(200, b"".join(said), wire.NDJSON, more=0 if whole else 10))
            await writer.drain()
            return whole
        return True


def _lines(identity: Identity, span: Span | None) -> list[bytes]:
    messages: list[dict[str, Any]] = [
        {"type": "ready", "request_id": identity.content, "delay_in_frames": 0},
        {"type": "text", "text": word_of(identity, span), "start_s": 0.01},
    ]
    if is_odd(identity):
        messages.append({"type": "text", "text": "odd", "start_s": 0.005})
    messages.append({"type": "end_of_stream"})
    return [json.dumps(message).encode() + b"\n" for message in messages]


def _balance(account: str | None) -> bytes:
    if account == "revoked":
        return _response(401, b'{"detail": "Invalid or expired API key"}', "application/json")
    left = 0 if account == "spent" else 1_000_000
    return _response(200, json.dumps({"remaining_credits": left}).encode(), "application/json")


_REFUSALS: dict[str, tuple[int, bytes, str]] = {
    "refused": (500, b"error from server 1008: invalid audio file", "text/plain"),
    "html_403": (403, b"<html>Forbidden: your API key, no credits, invalid audio file</html>", "text/html"),
    "overloaded_sentence": (500, b"error from server 1008: Overloaded: audio input queue too long", "text/plain"),
    "unavailable": (503, b"upstream connect error", "text/plain"),
    "internal": (500, b"error from server 1011: internal server error", "text/plain"),
    "busy": (429, b"slow down", "text/plain"),
    "sessions": (500, TOO_MANY.encode(), "text/plain"),
    "revoked": (500, b"error from server 1008: API key is revoked or expired", "text/plain"),
    "spent": (500, b"error from server 1008: no credits left", "text/plain"),
    "empty": (200, b"", wire.NDJSON),
}


def _response(status: int, body: bytes, content_type: str, more: int = 0) -> bytes:
    """An HTTP answer; with `more` it promises so many bytes more than it has."""
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: {content_type}\r\nContent-Length: {len(body) + more}\r\n\r\n"
    return head.encode() + body
