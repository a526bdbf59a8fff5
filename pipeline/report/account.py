"""What the account paid beside the ledger of one run: the record in its figures. Pure."""

from __future__ import annotations

import msgspec

from pipeline.built import built


@built
class AccountFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One run by its ledger and by the account's balance, in credits."""

    before: float | None
    """The balance before the first request; None where it is not known, …"""
    after: float | None
    """… and the one after the last."""
    paid: float | None
    """By how much it fell; None where that does not tell what the run cost."""
    ledger: float
    """By the ledger, counting what may have been billed, …"""
    maybe: float
    """… and what of that only may have been."""
    difference: float | None
    """`paid` without `ledger`; above 0 the account paid more."""
    sentence: str
    """The comparison, with its likely reasons."""
