"""A connection is used again only when it is silent, and only for what went out whole."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config.settings import ServiceSettings, TimeoutSettings
from pipeline.exchange import Answer, Endpoint
from pipeline.gradium.client import GradiumClient
from pipeline.gradium.request import request_settings
from pipeline.gradium.transport import Receiver, http_client
from tests.gradium.hostile import GARBAGE, STRAY, Exchange, HostilePeer, Request
from tests.gradium.test_client import clip_of
from tests.servers import KEY

HEAD = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
HEAD_AND_MORE = HEAD + b"answer\r\n\r\ngarbage"


def answered(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def said(word: bytes) -> bytes:
    return answered(b'{"type":"text","text":"%s","start_s":1}\n{"type":"end_of_stream"}\n' % word)


class Intruder:
    """Answers each request with the number of its connection, and does what it is told to the first one."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/asr"
        self._first: socket.socket | None = None
        self._thread = threading.Thread(target=self._accept)
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Intruder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        for thread in [self._thread, *self._threads]:
            thread.join()
        self._socket.close()

    def intrude(self, deed: Callable[[socket.socket], None]) -> None:
        assert self._first is not None
        deed(self._first)

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._first = self._first or connection
            self._threads.append(threading.Thread(target=self._serve, args=(connection, b"%d" % number)))
            self._threads[-1].start()
            number += 1

    def _serve(self, connection: socket.socket, word: bytes) -> None:
        with connection, contextlib.suppress(OSError):
            while (request := Request.read(connection)) is not None:
                request.read_body(connection)
                connection.sendall(said(word))


def words_of_two_requests(url: str, clip_path: Path, between: Callable[[], None], *, turns: int) -> list[str]:
    """The second request is sent `turns` turns of the event loop after `between`."""

    async def ask() -> list[Answer]:
        clip = clip_of(clip_path, bytes(3000))
        async with http_client(url, connect_s=5, idle_s=10, trust_env=False) as http:
            settings = request_settings(ServiceSettings())
            client = GradiumClient(http, Endpoint(url=url, key=KEY), settings, TimeoutSettings())
            first = await client.transcribe(clip)
            between()
            for _ in range(turns):
                await asyncio.sleep(0)
            return [first, await client.transcribe(clip)]

    return [word.text for answer in asyncio.run(ask()) for word in answer.words]


DEEDS: dict[str, Callable[[socket.socket], None]] = {
    "an answer": lambda connection: connection.sendall(said(b"stray")),
    "half an answer": lambda connection: connection.sendall(STRAY[:25]),
    "an empty line": lambda connection: connection.sendall(b"\r\n"),
    "an interim answer": lambda connection: connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "an answer without a body": lambda connection: connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "no HTTP": lambda connection: connection.sendall(GARBAGE),
    "the end": lambda connection: connection.shutdown(socket.SHUT_WR),
}


@pytest.mark.parametrize("turns", [0, 3])
@pytest.mark.parametrize("deed", DEEDS)
def test_a_connection_on_which_something_came_before_the_request_is_not_used(
    tmp_path: Path, deed: str, turns: int
) -> None:
    with Intruder() as peer:
        found = words_of_two_requests(peer.url, tmp_path / "a.wav", lambda: peer.intrude(DEEDS[deed]), turns=turns)
    assert found == ["0", "1"]


def test_a_silent_connection_is_used_again(tmp_path: Path) -> None:
    with Intruder() as peer:
        assert words_of_two_requests(peer.url, tmp_path / "a.wav", lambda: None, turns=3) == ["0", "0"]


def test_a_large_body_that_went_out_whole_is_believed_and_its_connection_used_again(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.wav", bytes(12 << 20))

    async def ask(url: str) -> list[Answer]:
        async with http_client(url, connect_s=5, idle_s=10, trust_env=False) as http:
            settings = request_settings(ServiceSettings())
            client = GradiumClient(http, Endpoint(url=url, key=KEY), settings, TimeoutSettings())
            return [await client.transcribe(clip), await client.transcribe(clip)]

    with HostilePeer([Exchange(), Exchange()]) as peer:
        answers = asyncio.run(ask(peer.url))
    assert [answer.bytes_sent for answer in answers] == [clip.version.size_bytes] * 2
    assert [seen.read_bytes for seen in peer.seen] == [clip.version.size_bytes] * 2


@pytest.mark.parametrize("at", range(len(HEAD_AND_MORE)))
def test_the_parser_gets_the_head_by_itself_wherever_the_packets_end(at: int) -> None:
    fed: list[bytes] = []
    receiver = Receiver(fed.append)
    receiver.begin()
    for packet in (HEAD_AND_MORE[:at], HEAD_AND_MORE[at:]):
        receiver(packet)
    assert b"".join(fed) == HEAD_AND_MORE
    beginnings = [b"".join(fed[: count + 1]) for count in range(len(fed))]
    assert HEAD in beginnings
