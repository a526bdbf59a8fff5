"""What may have been billed is never more than the budget, against a service that keeps books of its own.

The biller charges for every exchange but those in the table of docs/hostile-service.md, which is written down here a
second time, reply by reply, and not read from the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import struct
import threading
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline import errors
from pipeline.config.settings import RetrySettings, ServiceSettings, TimeoutSettings
from pipeline.exchange import Answer, Endpoint, Request
from pipeline.gradium.billing import UNBILLED
from pipeline.gradium.client import GradiumClient
from pipeline.gradium.request import request_settings
from pipeline.gradium.transport import http_client
from pipeline.pool import (
    AdaptiveLimiter,
    Budget,
    CircuitBreaker,
    Job,
    Limits,
    OverBudget,
    Pool,
    Put,
    RetryPolicy,
)
from pipeline.price import Price
from tests.gradium.scripted import Scripted, answer
from tests.gradium.test_client import clip_of, failure
from tests.pool.accounts import account_with
from tests.servers import KEY

LIMIT = b"Concurrency limit exceeded: 3 active sessions"
KEY_LINE = b'{"type":"error","message":"API key is revoked or expired","code":1008}\n'
CREDITS_LINE = b'{"type":"error","message":"Insufficient credits: no credits remaining","code":1008}\n'
LIMIT_LINE = b'{"type":"error","message":"Concurrency limit exceeded"}\n'
READY = b'{"type":"ready","request_id":"r-1","delay_in_frames":0}\n'
WORD = b'{"type":"text","text":"one","start_s":0.5}\n'
END = b'{"type":"end_of_stream"}\n'
HTML = {"Content-Type": "text/html"}
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\nConnection: close\r\n\r\n"

FREE: dict[str, bytes] = {
    "policy: limit": answer(b"error from server 1008: " + LIMIT, status=500, headers=PLAIN),
    "policy: format": answer(b"error from server 1008: bad format", status=500, headers=PLAIN),
    "policy: new": answer(b"error from server 1008: something new\nfooter", status=500, headers=PLAIN),
    "limit as 400": answer(LIMIT, status=400),
    "limit as 500": answer(LIMIT, status=500, headers=PLAIN),
    "limit as 503": answer(b"error from server 1008: " + LIMIT, status=503, headers=PLAIN),
    "429": answer(b"slow down", status=429, headers={"Retry-After": "0"}),
    "429 page": answer(b"<html>Too many requests</html>", status=429, headers=HTML),
    "limit, code in its footer": answer(LIMIT + b"\nerror from server 1011: x", status=500, headers=PLAIN),
    "limit in JSON": answer(b'{"detail":"%s"}' % LIMIT, status=400),
    "limit in JSON, the status in it": answer(b'{"code":400,"message":"%s"}' % LIMIT, status=400),
    "policy in JSON": answer(b'{"error":{"code":1008,"message":"something new"}}', status=500),
    "policy: limit, Some": answer(b"error from server Some(1008): " + LIMIT + b"\nwrite to us", status=500),
    "content type": answer(b"unsupported content type for SST 'audio/mpeg'", status=500, headers=PLAIN),
    "limit as the first line": answer(b"\r\n" + LIMIT_LINE),
}
"""Refusals before work: nothing is charged."""
ENDS_RUN: dict[str, bytes] = {
    "401": answer(b'{"detail": "no such key"}', status=401),
    "policy: key": answer(b"error from server 1008: API key is revoked or expired", status=500, headers=PLAIN),
    "key as the first line": answer(KEY_LINE),
    "credits as the first line": answer(CREDITS_LINE),
    "key as the first line, in JSON": answer(b'{"type":"error","message":{"detail":"no API key"},"code":1008}\n'),
}
"""The same, after which nothing more is sent."""
CHARGED: dict[str, bytes] = {
    "answered": answer(READY + WORD + END),
    "silence": answer(READY),
    "empty": answer(b""),
    "empty 202": answer(b"", status=202),
    "202": answer(b"error from server 1008: " + LIMIT, status=202),
    "204": b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "302": answer(b"", status=302, headers={"Location": "http://127.0.0.1:9/"}),
    "304": answer(b"", status=304),
    "400": answer(b'{"detail": "something new"}', status=400),
    "408": answer(b"too slow", status=408),
    "409 limit": answer(LIMIT, status=409),
    "418": answer(b"I'm a teapot", status=418),
    "internal": answer(b"error from server 1011: internal server error", status=500, headers=PLAIN),
    "internal: limit of memory": answer(b"error from server 1011: rate limit of the store", status=500, headers=PLAIN),
    "500 page": answer(b"<html>Too many requests. " + LIMIT + b"</html>", status=500, headers=HTML),
    "500 page with a code": answer(b"error from server 1008: " + LIMIT, status=500, headers=HTML),
    "500": answer(b"upstream connect error", status=500, headers=PLAIN),
    "502": answer(b"Bad Gateway", status=502),
    "503": answer(b"Service Unavailable", status=503, headers={"Retry-After": "0"}),
    "504": answer(b"", status=504),
    **{str(status): answer(b"error code: %d" % status, status=status) for status in (520, 521, 522, 523, 524, 599)},
    "520 limit": answer(LIMIT, status=520, headers=PLAIN),
    "524 policy": answer(b"error from server 1008: " + LIMIT, status=524, headers=PLAIN),
    "unreadable 500": answer(b"\x0b\x02", status=500, headers={"Content-Encoding": "br"}),
    "limit after ready": answer(READY + LIMIT_LINE),
    "rate limit in words": answer(b"Too many requests<br><hr>nginx", status=500, headers=PLAIN),
    "quota as 400": answer(b"Quota exceeded for requests per minute", status=400),
    **{
        f"limit, {name}": answer(said.encode(), status=500, headers=PLAIN)
        for name, said in {
            "code in JSON": '{"code":1011,"message":"Concurrency limit exceeded"}',
            "detail in JSON": '{"detail":"error from server 1011: Concurrency limit exceeded"}',
            "capitals": "Error from server 1011: Concurrency limit exceeded",
            "code too long": "error from server 4294967295: Concurrency limit exceeded",
            "code below 0": "error from server -1: Concurrency limit exceeded",
            "quoted": '"error from server 1011: Concurrency limit exceeded"',
            "BOM": "\ufefferror from server 1011: Concurrency limit exceeded",
        }.items()
    },
    **{
        f"limit first, code {code}": answer(b'{"type":"error","message":"%s","code":%s}\n' % (LIMIT, code.encode()))
        for code in ("3000000000", '"E1011"', '""', "1011", "0")
    },
    "limit first, two codes": answer(
        b'{"type":"error","message":"error from server 1008: Concurrency limit","code":1011}\n'
    ),
    "limit first, capitals": answer(b'{"type":"error","message":"Error from server 1011: Concurrency limit"}\n'),
    "credits first, no code": answer(b'{"type":"error","message":"Insufficient credits: no credits remaining"}\n'),
    "limit in JSON, two codes": answer(b'{"code":1008,"message":"error from server 1011: %s"}' % LIMIT, status=500),
    "limit in JSON, a code in words": answer(b'{"code":"E1","message":"%s"}' % LIMIT, status=500),
    "policy in JSON, 502": answer(b'{"code":1008,"message":"%s"}' % LIMIT, status=502),
    "policy, a page in it": answer(b"error from server 1008: <html>", status=500),
    "setting, a fault of ours": answer(b"error from server 1002: input before setup", status=500),
    "key after ready": answer(READY + KEY_LINE),
    "credits after a word": answer(READY + WORD + CREDITS_LINE),
    "limit after a step": answer(b'{"type":"step"}\n' + LIMIT_LINE),
    "limit after a word": answer(READY + WORD + LIMIT_LINE),
    "limit after a blank word": answer(b'{"type":"text","text":" ","start_s":0}\n' + LIMIT_LINE),
    "limit after an end": answer(b'{"type":"end_text","stop_s":1}\n' + LIMIT_LINE),
    "limit after something new": answer(b'{"type":"partial","text":"one"}\n' + LIMIT_LINE),
    "compressed limit after ready": answer(gzip.compress(READY + LIMIT_LINE), headers={"Content-Encoding": "gzip"}),
    "error as the first line": answer(b'{"type":"error","message":"something new"}\n'),
    "internal in the stream": answer(b'{"type":"error","message":"Concurrency limit exceeded","code":1011}\n'),
    "malformed": answer(READY + b"<html>\n"),
    "cut": CUT + READY,
    "cut refusal": b"HTTP/1.1 500 No\r\nContent-Length: 999\r\nConnection: close\r\n\r\nerror from ser",
    "garbage": b"\x00\xff garbage\r\n\r\n",
    "status no number": b"HTTP/1.1 \xff\xff OK\r\n\r\n",
    "gone": b"",
}
REPLIES = FREE | ENDS_RUN | CHARGED
PRICE = 3.0
"""Of one of the clips, which are 1 s long."""


class Biller:
    """A raw server: each request gets the next reply, and is charged before it gets it."""

    def __init__(self, names: list[str], budget: float) -> None:
        self.charged = 0.0
        self.over: list[str] = []
        """Replies with which the books went over the budget of the night."""
        self._names = names
        self._next = 0
        self.budget = budget
        self._night = 0.0
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/api/post/speech/asr"
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def new_night(self) -> None:
        self._night = 0.0

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(10)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
            length = 0
            while line := stream.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line[15:])
            body = stream.read(length)
            if not body:
                return
            with self._lock:
                name = self._names[self._next % len(self._names)]
                self._next += 1
                if name in CHARGED:
                    self._charge(name, PRICE)
            connection.sendall(REPLIES[name])
            if name == "gone":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _charge(self, name: str, credits_: float) -> None:
        self.charged += credits_
        self._night += credits_
        if self._night > self.budget + 1e-6:
            self.over.append(name)


class Books:
    """Our own ledger: what was or may have been billed."""

    def __init__(self) -> None:
        self.credits = 0.0
        self.billed: list[str] = []

    async def wait_for_room(self) -> None:
        pass

    async def sending(self, job: Job, started_at: datetime) -> None:
        pass

    def sent(self, job: Job, started_at: datetime, latency_s: float, ended: Answer | errors.AttemptError) -> None:
        self.billed.append("yes" if isinstance(ended, Answer) else ended.billed)
        self.credits += Price(3.0).of(job.request) if self.billed[-1] != "no" else 0.0

    def retrying(self, job: Job, error: errors.AttemptError, pause_s: float) -> None:
        pass

    def settled(self, job: Job, result: Answer | errors.AttemptError | OverBudget) -> None:
        pass


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Request:
    return clip_of(tmp_path_factory.mktemp("clips") / "one.wav", b"a" * 3000, duration_s=1.0)


async def night(url: str, clip: Request, books: Books, budget: float, concurrency: int) -> None:
    async with http_client(url, connect_s=5, idle_s=5, trust_env=False) as http:
        timeouts = TimeoutSettings(attempt_base_s=5)
        client = GradiumClient(http, Endpoint(url=url, key=KEY), request_settings(ServiceSettings()), timeouts)
        limits = Limits(
            retry=RetryPolicy(RetrySettings(max_attempts=3, base_s=0.001, max_s=0.001)),
            limiter=AdaptiveLimiter(concurrency),
            breaker=CircuitBreaker(first_pause_s=0.001),
            budget=Budget(budget),
            price=Price(3.0).of,
            outage_max_s=0.3,
            account=account_with("nobody was asked"),
            settings_answered=True,
        )

        async def fill(put: Put) -> None:
            for _ in range(8):
                await put(clip)

        with contextlib.suppress(errors.RunError, errors.AttemptError):
            await Pool(client, books, limits, queue=concurrency, drain_s=5).run(fill)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    replies=st.lists(st.sampled_from(sorted(REPLIES)), min_size=1, max_size=12),
    budget=st.sampled_from([2.9, 3.0, 9.0, 10.5, 30.0]),
    concurrency=st.sampled_from([1, 3, 32]),
    nights=st.integers(1, 2),
)
@example(replies=["520"], budget=9.0, concurrency=32, nights=2)
@example(replies=["500 page", "202", "limit after a word"], budget=9.0, concurrency=1, nights=1)
@example(replies=["429"] * 11 + ["503"], budget=9.0, concurrency=3, nights=1)
def test_the_books_of_a_hostile_biller_never_go_over_the_budget(
    clip: Request, replies: list[str], budget: float, concurrency: int, nights: int
) -> None:
    books = Books()
    with Biller(replies, budget) as biller:
        for _ in range(nights):
            biller.new_night()
            asyncio.run(night(biller.url, clip, books, budget, concurrency))
    assert not biller.over
    assert biller.charged <= books.credits + 1e-6 <= nights * budget + 1e-3


@pytest.mark.parametrize("name", sorted(REPLIES))
def test_what_may_have_been_billed_is_what_is_not_in_the_table(clip: Request, name: str) -> None:
    books = Books()
    with Biller([name], 3.0) as biller:
        asyncio.run(night(biller.url, clip, books, 3.0, 1))
    assert biller.charged == (3.0 if name in CHARGED else 0.0)
    assert books.credits == biller.charged
    assert {billed != "no" for billed in books.billed} == {name in CHARGED}


def test_a_recording_that_changes_while_it_is_sent_may_have_been_billed(clip: Request, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    begun = msgspec.structs.replace(clip_of(path, b"a" * 3000), prefix=b"RIFF")
    path.write_bytes(b"other")
    with Scripted(answer(READY + WORD + END)) as peer:
        error = failure(peer.url, begun)
    assert isinstance(error, errors.AudioUnavailable)
    assert (error.bytes_sent, error.billed) == (4, "maybe")


def test_the_table_in_the_docs_is_the_one_of_the_program() -> None:
    told = Path("docs/hostile-service.md").read_text()
    table = told.partition("## What costs nothing")[2].partition("\n## ")[0]
    assert [line[2:-2] for line in table.splitlines() if line.startswith("| ") and "---" not in line][1:] == [
        " | ".join(row) for row in UNBILLED
    ]
