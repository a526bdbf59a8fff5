"""Asks for the account's balance before an answer that blames the account (key, credits) ends the run.

All requests that are refused meanwhile share the question, and its answer holds for some seconds: for longer each time
that it confirmed nothing, so that a service that refuses every request is not asked for each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pipeline.errors import (
    AccessDenied,
    AccountDoubted,
    AccountError,
    AttemptError,
    CreditsSpent,
    GradiumBatchError,
    KeyRefused,
)
from pipeline.exchange import AccountBalance, why_unknown

ASK_S = 5.0
"""A balance that does not come within this time is not known."""
SHARED_S = 5.0
SHARED_LONGEST_S = 60.0
"""How long an answer holds: at first, and at most."""
_PAGES: dict[int | None, type[AccountError]] = {401: KeyRefused, 402: CreditsSpent, 403: KeyRefused}
"""What it would be if it were the service that denied access with this status."""
Ask = Callable[[], Awaitable[AccountBalance | str]]
"""`Connection.balance`."""
log = logging.getLogger(__name__)


async def balance_now(ask: Ask) -> AccountBalance | KeyRefused | str:
    """The account's balance, that the key is refused, or why neither is known. Takes ASK_S at most."""
    try:
        async with asyncio.timeout(ASK_S):
            found = await ask()
    except KeyRefused as error:
        return error
    except GradiumBatchError as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {ASK_S:g} s"
    return why_unknown(found) or found


def suspected_by(error: AttemptError) -> type[AccountError] | None:
    """What the error would be if it were the account's fault; None if nothing points to that."""
    if isinstance(error, AccountError):
        return type(error)
    return _PAGES.get(error.http_status) if isinstance(error, AccessDenied) else None


class Account:
    """The account that one run sends with."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._question: asyncio.Task[KeyRefused | float | str] | None = None
        self._told: object = None
        """The question of which the log has told what it found."""
        self._waiting = 0
        self._holds_s = SHARED_S
        self._holds_until = 0.0

    @property
    def is_asked(self) -> bool:
        """Whether a request waits for the balance: nothing new is sent until it is known."""
        return self._waiting > 0

    async def judged(self, error: AttemptError, price: float) -> AttemptError:
        """The error as KeyRefused or CreditsSpent where the balance confirms that, else as AccountDoubted or unchanged.

        A refused key (401) is confirmed by the same at the balance, spent credits by less than the refused request's
        `price`.
        """
        suspected = suspected_by(error)
        if suspected is None:
            return error
        found = await self._balance()
        what = "a bad key" if issubclass(suspected, KeyRefused) else "spent credits"
        if isinstance(found, KeyRefused):
            if isinstance(error, KeyRefused):
                return error
            said = f"the balance is refused as for a bad key (HTTP {found.http_status}: {found.message})"
            return KeyRefused(f"{said}, and so are requests (HTTP {error.http_status})", http_status=found.http_status)
        blames_credits = isinstance(error, AccountError) or suspected is CreditsSpent
        if isinstance(found, float) and found < price and blames_credits:
            return CreditsSpent(
                f"the account holds {found:,.0f} credits and the refused request takes {price:,.0f}: {error.said}",
                http_status=error.http_status,
                code=error.code,
            )
        balance = found if isinstance(found, str) else f"the account holds {found:,.0f} credits"
        if self._told is not self._question:
            self._told = self._question
            log.warning("a request was refused as for %s, which the balance does not confirm: %s", what, balance)
        if not isinstance(error, AccountError):
            return error
        return error.as_class(AccountDoubted, suspected=suspected, balance=balance, is_known=isinstance(found, float))

    def close(self) -> None:
        """Nobody waits any more."""
        if self._question is not None:
            self._question.cancel()

    async def _balance(self) -> KeyRefused | float | str:
        """What is learned of the account: its credits, that the key is refused, or why nothing is."""
        question, now = self._question, asyncio.get_running_loop().time()
        if question is None or (question.done() and (question.cancelled() or now >= self._holds_until)):
            if now >= self._holds_until + SHARED_LONGEST_S:
                self._holds_s = SHARED_S
            question = self._question = asyncio.create_task(self._asked())
        self._waiting += 1
        try:
            return await asyncio.shield(question)  # others may wait for it too
        finally:
            self._waiting -= 1

    async def _asked(self) -> KeyRefused | float | str:
        balance = await balance_now(self._ask)
        found: KeyRefused | float | str
        if isinstance(balance, KeyRefused):
            found = balance
        elif isinstance(balance, str):
            found = f"its balance is not known: {balance}"
        else:
            found = float(balance.remaining_credits)
        self._holds_until = asyncio.get_running_loop().time() + self._holds_s
        self._holds_s = min(2 * self._holds_s, SHARED_LONGEST_S)
        return found
