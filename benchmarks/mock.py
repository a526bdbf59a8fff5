"""An endpoint far faster than any client: reads every byte of a body, answers as the protocol has it, with as
many words as people say in so long a recording, each line a chunk.

A process of its own, a hand-made protocol over asyncio; it knows POST with Content-Length and GET /stats.
Speaks just enough HTTP for the measurements: no server for anything else.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from functools import lru_cache

READY = (
    b'{"type":"ready","request_id":"mock","model_name":"mock","sample_rate":24000,"frame_size":1920,'
    b'"delay_in_frames":16}\n'
)
END = b'{"type":"end_of_stream"}\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
WORDS_PER_S = 2.5
BYTES_PER_S = 48_000
"""Of the WAVs that are sent."""


@lru_cache
def answer(body_bytes: int) -> bytes:
    """The whole answer to a body of this length; made once, for the mock must not be what is measured."""
    lines = [READY]
    for number in range(max(1, round(WORDS_PER_S * body_bytes / BYTES_PER_S))):
        start_s = round(1.3 + number / WORDS_PER_S, 2)
        lines.append(b'{"type":"text","text":"word%d","start_s":%.2f,"stream_id":0}\n' % (number, start_s))
        lines.append(b'{"type":"end_text","stop_s":%.2f,"stream_id":0}\n' % (start_s + 0.3))
    lines.append(END)
    return HEAD + b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines) + b"0\r\n\r\n"


class Stats:
    """What arrived since the start: whole requests, their bytes, when the first began and the last was answered."""

    requests = 0
    body_bytes = 0
    first = 0.0
    last = 0.0


class Connection(asyncio.Protocol):
    """One connection; requests on it come one after another."""

    latency_s = 0.0
    per_byte_s = 0.0
    """How much later a longer body is answered."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left: int | None = None
        self._length = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._left is not None:
            self._take(len(data))
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = bytes(self._head[:end]).lower(), len(self._head) - end - 4
        self._head.clear()
        if head.startswith(b"get /stats"):
            body = json.dumps({name: getattr(Stats, name) for name in ("requests", "body_bytes", "first", "last")})
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body.encode()))
            return
        mark = head.find(b"content-length:")
        if mark < 0:
            self._transport.write(b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\n\r\n")
            self._transport.close()
            return
        if b"expect: 100-continue" in head:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        Stats.first = Stats.first or time.monotonic()
        self._left = self._length = int(head[mark + 15 :].split(b"\r\n", 1)[0])
        Stats.body_bytes += self._length
        self._take(rest)

    def _take(self, count: int) -> None:
        assert self._left is not None
        self._left -= count
        if self._left > 0:
            return
        self._left = None
        if later_s := self.latency_s + self.per_byte_s * self._length:
            asyncio.get_running_loop().call_later(later_s, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        Stats.requests += 1
        Stats.last = time.monotonic()
        self._transport.write(answer(self._length))


async def serve(latency_s: float, per_byte_s: float) -> None:
    """Prints the port, then serves until it is ended."""
    Connection.latency_s, Connection.per_byte_s = latency_s, per_byte_s
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*map(float, sys.argv[1:])))
