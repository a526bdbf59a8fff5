"""Faults that answer with something else before a stream begins: the service's refusals and the middleboxes'."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Literal

from pipeline.server.faults.fault import Fault, Line, check
from pipeline.server.refusal import RefusalError, internal, policy

HTML = """<html>
<head><title>{status} {reason}</title></head>
<body><center><h1>{status} {reason}</h1></center><hr><center>nginx</center></body>
</html>
"""
REASONS = {502: "Bad Gateway", 504: "Gateway Time-out"}


class InternalError(Fault, tag="internal_error", frozen=True, kw_only=True):
    """HTTP 500 with code 1011, as when the service fails inside."""

    message: str = "internal server error"

    async def before(self, line: Line) -> None:
        raise internal("internal_error", self.message)


class Policy(Fault, tag="policy", frozen=True, kw_only=True):
    """HTTP 500 with code 1008 and any text."""

    message: str

    async def before(self, line: Line) -> None:
        raise policy("policy", self.message)


class ProxyRejection(Fault, tag="proxy_rejection", frozen=True, kw_only=True):
    """Plain text without a code, as from the proxy in front of the service."""

    message: str = "upstream connect error or disconnect before headers"
    status: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        check(400 <= self.status <= 599, "status is from 400 to 599")

    async def before(self, line: Line) -> None:
        raise RefusalError("proxy_rejection", self.status, self.message)


class RateLimited(Fault, tag="rate_limited", frozen=True, kw_only=True):
    """HTTP 429; with `retry_after_s` also the header, in seconds."""

    retry_after_s: int | None = None

    async def before(self, line: Line) -> None:
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        raise RefusalError("rate_limited", 429, "Too Many Requests", headers=headers)


class Unavailable(Fault, tag="unavailable", frozen=True, kw_only=True):
    """HTTP 503 with a Retry-After that is an HTTP date, `retry_after_s` seconds ahead."""

    retry_after_s: int = 1

    async def before(self, line: Line) -> None:
        headers = {"Retry-After": formatdate(time.time() + self.retry_after_s, usegmt=True)}
        raise RefusalError("unavailable", 503, "Service Unavailable", headers=headers)


class BadGateway(Fault, tag="bad_gateway", frozen=True, kw_only=True):
    """HTTP 502 (or 504) with an HTML page, as from a middlebox."""

    status: Literal[502, 504] = 502

    async def before(self, line: Line) -> None:
        page = HTML.format(status=self.status, reason=REASONS[self.status])
        raise RefusalError("bad_gateway", self.status, page, content_type="text/html")


class Redirect(Fault, tag="redirect", frozen=True, kw_only=True):
    """HTTP 307 to `location`; a client that follows it carries its key to another host."""

    location: str
    status: Literal[301, 302, 303, 307, 308] = 307

    async def before(self, line: Line) -> None:
        raise RefusalError("redirect", self.status, "", headers={"Location": self.location})
