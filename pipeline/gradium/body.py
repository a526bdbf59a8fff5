"""The streamed request body: the bytes of a clip, and how many of them were sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx

from pipeline.errors import AttemptError, AudioUnavailable
from pipeline.exchange import Request
from pipeline.source.local import open_recording, read_error, same_file

CHUNK_BYTES = 256 << 10
FIRST_POLL_S, LONGEST_POLL_S = 0.001, 0.05
"""Time between two checks whether the end of a body has left the process; only a large body has to wait."""


class RequestBody(httpx.AsyncByteStream):
    """A request's body, in chunks; its file is opened anew each time it is iterated.

    Reads in the event loop: the file was hashed or written a moment ago, so its pages are in memory, and a thread per
    chunk costs more than the copy.
    """

    def __init__(self, request: Request, when_sent: Callable[[], None]) -> None:
        self.sent_bytes = 0
        """Bytes given to the connection; the last of them may still wait in its buffer."""
        self.fault: AttemptError | None = None
        """Why the file could not be sent; the HTTP library reports that as a broken connection."""
        self.transport: asyncio.Transport | None = None
        """The connection that sends it; set by `transport.Connector`."""
        self._request = request
        self._when_sent = when_sent
        self._is_written = False
        self._is_sent = False

    @property
    def is_sent(self) -> bool:
        """Whether every byte was passed to the system, or to TLS, which may hold some for a moment."""
        return self._is_sent or (self._is_written and self._is_flushed())

    def abandon(self) -> None:
        """Aborts the connection unless the whole body was sent, so that nothing more is written in the background."""
        if self.is_sent or (transport := self.transport) is None:
            return
        if transport.get_write_buffer_size() or not transport.is_closing():  # a closed one cannot be aborted
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
                    # checked for each chunk: the file may be replaced while it is sent
                    if not same_file(file, request.version):
                        raise AudioUnavailable("the file changed during the run; the next run transcribes it")
                    chunk = file.read(min(CHUNK_BYTES, left))
                    if not chunk:
                        raise AudioUnavailable("the file ends too early")
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
        # the HTTP library counts a body as sent with up to 64 KB of it in its buffer, and would reuse the connection
        poll_s = FIRST_POLL_S
        while not self._is_flushed():
            if self.transport is None or self.transport.is_closing():
                return
            await asyncio.sleep(poll_s)
            poll_s = min(2 * poll_s, LONGEST_POLL_S)
        self._is_sent = True
        self._when_sent()

    def _is_flushed(self) -> bool:
        # a broken connection has an empty buffer too
        transport = self.transport
        return transport is not None and not transport.is_closing() and transport.get_write_buffer_size() == 0
