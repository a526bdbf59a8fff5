"""Asks for the account's balance after the last request, until it has settled, and compares it with the ledger.

Nothing here is an error of the run: a balance that is not known is told as that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from textwrap import shorten

from pipeline.bill import Bill, packed
from pipeline.checkpoint import Store
from pipeline.config import Settings
from pipeline.errors import GradiumBatchError, KeyRefused, Stopped
from pipeline.exchange import AccountBalance, Connection, why_unknown
from pipeline.pool.account import balance_now
from pipeline.report.account import AccountFigures
from pipeline.run.control import Control
from pipeline.run.ledger import Ledger
from pipeline.run.price_fit import best_fit
from pipeline.run.reconciliation import Spent, agrees, fallen, is_short, reconciled

AGAIN_S = 1.0
STEADY_S = 3.0
"""A balance that has not changed for so long has settled."""
SHOWN = 200
log = logging.getLogger(__name__)
NOT_ASKED = "it was not asked for, because the run was stopped or broke off"


class AccountReadings:
    """The account's balance before and after the requests of one run."""

    def __init__(self, settings: Settings, ledger: Ledger, control: Control) -> None:
        self.before: AccountBalance | str | None = None
        """None until a run is about to send."""
        self.took_s = 0.0
        """What the reading at the end took, in seconds."""
        self._after: AccountBalance | str = NOT_ASKED
        self._settled = False
        self._settings = settings
        self._ledger = ledger
        self._control = control

    async def read_end(self, connection: Connection, *, once: bool = False) -> None:
        """Asks for the balance; again while it changes, at most `price.settle_s`, unless it is to be asked `once`. A
        signal ends the waiting."""
        before = self.before
        if isinstance(before, str | None) or why_unknown(before) is not None:
            return
        if not self._may_have_paid or self._control.signalled:
            return
        settle_s = 0.0 if once else self._settings.price.settle_s
        began = time.monotonic()
        try:
            await self._control.unless_signalled(self._settle(connection, before, settle_s))
        except Stopped:
            return
        finally:
            self.took_s = time.monotonic() - began

    @property
    def figures(self) -> AccountFigures | None:
        """The comparison; None where nothing was sent, or nothing was billed because the server is the embedded one."""
        if self.before is None or not self._may_have_paid:
            return None
        before = self.before if (unknown := why_unknown(self.before)) is None else _short(unknown)
        return reconciled(before, self._after, self._spent, settled=self._settled)

    def bill(self, run_id: str) -> Bill | None:
        """The run's bill, for the fit of the price; None as above."""
        found = self.figures
        if found is None:
            return None
        before, after, paid = self.before, self._after, None
        if not isinstance(before, str | None) and not isinstance(after, str):
            paid = fallen(before, after)
        return Bill(
            run_id=run_id,
            model=self._settings.service.model,
            price=self._settings.request_price,
            lengths=packed(self._ledger.lengths.requests),
            step_s=self._ledger.lengths.step_s,
            ledger=found.ledger,
            maybe=found.maybe,
            paid=paid,
        )

    async def tell_price(self, store: Store) -> None:
        """Warns where another price than the configured one fits what the account paid in the newest runs."""
        if self.figures is None:
            return
        with suppress(GradiumBatchError):  # the run is over and saved
            fit = await store.blocking_unchecked(lambda checkpoint: best_fit(checkpoint.bills()))
            if fit is not None:
                log.warning("%s", fit.sentence)

    @property
    def _may_have_paid(self) -> bool:
        return self._ledger.requests > 0 and not self._settings.service.is_embedded

    @property
    def _spent(self) -> Spent:
        ledger = self._ledger
        return Spent(ledger=ledger.credits, maybe=ledger.credits_maybe, requests=ledger.requests)

    async def _settle(self, connection: Connection, before: AccountBalance, settle_s: float) -> None:
        """Asks until the balance agrees with the ledger, has not changed for a while, tells nothing because of a top-up
        or a new month, or the time is over."""
        clock = asyncio.get_running_loop().time
        over_at = clock() + settle_s
        held, since = None, clock()
        while True:
            found = await balance_now(connection.balance)
            if isinstance(found, KeyRefused | str):
                if held is None:
                    self._after = _short(str(found))
                return
            self._after = found
            if found.remaining_credits != held:
                held, since = found.remaining_credits, clock()
            fell = fallen(before, found)
            if fell is None or agrees(fell, self._spent):
                return
            # one that has not fallen by what was billed for sure has not begun to change yet
            self._settled = clock() - since >= STEADY_S and not is_short(fell, self._spent)
            if self._settled or clock() + AGAIN_S > over_at:
                return
            await asyncio.sleep(AGAIN_S)


def _short(text: str) -> str:
    return shorten(text, SHOWN, placeholder=" …")
