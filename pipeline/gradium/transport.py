"""The HTTP client, and its connections: one is reused only when nothing unread is on it.

httpx over aiohttp's connections, because httpx's default transport gets slow with many requests in flight
(quadratic pool assignment: 285 requests/s; with aiohttp 2,251, at 32 in flight and 64 KB bodies).
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol

import aiohttp
import httpx
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from httpx_aiohttp import AiohttpTransport

# UnicodeError comes from the libraries' decoding of a status line or header that is not text
BROKEN = (httpx.HTTPError, aiohttp.ClientError, OSError, UnicodeError)
"""Errors of the connection or the HTTP exchange; httpx over aiohttp does not translate all of aiohttp's."""
HEAD_END = b"\r\n\r\n"


class Sending(Protocol):
    """What is told of its connection: the body of a request, for instance."""

    transport: asyncio.Transport | None


sending: ContextVar[Sending | None] = ContextVar("sending", default=None)
"""What the current task is sending."""


def http_client(url: str, *, connect_s: float, idle_s: float, trust_env: bool) -> httpx.AsyncClient:
    """A client for the endpoint at `url`, and no other.

    Follows no redirect, keeps no cookie and, unless `trust_env`, reads nothing from the environment. A proxy is
    used for https only: plain http is for this machine, and a proxy could read the key. The request pool bounds the
    number of connections; the client sets no limit.
    """
    if is_plain := not url.lower().startswith("https:"):
        # no certificates are needed, and loading the trusted ones takes a while
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        tls = httpx.create_ssl_context(trust_env=trust_env)

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=Connector(limit=0, ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=trust_env and not is_plain,
        )

    return _Client(
        transport=AiohttpTransport(verify=tls, client=session),  # without `verify` it would read SSL_CERT_FILE
        timeout=httpx.Timeout(connect=connect_s, read=idle_s, write=idle_s, pool=None),
        follow_redirects=False,
        trust_env=False,
        # an answer that comes compressed nevertheless is inflated by `response`, within limits
        headers={"accept-encoding": "identity", "user-agent": "gradium-batch"},
    )


class _Client(httpx.AsyncClient):
    """Ignores cookies: httpx takes 20 microseconds a request to look for them, and would send them."""

    @property  # type: ignore[misc]
    def cookies(self) -> httpx.Cookies:
        return _NO_COOKIES


class _NoCookies(httpx.Cookies):
    def extract_cookies(self, response: httpx.Response) -> None:
        pass


_NO_COOKIES = _NoCookies()


class Connector(aiohttp.TCPConnector):
    """Reuses a connection only if it has no unread bytes: they would be taken for the next recording's answer."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  the signature is the library's
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        while not _is_silent(connection):
            if connection.transport is not None:
                connection.transport.abort()
            connection.close()
            connection = await super().connect(req, traces, timeout)
        if (protocol := connection.protocol) is not None:
            receiver = protocol.data_received
            if not isinstance(receiver, Receiver):
                receiver = Receiver(receiver)
                protocol.data_received = receiver  # type: ignore[method-assign]
            receiver.begin()
            connection.add_callback(receiver.end)
        if (body := sending.get()) is not None:
            body.transport = connection.transport
        return connection


class Receiver:
    """Passes what arrives on one connection to aiohttp's parser, and notes what arrives while there is no request.

    The head of an answer is passed on its own: where something malformed follows an answer in the same packet, the
    parser drops everything that it found in that packet.
    """

    def __init__(self, feed: Callable[[bytes], None]) -> None:
        self.is_disturbed = False
        self._feed = feed
        self._is_idle = False
        self._is_head_due = False
        self._head_tail = b""
        """The last bytes of the head so far: its end may come in two packets."""

    def begin(self) -> None:
        self._is_idle, self._is_head_due, self._head_tail = False, True, b""

    def end(self) -> None:
        self._is_idle = True

    def __call__(self, data: bytes) -> None:
        if self._is_idle and data:  # aiohttp also calls it without data, to go on parsing
            self.is_disturbed = True
        if self._is_head_due:
            seen = self._head_tail + data
            if (at := seen.find(HEAD_END)) >= 0:
                self._is_head_due = False
                end = at + len(HEAD_END) - len(self._head_tail)
                self._feed(data[:end])
                data = data[end:]
                if not data:
                    return
            self._head_tail = seen[-len(HEAD_END) + 1 :]
        self._feed(data)


def _is_silent(connection: Connection) -> bool:
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None:
        return False
    if not isinstance(receiver := protocol.data_received, Receiver):
        return True  # a new one is not checked: a TLS server may send session tickets right after the handshake
    if receiver.is_disturbed or protocol.should_close or transport.is_closing():
        return False
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not poll.poll(0)  # readable means unread bytes, end of stream or an error
