"""The account's side: the key, the balance, and whether anything answers at the endpoint at all.

Sends one small GET before a run; nothing is billed for it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import httpx
import msgspec

from pipeline.config.settings import ServiceSettings
from pipeline.errors import ConfigError, EndpointUnreachable, KeyRefused
from pipeline.gradium import classify, wire
from pipeline.model import Endpoint

TRIES = 3
"""A name server or proxy may hiccup; a wrong address stays wrong."""
PAUSE_S = 0.3
PATIENCE_S = 30.0
MAX_BODY_BYTES = 64 << 10
KEY_PREFIXES = ("gd_", "gsk_")


def read_key(service: ServiceSettings) -> str:
    """The API key from the environment or the key file. Raises ConfigError where there is none; never shows it."""
    for name in ("api_key_env", "api_key_file"):
        if getattr(service, name).startswith(KEY_PREFIXES):
            raise ConfigError(
                f"service.{name}: that looks like the API key itself; it names the place where the key is kept"
            )
    key = os.environ.get(service.api_key_env, "").strip()
    if not key and service.api_key_file:
        key = _read_file(service.api_key_file)
    if not key:
        raise ConfigError(
            f"no API key: set the environment variable {service.api_key_env} "
            "(or service.api_key_file), or use configs/local.toml to try without a key"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("the API key holds characters that no key has; was more than the key copied?")
    return key


def _read_file(file: str) -> str:
    try:
        key = Path(file).expanduser().read_text("utf-8").strip()
    except (OSError, RuntimeError) as error:  # RuntimeError: no such user to expand ~ to
        raise ConfigError(f"service.api_key_file: the key file cannot be read: {error}") from None
    except UnicodeDecodeError:  # its text shows what was read
        raise ConfigError(f"service.api_key_file: {file} is no text file") from None
    if not key:
        raise ConfigError(f"service.api_key_file: {file} is empty")
    return key


async def fetch_credits(http: httpx.AsyncClient, endpoint: Endpoint) -> wire.Credits | None:
    """The balance, or None where the endpoint does not tell it.

    Raises KeyRefused for a bad key and EndpointUnreachable when nothing answers, both before anything was sent.
    """
    parts = urlsplit(endpoint.url)
    url = f"{parts.scheme}://{parts.netloc}{wire.CREDITS_PATH}"
    for attempt in range(1, TRIES + 1):
        try:
            status, body = await _get(http, url, endpoint.key)
            break
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            if attempt == TRIES:
                raise EndpointUnreachable(
                    f"nothing answers at {parts.scheme}://{parts.netloc} ({str(error) or type(error).__name__}); "
                    "check service.url and the network, then run the same command again"
                ) from None
            await asyncio.sleep(PAUSE_S * 2**attempt)
    if status in (401, 403):
        said = classify.presentable(body.decode("utf-8", "replace").strip(), endpoint.key)
        raise KeyRefused(said or f"HTTP {status} with an empty body", http_status=status)
    if status != 200:
        return None
    try:
        return msgspec.json.decode(body, type=wire.Credits)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


async def _get(http: httpx.AsyncClient, url: str, key: str) -> tuple[int, bytes]:
    async with asyncio.timeout(PATIENCE_S), http.stream("GET", url, headers={wire.KEY_HEADER: key}) as response:
        body = b""
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
        return response.status_code, body
