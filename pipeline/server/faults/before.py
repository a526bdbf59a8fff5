"""Faults that act before there is an answer: refusals of the service and of middleboxes, of the account, connections
that are reset or silent."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from http.client import responses
from typing import Annotated, Literal

import msgspec

from pipeline.gradium import wire
from pipeline.server.answer import Script
from pipeline.server.faults.fault import Arrival, Fault, Natural, Positive
from pipeline.server.listener import Connection
from pipeline.server.refusal import BAD_KEY, JSON, NO_CREDITS, OVER_LIMIT, RefusalError, internal, policy
from pipeline.server.request import json_config

HTML = """<html>
<head><title>{status} {reason}</title></head>
<body><center><h1>{status} {reason}</h1></center><hr><center>nginx</center></body>
</html>
"""
NOTHING = Script(chunks=())
"""Status 200 and not one byte."""
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Status = Annotated[int, msgspec.Meta(ge=400, le=599)]


class InternalError(Fault, tag="internal_error", frozen=True, kw_only=True):
    """HTTP 500 with code 1011, as when the service fails inside."""

    message: str = "internal server error"

    async def before(self, connection: Connection) -> None:
        raise internal("internal_error", self.message)


class Policy(Fault, tag="policy", frozen=True, kw_only=True):
    """HTTP 500 with code 1008 and any text."""

    message: str

    async def before(self, connection: Connection) -> None:
        raise policy("policy", self.message)


class ProxyRejection(Fault, tag="proxy_rejection", frozen=True, kw_only=True):
    """Plain text without a code, as from the proxy in front of the service."""

    message: str = "upstream connect error or disconnect before headers"
    status: Status = 500

    async def before(self, connection: Connection) -> None:
        raise RefusalError("proxy_rejection", self.status, self.message)


class RateLimited(Fault, tag="rate_limited", frozen=True, kw_only=True):
    """HTTP 429; with `retry_after_s` also the header, in seconds."""

    retry_after_s: int | None = None

    async def before(self, connection: Connection) -> None:
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        raise RefusalError("rate_limited", 429, "Too Many Requests", headers=headers)


class Unavailable(Fault, tag="unavailable", frozen=True, kw_only=True):
    """HTTP 503 with a Retry-After that is an HTTP date, `retry_after_s` seconds ahead."""

    retry_after_s: int = 1

    async def before(self, connection: Connection) -> None:
        headers = {"Retry-After": formatdate(time.time() + self.retry_after_s, usegmt=True)}
        raise RefusalError("unavailable", 503, "Service Unavailable", headers=headers)


class BadGateway(Fault, tag="bad_gateway", frozen=True, kw_only=True):
    """HTTP 502 (or 504) with an HTML page, as from a middlebox."""

    status: Literal[502, 504] = 502

    async def before(self, connection: Connection) -> None:
        raise RefusalError("bad_gateway", self.status, _page(self.status), content_type="text/html")


class Page(Fault, tag="page", frozen=True, kw_only=True):
    """An HTML page, as from a CDN or a firewall; with `retry_after_s` also the header, in seconds."""

    status: Status = 403
    retry_after_s: int | None = None

    async def before(self, connection: Connection) -> None:
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        raise RefusalError("page", self.status, _page(self.status), headers=headers, content_type="text/html")


class JsonRefusal(Fault, tag="json_refusal", frozen=True, kw_only=True):
    """A refusal in JSON: `{"detail": message}`, or under another `key`."""

    message: str
    status: Status = 400
    key: str = "detail"

    async def before(self, connection: Connection) -> None:
        body = msgspec.json.encode({self.key: self.message}).decode()
        raise RefusalError("json_refusal", self.status, body, content_type=JSON)


class Redirect(Fault, tag="redirect", frozen=True, kw_only=True):
    """HTTP 307 to `location`; a client that follows it carries its key to another host."""

    location: str
    status: Literal[301, 302, 303, 307, 308] = 307

    async def before(self, connection: Connection) -> None:
        raise RefusalError("redirect", self.status, "", headers={"Location": self.location})


class Empty200(Fault, tag="empty_200", frozen=True, kw_only=True):
    """Status 200 and not one byte."""

    async def before(self, connection: Connection) -> Script:
        return NOTHING


class SettingsRefused(Fault, tag="settings_refused", frozen=True, kw_only=True):
    """An empty 200 where the `json_config` is outside the documented values, or names one of `keys`."""

    keys: tuple[str, ...] = ()

    def applies(self, arrival: Arrival) -> bool:
        try:
            json_config(arrival.query, language_required=False)
        except RefusalError:
            return True
        named = msgspec.json.decode(arrival.query.get("json_config") or "{}")
        return not named.keys().isdisjoint(self.keys)

    async def before(self, connection: Connection) -> Script:
        return NOTHING


class SessionCap(Fault, tag="session_cap", frozen=True, kw_only=True):
    """Refuses what comes while `cap` requests are worked on, with one of three kinds of response.

    The cap becomes `then_cap` after `then_after_requests` requests or `then_after_s` seconds from the first request.
    """

    cap: Natural
    response: Literal["policy", "rate_limited", "in_stream"] = "policy"
    then_cap: int | None = None
    then_after_requests: int | None = None
    then_after_s: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.then_cap is None) != (self.then_after_requests is None and self.then_after_s is None):
            raise ValueError("then_cap goes together with then_after_requests or then_after_s")

    def applies(self, arrival: Arrival) -> bool:
        return arrival.sessions > self._cap_at(arrival)

    def _cap_at(self, arrival: Arrival) -> int:
        by_requests = self.then_after_requests is not None and arrival.number > self.then_after_requests
        by_time = self.then_after_s is not None and arrival.elapsed_s >= self.then_after_s
        return self.then_cap if self.then_cap is not None and (by_requests or by_time) else self.cap

    async def before(self, connection: Connection) -> Script:
        reason = OVER_LIMIT.format(self.cap)
        if self.response == "policy":
            raise policy("session_cap", reason)
        if self.response == "rate_limited":
            raise RefusalError("session_cap", 429, reason)
        error = wire.Error(message=reason, code=wire.CODE_POLICY)
        return Script(chunks=[msgspec.json.encode(error) + b"\n"])


class KeyRevoked(Fault, tag="key_revoked", frozen=True, kw_only=True):
    """Refuses the key from request `after_requests` + 1 on, at the credits page too."""

    async def before(self, connection: Connection) -> None:
        raise policy("key_revoked", BAD_KEY)


class CreditsSpent(Fault, tag="credits_spent", frozen=True, kw_only=True):
    """Refuses once `after_audio_s` seconds of audio were answered."""

    after_audio_s: float
    message: str = NO_CREDITS

    def applies(self, arrival: Arrival) -> bool:
        return arrival.paid_audio_s >= self.after_audio_s

    async def before(self, connection: Connection) -> None:
        raise policy("credits_spent", self.message)


class ConnectionRefused(Fault, tag="connection_refused", frozen=True, kw_only=True):
    """As in a restart, all connections are reset and new ones refused for `for_s` seconds.

    Happens once, unless `at_most` says otherwise.
    """

    for_s: Seconds
    at_most: Positive | None = 1

    async def before(self, connection: Connection) -> None:
        await connection.outage(self.for_s)


class ResetBeforeAnswer(Fault, tag="reset_before_answer", frozen=True, kw_only=True):
    """RST after the body was read, before any byte of an answer."""

    async def before(self, connection: Connection) -> None:
        await connection.reset()


class Hang(Fault, tag="hang", frozen=True, kw_only=True):
    """Takes the request and never answers; with `for_s`, answers after so many seconds."""

    answer_is_whole = True  # where it answers at all

    for_s: Seconds | None = None

    async def before(self, connection: Connection) -> None:
        if self.for_s is None:
            await connection.hold()
        else:
            await asyncio.sleep(self.for_s)


def _page(status: int) -> str:
    reason = responses.get(status, "Error")
    return HTML.format(status=status, reason=reason)
