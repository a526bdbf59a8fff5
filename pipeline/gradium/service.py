"""The Gradium service as a run is given it, or a local server in its place.

Loads the HTTP libraries only when it connects: most runs have nothing to send.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from pipeline.config import Settings
from pipeline.exchange import Endpoint, Transcriber
from pipeline.gradium.request import RequestSettings
from pipeline.gradium.wire import Credits

if TYPE_CHECKING:
    import httpx

EndpointFactory = Callable[[Settings], AbstractAsyncContextManager[Endpoint]]


class GradiumService:
    """The service at an endpoint, which is entered when it is needed: a local server may have to be started."""

    def __init__(self, endpoint: EndpointFactory) -> None:
        self.endpoint = endpoint

    @asynccontextmanager
    async def connect(self, request: RequestSettings, settings: Settings) -> AsyncIterator[GradiumConnection]:
        """A connection that uses these request settings; closed at the end. Raises LocalServerError."""
        from pipeline.gradium.transport import http_client

        timeouts, trust_env = settings.timeouts, settings.service.trust_env
        async with (
            self.endpoint(settings) as endpoint,
            http_client(
                endpoint.url, connect_s=timeouts.connect_s, idle_s=timeouts.idle_s, trust_env=trust_env
            ) as http,
        ):
            yield GradiumConnection(http, endpoint, request, settings)


async def balance_at(endpoint: Endpoint, settings: Settings, *, within_s: float) -> Credits | str:
    """The balance of an account, asked for once, or why it is unknown. Raises KeyRefused and EndpointUnreachable."""
    from pipeline.gradium.account import ask_credits
    from pipeline.gradium.transport import http_client

    timeouts, trust_env = settings.timeouts, settings.service.trust_env
    async with http_client(
        endpoint.url, connect_s=timeouts.connect_s, idle_s=timeouts.idle_s, trust_env=trust_env
    ) as http:
        return await ask_credits(http, endpoint, tries=1, within_s=within_s)


class GradiumConnection:
    """A connection to the endpoint; see `exchange.Connection`."""

    def __init__(
        self, http: httpx.AsyncClient, endpoint: Endpoint, request: RequestSettings, settings: Settings
    ) -> None:
        from pipeline.gradium.client import GradiumClient

        self._http = http
        self._endpoint = endpoint
        self.transcriber: Transcriber = GradiumClient(http, endpoint, request, settings.timeouts)

    async def balance(self) -> Credits | str:
        from pipeline.gradium.account import ask_credits

        return await ask_credits(self._http, self._endpoint)
