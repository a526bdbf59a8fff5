"""Faults of the account: too many sessions, a revoked key, spent credits, refused settings."""

from __future__ import annotations

from typing import Literal

import msgspec

from pipeline.gradium import wire
from pipeline.server.answer import Script
from pipeline.server.asr_request import json_config
from pipeline.server.faults.fault import Arrival, Fault, Line, check
from pipeline.server.refusal import RefusalError, policy

KEY_REFUSED = "API key is revoked or expired"


def over_limit(cap: int) -> str:
    """Returns the refusal's text; that it contains `Concurrency limit` is all that is known of it."""
    return f"Concurrency limit exceeded: at most {cap} sessions at the same time"


class SessionCap(Fault, tag="session_cap", frozen=True, kw_only=True):
    """Refuses what comes while `cap` requests are worked on, in one of three dresses.

    The cap becomes `then_cap` after `then_after_requests` requests or `then_after_s` seconds from the first request.
    """

    cap: int
    dress: Literal["policy", "rate_limited", "in_stream"] = "policy"
    then_cap: int | None = None
    then_after_requests: int | None = None
    then_after_s: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.cap >= 0, "cap is 0 or more")
        turns = self.then_after_requests is not None or self.then_after_s is not None
        check(
            (self.then_cap is not None) == turns,
            "then_cap goes together with then_after_requests or then_after_s",
        )

    def wants(self, arrival: Arrival) -> bool:
        return arrival.sessions > self.cap_at(arrival)

    def cap_at(self, arrival: Arrival) -> int:
        """Returns the cap in force."""
        by_requests = self.then_after_requests is not None and arrival.number > self.then_after_requests
        by_time = self.then_after_s is not None and arrival.elapsed_s >= self.then_after_s
        return self.then_cap if self.then_cap is not None and (by_requests or by_time) else self.cap

    async def before(self, line: Line) -> Script:
        if self.dress == "policy":
            raise policy("session_cap", over_limit(self.cap))
        if self.dress == "rate_limited":
            raise RefusalError("session_cap", 429, over_limit(self.cap))
        error = wire.Error(message=over_limit(self.cap), code=wire.CODE_POLICY)
        return Script(chunks=[msgspec.json.encode(error) + b"\n"])


class KeyRevoked(Fault, tag="key_revoked", frozen=True, kw_only=True):
    """Refuses the key from request `after_requests` + 1 on, at the credits page too."""

    async def before(self, line: Line) -> None:
        raise policy("key_revoked", KEY_REFUSED)


class CreditsSpent(Fault, tag="credits_spent", frozen=True, kw_only=True):
    """Refuses once `after_audio_s` seconds of audio were answered. The service's words for it are not known."""

    after_audio_s: float
    message: str = "Insufficient credits: no credits remaining for this billing period"

    def wants(self, arrival: Arrival) -> bool:
        return arrival.paid_audio_s >= self.after_audio_s

    async def before(self, line: Line) -> None:
        raise policy("credits_spent", self.message)


class SettingsRefused(Fault, tag="settings_refused", frozen=True, kw_only=True):
    """An empty 200 where the `json_config` is outside the documented values, or names one of `keys`."""

    keys: tuple[str, ...] = ()

    def wants(self, arrival: Arrival) -> bool:
        try:
            json_config(arrival.query)
        except RefusalError:
            return True
        named = msgspec.json.decode(arrival.query.get("json_config") or "{}")
        return not named.keys().isdisjoint(self.keys)

    async def before(self, line: Line) -> Script:
        return Script(chunks=[])
