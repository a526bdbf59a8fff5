"""The listening socket and every open connection: open, away for a while, reset, closed.

Owns the port. Everything else in the server sees connections only through a request.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct

from aiohttp import web

from pipeline.errors import LocalServerError

BACKLOG = 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""struct linger {on, 0 seconds}: closing sends an RST and drops what is not sent yet."""
UNHEARD_MS = 120_000
"""A client that takes nothing of its answer for so long is gone."""
PAUSE_S = 0.1
"""After a connection could not be taken, for want of file descriptors as a rule."""

log = logging.getLogger(__name__)


class Listener:
    """Takes connections for an aiohttp server on one port."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._server: web.Server | None = None
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._is_away = asyncio.Event()

    async def open(self, server: web.Server) -> int:
        """Starts to listen for `server` and returns the port.

        Raises LocalServerError when the address cannot be had.
        """
        host, port = self._address
        try:
            bound = bind(host, port)
        except (OSError, UnicodeError) as error:  # a host that is none
            reason = getattr(error, "strerror", None) or error
            raise LocalServerError(
                f"The local server cannot listen on {host}:{port}: {reason}. "
                "Name another --port, or leave it out for a free one."
            ) from error
        # a port 0 is settled now; the same one is taken again after an outage
        self._address = (host, bound.getsockname()[1])
        self._server = server
        self._listen(bound)
        return self._address[1]

    async def outage(self, for_s: float) -> None:
        """Refuses connections for `for_s` seconds and resets all there are, as a restart would, before it returns."""
        # noted before anything is waited for: several requests may be struck at once
        if self._reopening is None or self._reopening.done():
            self._is_away = asyncio.Event()
            self._reopening = asyncio.create_task(self._go_away(for_s))
        await self._is_away.wait()

    def reset_all(self) -> None:
        """Resets every open connection."""
        for transport in self._transports():
            reset(transport)

    async def close(self) -> None:
        """Stops listening and drops every connection."""
        if self._reopening is not None:
            self._reopening.cancel()
        await self._stop_accepting()
        for transport in self._transports():
            transport.abort()
        if self._server is not None:
            await self._server.shutdown(
                timeout=0.5
            )  # its handlers are cancelled by now; aiohttp takes 0 for "no limit"

    async def _go_away(self, for_s: float) -> None:
        await self._stop_accepting()
        # bound but not listening: connections are refused, and nobody else can take the port meanwhile
        bound = bind(*self._address)
        self.reset_all()
        self._is_away.set()
        try:
            await asyncio.sleep(for_s)
        except asyncio.CancelledError:
            bound.close()
            raise
        self._listen(bound)

    def _transports(self) -> list[asyncio.Transport]:
        connections = self._server.connections if self._server is not None else []
        return [connection.transport for connection in connections if connection.transport is not None]

    def _listen(self, bound: socket.socket) -> None:
        bound.listen(BACKLOG)
        bound.setblocking(False)
        self._listening = bound
        self._accepting = asyncio.create_task(self._accept(bound))

    async def _accept(self, listening: socket.socket) -> None:
        """Takes one connection after the other. asyncio's own server would leave some alive that it was about to take
        when it was closed, and an outage in which some are answered is none."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, _ = await loop.sock_accept(listening)
                if hasattr(socket, "TCP_USER_TIMEOUT"):
                    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS)
                await loop.connect_accepted_socket(self._arrived, connected)
            except OSError as error:
                log.warning("a connection was not taken: %s", error)
                await asyncio.sleep(PAUSE_S)

    def _arrived(self) -> asyncio.Protocol:
        if self._server is None:
            raise RuntimeError("open() comes first")
        return self._server()

    async def _stop_accepting(self) -> None:
        if self._accepting is not None and self._listening is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
            self._listening.close()


def bind(host: str, port: int) -> socket.socket:
    """Returns a bound socket; raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def reset(transport: asyncio.Transport) -> None:
    """Ends a connection with an RST."""
    connected = transport.get_extra_info("socket")
    if connected is not None and connected.fileno() >= 0:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()
