"""A request's connection in the hands of a fault."""

from __future__ import annotations

import asyncio

from aiohttp import web

from pipeline.server.listener import Listener, reset


class RequestLine:
    """Implements `faults.fault.Line`. What does not return is cancelled when the connection is gone."""

    def __init__(self, request: web.BaseRequest, listener: Listener) -> None:
        self._request = request
        self._listener = listener

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
        """Does nothing until the client has gone; does not return."""
        await asyncio.get_running_loop().create_future()

    async def outage(self, for_s: float) -> None:
        """Resets all connections and refuses new ones for `for_s` seconds; does not return."""
        await self._listener.outage(for_s)
        await self.hold()
