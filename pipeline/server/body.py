"""Reads request bodies, with limits on their size and on the memory of all together."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import hdrs, web

from pipeline.server.refusal import CLOSE, RefusalError

MAX_BODY_BYTES = 320 << 20
"""3000 s of mono at 48 kHz with 16 bits are 288 MB."""
ALL_BYTES, ONE_CLIENTS_BYTES = 4 * MAX_BODY_BYTES, 3 * MAX_BODY_BYTES
"""Limits of the bodies in memory at a time: of all clients, and of one."""


class Bodies:
    """The bodies that are read or worked on."""

    def __init__(self, timeout_s: float) -> None:
        """A body has so many seconds to arrive, the wait for memory included."""
        self._timeout_s = timeout_s
        self.held: Counter[str] = Counter()
        """Bytes by client."""
        self.changed = asyncio.Condition()

    @asynccontextmanager
    async def body(self, request: web.BaseRequest) -> AsyncIterator[tuple[bytes, str]]:
        """The body and its SHA-256 in hex; the memory is free again after the block.

        Raises RefusalError: 415 when it is compressed, 413 when it is larger than `MAX_BODY_BYTES`, 408 when it does
        not come in time. The service's own words for these are not known.
        """
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
            raise RefusalError("compressed_body", 415, "Unsupported Media Type", headers=CLOSE)  # it may inflate
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise _too_large()
        size = MAX_BODY_BYTES if request.content_length is None else request.content_length
        async with self.memory(request.remote or "") as memory:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await memory.take(size)
                    found = await _read(request)
            except TimeoutError:
                raise too_slow() from None
            yield found

    @asynccontextmanager
    async def memory(self, client: str) -> AsyncIterator[Memory]:
        """The memory of one body; it is free again after the block."""
        memory = Memory(self, client)
        try:
            yield memory
        finally:
            self.held[client] -= memory.taken
            self.held += Counter()  # forgets clients that hold nothing
            async with self.changed:
                self.changed.notify_all()

    def fits(self, client: str, size: int) -> bool:
        """Says whether the client may have so many bytes more."""
        return self.held[client] + size <= ONE_CLIENTS_BYTES and self.held.total() + size <= ALL_BYTES


class Memory:
    """What one body takes of the memory for all."""

    def __init__(self, bodies: Bodies, client: str) -> None:
        self._bodies = bodies
        self._client = client
        self.taken = 0

    async def take(self, size: int) -> None:
        """Waits until there is so much more. Raises RefusalError (413) for more than `MAX_BODY_BYTES` together."""
        if self.taken + size > MAX_BODY_BYTES:
            raise _too_large()
        bodies = self._bodies
        async with bodies.changed:
            await bodies.changed.wait_for(lambda: bodies.fits(self._client, size))
            self.taken += size
            bodies.held[self._client] += size


async def _read(request: web.BaseRequest) -> tuple[bytes, str]:
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    digest = hashlib.sha256()
    pieces = []
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        digest.update(piece)
        pieces.append(piece)
    return b"".join(pieces), digest.hexdigest()


def _too_large() -> RefusalError:
    return RefusalError("body_too_large", 413, "Payload Too Large", headers=CLOSE)


def too_slow() -> RefusalError:
    """Returns what a client is told that does not send its body in time."""
    return RefusalError("body_too_slow", 408, "Request Timeout", headers=CLOSE)
