"""The account behind the key: who is let in, what is left to spend, and the credits page."""

from __future__ import annotations

import hmac

import msgspec
from aiohttp import web

from pipeline.gradium import wire
from pipeline.server.faults.account import KEY_REFUSED as REVOKED
from pipeline.server.faults.plan import Plan
from pipeline.server.ledger import KEY_REFUSED, Ledger
from pipeline.server.options import ServerOptions
from pipeline.server.refusal import CLOSE, policy


class Account:
    """The one account that a server has."""

    def __init__(self, options: ServerOptions, plan: Plan, ledger: Ledger) -> None:
        self._options = options
        self._plan = plan
        self._ledger = ledger

    def check_key(self, request: web.BaseRequest) -> None:
        """Raises RefusalError (1008) for a key that is not let in; the body need not be read for it."""
        if not self._key_is_good(request):
            raise policy(KEY_REFUSED, REVOKED, CLOSE)

    def check_credits(self) -> None:
        """Raises RefusalError (1008) when nothing is left to spend."""
        if self._credits_left() <= 0:
            raise policy("credits_spent", "Insufficient credits: no credits remaining for this billing period")

    def page(self, request: web.BaseRequest) -> web.Response:
        """Returns the credits page, or 401 for a bad key."""
        if not self._key_is_good(request) or self._plan.key_is_revoked(self._ledger.requests):
            return web.Response(status=401, text="invalid API key")
        page = wire.Credits(
            remaining_credits=self._credits_left(),
            allocated_credits=self._options.credits,
            billing_period="monthly",
            next_rollover_date="2100-01-01",
            plan_name="local",
            recognizer=self._options.recognizer,
        )
        return web.Response(body=msgspec.json.encode(page), content_type="application/json")

    def _key_is_good(self, request: web.BaseRequest) -> bool:
        sent = request.headers.get(wire.KEY_HEADER, "")
        if self._options.key is None:
            return bool(sent)
        # surrogateescape: a header may hold any bytes, and such a key is wrong, not a mistake of ours
        return hmac.compare_digest(sent.encode(errors="surrogateescape"), self._options.key.encode())

    def _credits_left(self) -> float:
        account = self._options.credits - self._ledger.audio_s * wire.CREDITS_PER_S
        return self._plan.credits_left(account, self._ledger.audio_s)
