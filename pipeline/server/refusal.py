"""How the server says no before a stream begins: status, headers and words of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pipeline.gradium import wire

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
CLOSE: Mapping[str, str] = MappingProxyType({"Connection": "close"})
"""Of refusals that do not wait for the rest of the body."""


class RefusalError(Exception):
    """The request is answered with this instead of a stream; `outcome` is its name in statistics and log."""

    def __init__(
        self,
        outcome: str,
        status: int,
        body: str,
        *,
        content_type: str = "text/plain; charset=utf-8",
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(body)
        self.outcome = outcome
        self.status = status
        self.body = body
        self.headers = {"Content-Type": content_type, **headers}


def policy(outcome: str, reason: str, headers: Mapping[str, str] = NO_HEADERS) -> RefusalError:
    """Returns what the service answers to a key, a format or a setup it does not take."""
    return RefusalError(outcome, 500, f"error from server {wire.CODE_POLICY}: {reason}", headers=headers)


def internal(outcome: str, reason: str) -> RefusalError:
    """Returns what the service answers when it failed inside."""
    return RefusalError(outcome, 500, f"error from server {wire.CODE_INTERNAL}: {reason}")
