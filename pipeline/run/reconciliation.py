"""Compares what the account paid with the ledger of one run, and says what the difference may come from. Pure.

Nothing is called certain that two balances cannot show: they tell by how much the balance fell, not why.
"""

from __future__ import annotations

import msgspec

from pipeline.exchange import AccountBalance
from pipeline.report.account import AccountFigures
from pipeline.report.figures import format_credits, rounded

EQUAL = 0.05
"""Credits that a difference must exceed to be shown at all."""
BALANCE_ROUNDING = 1.0
"""Credits by which two balances in whole credits may differ from what was paid."""
SMALL = 0.01
"""The rounding of single requests is at most this part of the ledger."""
MANUAL = "see docs/price.md"


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger of a run has, in credits."""

    ledger: float
    """All, counting what may have been billed, …"""
    maybe: float
    """… and what of it only may have been."""
    requests: int
    """Requests sent."""

    @property
    def surely(self) -> float:
        return self.ledger - self.maybe

    @property
    def rounding(self) -> float:
        """The most that may come of rounding: a credit for each request, as long as that is little."""
        return max(BALANCE_ROUNDING, min(float(self.requests), SMALL * self.ledger))


def agrees(fell: float, spent: Spent) -> bool:
    """Whether the balance fell by what the ledger has, with what only may have been billed: where that is missing, the
    account may count it late."""
    return abs(fell - spent.ledger) <= BALANCE_ROUNDING


def is_short(fell: float, spent: Spent) -> bool:
    """Whether the balance fell by less than what was billed for sure."""
    return fell < spent.surely - spent.rounding


def fallen(before: AccountBalance, after: AccountBalance) -> float | None:
    """By how much the balance fell; None where a top-up, a new month or another plan lies between."""
    fell = before.remaining_credits - after.remaining_credits
    return None if fell < 0 or _other_terms(before, after) is not None else fell


def reconciled(
    before: AccountBalance | str, after: AccountBalance | str, spent: Spent, *, settled: bool
) -> AccountFigures:
    """The comparison; a text in place of a balance is why it is not known. `settled`: the balance no longer changed."""
    held_before = None if isinstance(before, str) else before.remaining_credits
    held_after = None if isinstance(after, str) else after.remaining_credits
    paid = None
    if isinstance(before, str):
        sentence = f"what the account paid is not known: no balance before the run ({before})"
    elif isinstance(after, str):
        sentence = f"what the account paid is not known: no balance after the run ({after})"
    else:
        paid, sentence = _compared(before, after, spent, settled=settled)
    return AccountFigures(
        before=held_before,
        after=held_after,
        paid=None if paid is None else round(paid, 3),
        ledger=round(spent.ledger, 3),
        maybe=round(spent.maybe, 3),
        difference=None if paid is None else round(paid - spent.ledger, 3),
        sentence=sentence,
    )


def _compared(
    before: AccountBalance, after: AccountBalance, spent: Spent, *, settled: bool
) -> tuple[float | None, str]:
    """What the account paid, None where that is not known; and the sentence."""
    fell = before.remaining_credits - after.remaining_credits
    ledger = f"the ledger has {format_credits(spent.ledger, spent.maybe)}"
    if (other := _other_terms(before, after)) is not None:
        return None, f"what the account paid is not known: {other} during the run; {ledger}"
    if fell < -BALANCE_ROUNDING or (fell < 0 and is_short(fell, spent)):
        added = "credits were added, by a top-up, a new month or a refund"
        return None, f"what the account paid is not known: its balance rose by {rounded(-fell)} ({added}); {ledger}"
    if is_short(fell, spent):
        why = "perhaps it lags behind, credits were added (a top-up, a new month, a refund) or the price is a lower one"
        short = f"{rounded(spent.surely - fell)} less than was billed by the ledger"
        return None, f"the account's balance fell by {format_credits(fell)}, {short}: {why} ({MANUAL}); {ledger}"
    paid = max(fell, 0.0)
    return paid, f"the account paid {format_credits(paid)}, {_difference(paid, spent, settled=settled)}"


def _difference(paid: float, spent: Spent, *, settled: bool) -> str:
    """The difference to the ledger, and what it may come from."""
    difference = paid - spent.ledger
    if abs(difference) <= EQUAL:
        return "as the ledger has"
    reasons = ["amounts are rounded"] if abs(difference) <= spent.rounding else []
    if difference > 0:
        reasons += ["somebody else used the account", f"its price is another one ({MANUAL})"]
        reasons += [] if difference <= spent.rounding else ["it counted earlier requests late"]
        reasons += [] if settled else ["its balance was not settled yet"]
        return f"{rounded(difference)} more than the ledger has: {_either(reasons)}"
    if spent.maybe > EQUAL:
        reasons.insert(0, f"{rounded(spent.maybe)} of that only may have been billed")
    return f"{rounded(-difference)} less than the ledger has: {_either([*reasons, 'its balance lags behind'])}"


def _other_terms(before: AccountBalance, after: AccountBalance) -> str | None:
    """What of the account is another one than before; where one of both is not told, it is no change."""

    def changed(old: object, new: object) -> bool:
        return bool(old) and bool(new) and old != new

    if changed(before.next_rollover_date, after.next_rollover_date):
        return "a new month began, or its end was moved,"
    if changed(before.plan_name, after.plan_name) or changed(before.billing_period, after.billing_period):
        return "the plan changed"
    if changed(before.allocated_credits, after.allocated_credits):
        return "the allocated credits changed (a top-up, or another plan)"
    return None


def _either(reasons: list[str]) -> str:
    """`perhaps a`, `perhaps a, b or c`."""
    *others, last = reasons
    return f"perhaps {', '.join(others)} or {last}" if others else f"perhaps {last}"
