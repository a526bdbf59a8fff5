"""Reads the body of an answer within limits, and inflates one that comes compressed although that was not asked for.

Inflated bytes come in pieces about as large as those of a plain answer, so that the same limits hold for both.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress

import httpx

from pipeline.errors import CompressedAnswer, StreamCut
from pipeline.gradium.transport import BROKEN
from pipeline.texts import presentable

MAX_REFUSAL_BYTES = 64 << 10
"""No more of a refusal is read; a proxy's error page is smaller."""
REFUSAL_S = 2.0
"""A refusal that takes longer to arrive is classified by the part that is there."""
MAX_REST_BYTES = 64 << 10
REST_S = 0.25
"""How much, and for how long, is read after a complete answer, so that its connection can be reused."""
PIECE_BYTES = 64 << 10
MAX_NAME = 60
"""Characters of a content coding's name that are shown."""
_GZIP, _ZLIB, _RAW = 31, 15, -15
"""zlib's `wbits`."""
_READABLE = frozenset({"gzip", "x-gzip", "deflate"})
_PLAIN = frozenset({"", "identity", "chunked"})


async def read_refusal(chunks: AsyncIterator[bytes], headers: httpx.Headers) -> str | None:
    """The text of an answer that is not 200, as far as it arrives.

    None if it is compressed in a way that cannot be undone.
    """
    body = b""
    try:
        async with asyncio.timeout(REFUSAL_S):
            async for chunk in uncompressed(chunks, headers):
                body += chunk
                if len(body) > MAX_REFUSAL_BYTES:
                    break
    except CompressedAnswer:
        if not body:
            return None
    except (TimeoutError, StreamCut, *BROKEN):
        pass
    return body.decode("utf-8", "replace")


async def read_rest(chunks: AsyncIterator[bytes]) -> None:
    """Reads what follows a complete answer, within limits; a connection with more on it is closed afterwards."""
    left = MAX_REST_BYTES
    with suppress(TimeoutError, *BROKEN):
        async with asyncio.timeout(REST_S):
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    break


def uncompressed(chunks: AsyncIterator[bytes], headers: httpx.Headers) -> AsyncIterator[bytes]:
    """The body of an answer with these headers, decompressed if it is compressed.

    Raises CompressedAnswer if that is not possible, StreamCut if it ends before its compressed stream does.
    """
    coding = coding_of(headers)
    return _inflated(chunks, coding) if coding else chunks


def coding_of(headers: Mapping[str, str]) -> str:
    """The name of an answer's compression, in lower case; empty if there is none."""
    content, transfer = headers.get("content-encoding", ""), headers.get("transfer-encoding", "")
    if not content and transfer == "chunked":
        return ""  # nearly all answers
    names = (name.strip().lower() for name in f"{content},{transfer}".split(","))
    return ", ".join(name for name in names if name not in _PLAIN)


async def _inflated(chunks: AsyncIterator[bytes], coding: str) -> AsyncIterator[bytes]:
    """Yields at least one piece for each chunk."""
    name = presentable(coding, limit=MAX_NAME)
    if coding not in _READABLE:
        raise CompressedAnswer(
            f"the answer came compressed ({name}), which was not asked for and cannot be undone here",
            http_status=200,
        )
    inflater = Inflater(coding)
    async for chunk in chunks:
        try:
            pieces = inflater.feed(chunk)
            yield next(pieces, b"")
            for piece in pieces:
                await asyncio.sleep(0)  # one chunk may inflate to much: other tasks and the deadline run in between
                yield piece
        except zlib.error as error:
            raise CompressedAnswer(
                f"the answer came compressed ({name}), which was not asked for, and is damaged: {error}",
                http_status=200,
            ) from None
    if not inflater.is_whole:
        raise StreamCut("the answer broke off before the end of its compressed stream", http_status=200)


class Inflater:
    """Inflates gzip, also several streams in a row, or deflate with or without zlib's header."""

    def __init__(self, coding: str) -> None:
        self._is_gzip = coding != "deflate"
        self._stream: zlib._Decompress | None = None
        self._begun = b""
        """The first byte of a deflate stream: it takes two to see whether it has zlib's header."""

    @property
    def is_whole(self) -> bool:
        """The compressed stream came to its end, or never began."""
        return not self._begun if self._stream is None else self._stream.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Inflates the next bytes, in pieces of at most PIECE_BYTES. Raises zlib.error."""
        while data:
            stream = self._stream
            if stream is None or (stream.eof and self._is_gzip):
                data = self._begun + data
                if len(data) < 2 and not self._is_gzip:
                    self._begun = data
                    return
                self._begun = b""
                stream = self._stream = zlib.decompressobj(_GZIP if self._is_gzip else _wbits(data))
            elif stream.eof:
                raise zlib.error("something follows its end")
            while True:
                piece = stream.decompress(data, PIECE_BYTES)
                yield piece
                data = stream.unconsumed_tail
                if stream.eof or (not data and len(piece) < PIECE_BYTES):
                    break
            data = stream.unused_data


def _wbits(data: bytes) -> int:
    """zlib's `wbits` by a deflate stream's first two bytes: zlib's header (RFC 9110 requires it) has a checksum."""
    return _ZLIB if data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0 else _RAW
