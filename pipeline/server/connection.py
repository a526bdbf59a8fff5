"""Connections that may not stay half open: a request's head has to come whole within a time, or the connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


class Connection(RequestHandler):
    """aiohttp's connection with a deadline for heads, which it has none for."""

    __slots__ = ("_at_work", "_head_s", "_too_late")

    def __init__(self, manager: web.Server, *, head_s: float, **options: Any) -> None:
        super().__init__(manager, **options)
        self._head_s = head_s
        self._too_late: asyncio.TimerHandle | None = None
        self._at_work = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._at_work and self._too_late is None:
            self._wait_for_head()
        super().data_received(data)

    def head_came(self) -> None:
        """A request is worked on."""
        self._at_work = True
        self._stop_waiting()

    def answered(self) -> None:
        """The next thing to come is another head."""
        self._at_work = False

    def _wait_for_head(self) -> None:
        self._too_late = asyncio.get_running_loop().call_later(self._head_s, self.force_close)

    def _stop_waiting(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None


class Connections(web.Server):
    """Makes them, for a request handler."""

    def __init__(
        self, handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], *, head_s: float, **options: Any
    ) -> None:
        async def watched(request: web.BaseRequest) -> web.StreamResponse:
            connection = request.protocol
            assert isinstance(connection, Connection)  # noqa: S101 for the type checker
            connection.head_came()
            try:
                return await handle(request)
            finally:
                connection.answered()

        super().__init__(watched, **options)
        self._head_s = head_s

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, head_s=self._head_s, **self._kwargs)
