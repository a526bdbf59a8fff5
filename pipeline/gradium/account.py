"""Asks for the account's balance, which also tests whether anything answers at the endpoint.

Sends one small GET, for which nothing is billed. Here is decided what its answer means: only a 401 that is no HTML page
says that the key is bad; a 403 may come from anything on the way. A page that takes too long or breaks off leaves the
balance unknown; nothing answers where no connection is made, or none brings an HTTP answer.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import httpx
import msgspec

from pipeline.errors import CompressedAnswer, EndpointUnreachable, KeyRefused, StreamCut
from pipeline.exchange import Endpoint
from pipeline.gradium import wire
from pipeline.gradium.classify import is_timeout, why_broken
from pipeline.gradium.reason import read
from pipeline.gradium.response import read_refusal, uncompressed
from pipeline.gradium.transport import BROKEN, sending
from pipeline.profile import GRADIUM
from pipeline.texts import presentable

TRIES = 3
"""A name server or proxy may fail once."""
PAUSE_S = 0.3
ANSWER_S = 10.0
"""How long one try may take, the connection included."""
MAX_BODY_BYTES = 64 << 10


@dataclass
class _Asking:
    """How far one request came."""

    transport: asyncio.Transport | None = None
    """The connection, once there is one; set by `transport.Connector`."""
    has_begun: bool = False
    """An HTTP answer has begun."""


async def ask_credits(
    http: httpx.AsyncClient, endpoint: Endpoint, *, tries: int = TRIES, within_s: float = ANSWER_S
) -> wire.Credits | str:
    """The balance, or a sentence about why it is unknown.

    Raises KeyRefused for a bad key and EndpointUnreachable when nothing answers.
    """
    parts = urlsplit(endpoint.url)
    url = f"{parts.scheme}://{parts.netloc}{GRADIUM.balance_path}"
    for attempt in range(1, tries + 1):
        asking = _Asking()
        try:
            status, body = await _get(http, url, endpoint.key, asking, within_s)
            break
        except BROKEN as error:
            if asking.transport is not None and is_timeout(error):
                return f"no answer within {within_s:.10g} s"  # a second try would take as long
            if attempt == tries and asking.has_begun:
                return f"the answer of {GRADIUM.balance_path} broke off"
            if attempt == tries:
                reason = presentable(why_broken(error), endpoint.key)
                if isinstance(error, aiohttp.ClientResponseError | UnicodeError):
                    reason = "malformed HTTP"
                elif isinstance(error, TimeoutError):
                    reason = f"no connection within {within_s:.10g} s"
                raise EndpointUnreachable(
                    f"nothing answers at {parts.scheme}://{parts.netloc} ({reason}); "
                    "check service.url and the network, then run the same command again"
                ) from None
            await asyncio.sleep(PAUSE_S * 2**attempt)
    told = read(body if isinstance(body, str) else "")
    if status == 401 and not told.is_page:
        text = presentable(told.text, endpoint.key)
        raise KeyRefused(text or f"HTTP {status} without a readable message", http_status=status)
    if status != 200 or body is None:
        return f"HTTP {status} from {GRADIUM.balance_path}"
    try:
        return msgspec.json.decode(body, type=wire.Credits)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"there is no balance in the answer of {GRADIUM.balance_path}"


async def _get(
    http: httpx.AsyncClient, url: str, key: str, asking: _Asking, within_s: float
) -> tuple[int, bytes | str | None]:
    timeout = httpx.Timeout(None, connect=http.timeout.connect)
    token = sending.set(asking)
    try:
        async with (
            asyncio.timeout(within_s),  # also for a page that comes byte by byte
            http.stream("GET", url, headers={wire.KEY_HEADER: key}, timeout=timeout) as response,
        ):
            asking.has_begun = True
            if response.status_code != 200:
                return response.status_code, await read_refusal(response.aiter_raw(), response.headers)
            body = b""
            with suppress(CompressedAnswer, StreamCut):  # then there is no balance in it either
                async for chunk in uncompressed(response.aiter_raw(), response.headers):
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        break
            return response.status_code, body
    finally:
        sending.reset(token)
