"""The HTTP client: everything that is HTTP and not the protocol.

httpx over aiohttp's connections, because httpx's default transport gives way with many requests in flight
(quadratic pool assignment: 285 against 2,251 requests/s at 32 in flight, 64 KB bodies).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from pipeline.errors import CompressedAnswer, StreamCut
from pipeline.gradium.coding import uncompressed
from pipeline.gradium.connector import Connector

# UnicodeError: a status line or header that is no text ends in the libraries' own decoding
BROKEN = (httpx.HTTPError, aiohttp.ClientError, OSError, UnicodeError)
"""How an exchange breaks; httpx over aiohttp lets some of aiohttp's own errors through."""
MAX_REFUSAL_BYTES = 64 << 10
"""More of a refusal than this is never read; a proxy's error page is smaller."""
REFUSAL_S = 2.0
"""A refusal that is still being sent after that is judged by what came of it."""


def http_client(url: str, *, connect_s: float, idle_s: float, trust_env: bool) -> httpx.AsyncClient:
    """A client for the endpoint at `url`, and no other.

    Follows no redirect, keeps no cookie and, unless `trust_env`, reads nothing from the environment. A proxy only
    carries what is encrypted: plain http is for this machine, and a proxy would read the key. How many connections are
    open is the pool's decision; the client sets no limit of its own.
    """
    if is_plain := not url.lower().startswith("https:"):
        # nobody's certificate is asked for, so nobody's is trusted: reading the list of those who are takes a while
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
        # what comes compressed all the same is inflated by `coding`, within bounds
        headers={"accept-encoding": "identity", "user-agent": "gradium-batch"},
    )


async def read_refusal(chunks: AsyncIterator[bytes], headers: httpx.Headers) -> str | None:
    """The text of an answer that is not 200: whatever ends it, it is that refusal all the same.

    None where it is compressed in a way that cannot be undone.
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


class _Client(httpx.AsyncClient):
    """Looks for no cookies: httpx takes 20 microseconds a request to look, and would send what it found."""

    @property
    def cookies(self) -> httpx.Cookies:
        return _NO_COOKIES

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise TypeError("this client keeps no cookies")


class _NoCookies(httpx.Cookies):
    def extract_cookies(self, response: httpx.Response) -> None:
        pass


_NO_COOKIES = _NoCookies()
