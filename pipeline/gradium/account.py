"""Asks for the account's balance, which also tests whether anything answers at the endpoint.

Sends one small GET, for which nothing is billed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import msgspec

from pipeline.errors import CompressedAnswer, EndpointUnreachable, KeyRefused, StreamCut
from pipeline.exchange import Endpoint
from pipeline.gradium import wire
from pipeline.gradium.reason import read
from pipeline.gradium.response import read_refusal, uncompressed
from pipeline.gradium.transport import BROKEN
from pipeline.profile import GRADIUM
from pipeline.texts import presentable

TRIES = 3
"""A name server or proxy may fail once."""
PAUSE_S = 0.3
TIMEOUT_S = 30.0
MAX_BODY_BYTES = 64 << 10


async def ask_credits(http: httpx.AsyncClient, endpoint: Endpoint) -> wire.Credits | str:
    """The balance, or a sentence about why it is unknown.

    Raises KeyRefused for a bad key and EndpointUnreachable when nothing answers.
    """
    parts = urlsplit(endpoint.url)
    url = f"{parts.scheme}://{parts.netloc}{GRADIUM.balance_path}"
    for attempt in range(1, TRIES + 1):
        try:
            status, body = await _get(http, url, endpoint.key)
            break
        except BROKEN as error:
            if attempt == TRIES:
                reason = presentable(str(error) or type(error).__name__, endpoint.key)
                raise EndpointUnreachable(
                    f"nothing answers at {parts.scheme}://{parts.netloc} ({reason}); "
                    "check service.url and the network, then run the same command again"
                ) from None
            await asyncio.sleep(PAUSE_S * 2**attempt)
    told = read(body if isinstance(body, str) else "")
    if status in (401, 403) and not told.is_page:
        text = presentable(told.text, endpoint.key)
        raise KeyRefused(text or f"HTTP {status} without a readable message", http_status=status)
    if status != 200 or body is None:
        return f"HTTP {status} from {GRADIUM.balance_path}"
    try:
        return msgspec.json.decode(body, type=wire.Credits)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"there is no balance in the answer of {GRADIUM.balance_path}"


async def _get(http: httpx.AsyncClient, url: str, key: str) -> tuple[int, bytes | str | None]:
    async with asyncio.timeout(TIMEOUT_S), http.stream("GET", url, headers={wire.KEY_HEADER: key}) as response:
        if response.status_code != 200:
            return response.status_code, await read_refusal(response.aiter_raw(), response.headers)
        body = b""
        with suppress(CompressedAnswer, StreamCut):  # then there is no balance in it either
            async for chunk in uncompressed(response.aiter_raw(), response.headers):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    break
        return response.status_code, body
