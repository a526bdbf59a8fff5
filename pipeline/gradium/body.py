"""The streamed request body: the bytes of a clip, and how far they got."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx

from pipeline.errors import AttemptError, AudioUnavailable
from pipeline.exchange import Request
from pipeline.source.local import open_recording, read_error, same_file

CHUNK_BYTES = 256 << 10
FIRST_LOOK_S, LONGEST_LOOK_S = 0.001, 0.05
"""How often is looked whether the end of a body has left the process; only the end of a large one has to wait."""


class RequestBody(httpx.AsyncByteStream):
    """A request's body, in chunks; its file is opened anew each time it is iterated.

    Reads in the event loop: the file was hashed or written a moment ago, so its pages are in memory, and a thread per
    chunk costs more than the copy.
    """

    def __init__(self, request: Request, when_sent: Callable[[], None]) -> None:
        self.sent_bytes = 0
        """Handed over to the connection; the last of them may still wait in its buffer."""
        self.fault: AttemptError | None = None
        """Why the file could not be sent; the HTTP library reports that as a broken connection."""
        self.transport: asyncio.Transport | None = None
        """The connection that it goes out on, once there is one."""
        self._request = request
        self._when_sent = when_sent
        self._is_written = False
        self._is_sent = False

    @property
    def is_sent(self) -> bool:
        """Every byte was handed on: to the system, or over TLS to the layer below, which may hold some for a moment."""
        return self._is_sent or (self._is_written and self._is_flushed())

    def abandon(self) -> None:
        """Drops the connection unless the whole body went out: no rest of it is written in the background."""
        if self.is_sent or (transport := self.transport) is None:
            return
        if transport.get_write_buffer_size() or not transport.is_closing():  # what is closed cannot be aborted
            transport.abort()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        request = self._request
        offset, left = request.span_bytes or (0, request.version.size_bytes)
        try:
            with open_recording(request.path) as file:
                if request.prefix:
                    self.sent_bytes += len(request.prefix)
                    yield request.prefix
                file.seek(offset)
                while left:
                    # asked each time: an answer to bytes that were exchanged on the way would be another file's
                    if not same_file(file, request.version):
                        raise AudioUnavailable("the file changed after it was looked at; the next run does it anew")
                    chunk = file.read(min(CHUNK_BYTES, left))
                    if not chunk:
                        raise AudioUnavailable("the file ends before its end")
                    left -= len(chunk)
                    self.sent_bytes += len(chunk)
                    yield chunk
        except AttemptError as error:
            self.fault = error
            raise OSError(error.message) from None
        except OSError as error:
            self.fault = read_error(request.path, error)
            raise
        self._is_written = True
        # The HTTP library counts a body as sent with up to 64 KB of it in its buffer, and would lend the connection on.
        look_s = FIRST_LOOK_S
        while not self._is_flushed():
            if self.transport is None or self.transport.is_closing():
                return
            await asyncio.sleep(look_s)
            look_s = min(2 * look_s, LONGEST_LOOK_S)
        self._is_sent = True
        self._when_sent()

    def _is_flushed(self) -> bool:
        # a connection that broke has emptied its buffer too
        transport = self.transport
        return transport is not None and not transport.is_closing() and transport.get_write_buffer_size() == 0
