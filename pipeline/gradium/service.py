"""Connects to the speech service: a transcriber, and the account's balance.

Loads the HTTP libraries only when it connects: most runs have nothing to send.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec

from pipeline.config import Settings
from pipeline.exchange import Transcriber
from pipeline.gradium.request import RequestSettings
from pipeline.gradium.wire import Credits
from pipeline.model import Endpoint

MOST_CREDITS = 1e12
"""A larger balance is not believed."""


class Service(msgspec.Struct, frozen=True):
    """A connected endpoint."""

    transcriber: Transcriber
    balance: Callable[[], Coroutine[Any, Any, Credits | str]]
    """`account.ask_credits` for this endpoint."""


@asynccontextmanager
async def connect(endpoint: Endpoint, request: RequestSettings, settings: Settings) -> AsyncIterator[Service]:
    """The service at the endpoint, used with these request settings; closes its connections at the end."""
    from pipeline.gradium.account import ask_credits
    from pipeline.gradium.client import GradiumClient
    from pipeline.gradium.transport import http_client

    timeouts, trust_env = settings.timeouts, settings.service.trust_env
    async with http_client(
        endpoint.url, connect_s=timeouts.connect_s, idle_s=timeouts.idle_s, trust_env=trust_env
    ) as http:
        yield Service(GradiumClient(http, endpoint, request, timeouts), partial(ask_credits, http, endpoint))


def why_unknown(found: Credits | str) -> str | None:
    """Why the balance is unknown after `ask_credits` returned `found`; None if it is a balance."""
    if isinstance(found, str):
        return found
    held = found.remaining_credits
    return (
        None if 0 <= held <= MOST_CREDITS else f"the account is said to hold {held:g} credits, which is not plausible"
    )
