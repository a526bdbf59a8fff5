"""The port and its connections: an aiohttp server on one socket, and the faults of connections.

An outage closes the port for a while; a request's head has to come within a deadline; a connection can be reset.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from pipeline.errors import LocalServerError

BACKLOG = 1024
READ_BUFFER_BYTES = 1 << 18
LINGERING_S = 5.0
"""For so long the rest of a refused body is read and dropped, so that its sender gets to read the refusal."""
SHUTDOWN_S = 0.5
"""Handlers are cancelled by then; aiohttp takes 0 for "no limit"."""
SEND_TIMEOUT_MS = 120_000
"""A client that acknowledges nothing of its answer for so long is dropped."""
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""struct linger {on, 0 seconds}: closing sends an RST and drops what is not sent yet."""


class Connection:
    """The connection of one request. What does not return is cancelled when the client disconnects."""

    def __init__(self, request: web.BaseRequest, listener: Listener) -> None:
        self._request = request
        self._listener = listener

    @property
    def is_open(self) -> bool:
        return self._request.transport is not None and not self._request.transport.is_closing()

    async def reset(self) -> None:
        """Ends the connection with an RST; does not return."""
        if self._request.transport is not None:
            reset(self._request.transport)
        await self.hold()

    async def close(self) -> None:
        """Sends what was written, then closes the connection; does not return."""
        if self._request.transport is not None:
            self._request.transport.close()
        await self.hold()

    async def hold(self) -> None:
        """Keeps the connection open and silent; does not return."""
        await asyncio.get_running_loop().create_future()

    async def outage(self, for_s: float) -> None:
        """Resets all connections and refuses new ones for `for_s` seconds; does not return."""
        self._listener.start_outage(for_s)
        await self.hold()


Handle = Callable[[web.BaseRequest, Connection], Awaitable[web.StreamResponse]]


class Listener(web.Server):
    """aiohttp's server, and the port it has."""

    def __init__(self, handle: Handle, host: str, port: int, *, head_s: float) -> None:
        """A connection has `head_s` seconds to send the head of a request, from its start and after each answer."""
        # a handler is cancelled when its client disconnects, so that a hung request does not hold its session for ever
        super().__init__(
            self._on_request,
            handler_cancellation=True,
            access_log=None,
            read_bufsize=READ_BUFFER_BYTES,
            keepalive_timeout=head_s,
            lingering_time=LINGERING_S,
        )
        self._handle = handle
        self._host, self._port = host, port
        self._head_s = head_s
        self._deadlines: dict[RequestHandler, asyncio.TimerHandle] = {}
        """Of connections whose first request has not come."""
        self._runner = web.ServerRunner(self, shutdown_timeout=SHUTDOWN_S)
        self._is_down = True
        self._outage: asyncio.Task[None] | None = None

    async def open(self) -> int:
        """Starts to listen and returns the port.

        Raises LocalServerError when the address cannot be had.
        """
        try:
            self._bind()
        except (OSError, UnicodeError) as error:  # the latter of a host that is none
            reason = getattr(error, "strerror", None) or error
            raise LocalServerError(
                f"The local server cannot listen on {self._host}:{self._port}: {reason}. "
                "Name another --port, or leave it out for a free one."
            ) from error
        self._port = self._socket.getsockname()[1]  # a port 0 is settled now; an outage ends on the same port
        await self._runner.setup()
        await self._listen()
        return self._port

    def start_outage(self, for_s: float) -> None:
        """Resets all connections and refuses new ones for `for_s` seconds, as a restart would."""
        if not self._is_down:  # several requests may ask for it at once
            self._is_down = True
            self._outage = asyncio.create_task(self._close_for(for_s))

    async def close(self) -> None:
        """Stops listening and drops every connection."""
        if self._outage is not None:
            self._outage.cancel()
        self._is_down = True
        for transport in self._transports():
            transport.abort()
        await self._runner.cleanup()
        self._socket.close()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if self._is_down:
            reset(transport)
        else:
            # aiohttp's own deadline (keepalive_timeout) begins with the first answer in most of its versions
            self._deadlines[handler] = self._loop.call_later(self._head_s, handler.force_close)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self._end_deadline(handler)
        super().connection_lost(handler, exc)

    async def _on_request(self, request: web.BaseRequest) -> web.StreamResponse:
        self._end_deadline(request.protocol)
        return await self._handle(request, Connection(request, self))

    def _end_deadline(self, handler: RequestHandler) -> None:
        if (deadline := self._deadlines.pop(handler, None)) is not None:
            deadline.cancel()

    def _transports(self) -> list[asyncio.Transport]:
        return [connection.transport for connection in self.connections if connection.transport is not None]

    def _bind(self) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        self._socket = socket.socket(family, kind, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # each connection inherits it
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT_MS)
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            raise

    async def _listen(self) -> None:
        self._site = web.SockSite(self._runner, self._socket, backlog=BACKLOG)
        await self._site.start()
        self._is_down = False

    async def _close_for(self, seconds: float) -> None:
        # connections that asyncio has just accepted come to `connection_made` first: its server would leave them open
        self._loop.remove_reader(self._socket)
        await asyncio.sleep(0)
        await self._site.stop()
        # bound but not listening: connections are refused, and no other process can take the port
        self._bind()
        for transport in self._transports():
            reset(transport)
        await asyncio.sleep(seconds)
        await self._listen()


def reset(transport: asyncio.Transport) -> None:
    """Ends a connection with an RST."""
    connected = transport.get_extra_info("socket")
    if connected is not None and connected.fileno() >= 0:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()
