"""The HTTP client and the streamed body: everything that is HTTP and not the protocol.

httpx over aiohttp's connections, because httpx's default transport gives way with many requests in flight
(quadratic pool assignment: 285 against 2,251 requests/s at 32 in flight, 64 KB bodies).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from pipeline.errors import AttemptError, AudioUnreadable
from pipeline.model import Clip
from pipeline.recording import fault, open_recording, same_file

CHUNK_BYTES = 256 << 10


def http_client(url: str, *, connect_s: float, idle_s: float, trust_env: bool) -> httpx.AsyncClient:
    """A client for the endpoint at `url`, and no other.

    Follows no redirect, keeps no cookie and, unless `trust_env`, reads nothing from the environment. How many
    connections are open is the pool's decision; the client sets no limit of its own.
    """
    if url.startswith("http:") and not trust_env:
        # nobody's certificate is asked for, so nobody's is trusted: reading the list of those who are takes a while
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        tls = httpx.create_ssl_context(trust_env=trust_env)

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=trust_env,
        )

    return _Client(
        transport=AiohttpTransport(verify=tls, client=session),  # without `verify` it would read SSL_CERT_FILE
        timeout=httpx.Timeout(connect=connect_s, read=idle_s, write=idle_s, pool=None),
        follow_redirects=False,
        trust_env=False,
        # an answer is read as it is, never inflated: what is bounded is what was sent
        headers={"accept-encoding": "identity", "user-agent": "gradium-batch"},
    )


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


class ClipBody(httpx.AsyncByteStream):
    """A clip as a request body, in chunks; its file is opened anew each time it is iterated.

    Reads in the event loop: the file was hashed or written a moment ago, so its pages are in memory, and a thread per
    chunk costs more than the copy.
    """

    def __init__(self, clip: Clip) -> None:
        self.sent_bytes = 0
        self.fault: AttemptError | None = None
        """Why the file could not be sent; the HTTP library reports that as a broken connection."""
        self._clip = clip

    async def __aiter__(self) -> AsyncIterator[bytes]:
        clip = self._clip
        offset, left = clip.span_bytes or (0, clip.size_bytes)
        try:
            with open_recording(clip.path) as file:
                if clip.prefix:
                    yield clip.prefix
                    self.sent_bytes += len(clip.prefix)
                file.seek(offset)
                while left:
                    # asked each time: an answer to bytes that were exchanged on the way would be another file's
                    if not same_file(file, clip.size_bytes, clip.mtime_ns):
                        raise AudioUnreadable("the file changed after it was looked at; the next run does it anew")
                    chunk = file.read(min(CHUNK_BYTES, left))
                    if not chunk:
                        raise AudioUnreadable("the file ends before its end")
                    left -= len(chunk)
                    yield chunk
                    self.sent_bytes += len(chunk)
        except AttemptError as error:
            self.fault = error
            raise OSError(error.message) from None
        except OSError as error:
            self.fault = fault(clip.path, error)
            raise
