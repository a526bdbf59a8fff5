"""Fetches the account's balance before anything is sent, and compares it with the forecast cost of the run."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

from pipeline.checkpoint import Checkpoint, Store
from pipeline.checkpoint.schema import CREDITS
from pipeline.errors import BalanceTooLow, BalanceUnknown, EndpointUnreachable, ServiceOut
from pipeline.exchange import AccountBalance, Connection, why_unknown
from pipeline.pool import Budget, outage_sentence
from pipeline.run.context import RunContext
from pipeline.run.control import Control
from pipeline.run.costs import Bounds
from pipeline.run.owner import owner_of
from pipeline.run.pricing import costs_of

ROUGHLY = 8.0
"""Lengths estimated from file sizes are wrong by at most this factor."""
MOST_TO_WARN = 10_000
"""For a mere warning the headers of no more recordings are read."""
log = logging.getLogger(__name__)


class Balance:
    """The balance for one run."""

    def __init__(self, context: RunContext, store: Store, budget: Budget, control: Control) -> None:
        self._context = context
        self._settings = context.settings
        self._store = store
        self._budget = budget
        self._control = control

    async def fetch(self, connection: Connection) -> AccountBalance | str:
        """The balance, or why it cannot be known.

        An address where nothing answers stops the first run into a folder: the address is more likely wrong than the
        service out. Where it has answered an earlier run this is an outage, which the pool waits out.
        """
        since: float | None = None
        while True:
            try:
                return await self._control.unless_stopped(connection.balance())
            except EndpointUnreachable as error:
                if not await self._store.fact(CREDITS, float):
                    raise
                if since is None:
                    since = time.monotonic()
                    log.warning("%s; it did answer before, so this is waited out", str(error).partition(";")[0])
                if owner_of(self._settings) is not None and not self._settings.service.require_credits:
                    return "nothing answers"
                # nothing may be sent before the owner, or the balance that is required, is known
                if (waited_s := time.monotonic() - since) > self._settings.retry.outage_max_s:
                    raise ServiceOut(outage_sentence("failed for everybody", waited_s)) from None
                await self._control.unless_stopped(asyncio.sleep(self._settings.retry.probe_s))

    async def compare(self, balance: AccountBalance | str, *, rows: int, at_most: int | None) -> None:
        """Warns when the account holds less than the `at_most` of the `rows` that are selected take. With
        `service.require_credits` raises BalanceTooLow, or BalanceUnknown where the balance cannot be fetched."""
        unknown, is_required = why_unknown(balance), self._settings.service.require_credits
        if unknown is not None and is_required:
            raise BalanceUnknown(
                f"the account's balance cannot be learned ({unknown}); nothing was sent, because "
                "service.require_credits is set: run the same command again later, or with "
                "service.require_credits = false"
            )
        if isinstance(balance, str):
            return
        needed = await self._needed(balance.remaining_credits, rows, at_most)
        if balance.remaining_credits >= needed:
            return
        sentence = f"the account holds {balance.remaining_credits:,.0f} credits and the run takes about {needed:,.0f}"
        if is_required:
            raise BalanceTooLow(f"{sentence}; nothing was sent, because service.require_credits is set")
        log.warning("%s; the run goes on until they are spent", sentence)

    async def _needed(self, balance: float, rows: int, at_most: int | None) -> float:
        """Credits that the run takes. For a mere warning an estimate is enough, unless it is near the balance."""
        if not self._settings.service.require_credits:
            expected_s, rows = await self._store.expected_s(at_most, surely=True), min(rows, at_most or rows)
            requests = rows + expected_s / self._settings.audio.max_clip_s
            roughly = self._settings.request_price.about(expected_s, requests)
            if balance >= ROUGHLY * roughly or rows > MOST_TO_WARN:
                return roughly
        stopped = self._control.stopped
        return await self._control.unless_stopped(asyncio.to_thread(self._priced, at_most, stopped))

    def _priced(self, at_most: int | None, stopped: threading.Event) -> float:
        budget = self._budget
        with Checkpoint(self._store.checkpoint.path, only_read=True) as checkpoint:
            costs = costs_of(
                checkpoint,
                None,
                self._settings,
                self._context.hashes,
                bounds=Bounds(limit=at_most, budget=budget.left if budget.is_limited else None),
                resends_failed=self._context.options.resends_failed,
                sources=None,  # the run reads each once, when it sends it
                stopped=stopped,
            )
        return costs.fitting_credits
