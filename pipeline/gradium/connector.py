"""Connections for requests: a used one only when nothing lies on it, and each body is told which one it goes out on."""

from __future__ import annotations

import select
import weakref
from contextvars import ContextVar

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from pipeline.gradium.body import ClipBody

sending: ContextVar[ClipBody | None] = ContextVar("sending", default=None)
"""The body of the request that the current task sends."""


class Connector(aiohttp.TCPConnector):
    """Takes a kept connection only if it is silent: what lies on it would be taken for the next recording's answer."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._used: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  the signature is the library's
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        # A new connection is not asked: a TLS server may send session tickets right after the handshake.
        while connection.protocol in self._used and not _is_silent(connection):
            if connection.transport is not None:
                connection.transport.abort()
            connection.close()
            connection = await super().connect(req, traces, timeout)
        if connection.protocol is not None:
            self._used.add(connection.protocol)
        if (body := sending.get()) is not None:
            body.transport = connection.transport
        return connection


def _is_silent(connection: Connection) -> bool:
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or protocol.should_close or transport.is_closing():
        return False
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not poll.poll(0)  # bytes, an end or an error
