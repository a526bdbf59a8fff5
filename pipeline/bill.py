"""The bill of one run, by its ledger and by the account's balance: what is compared, and what tells the price. Pure."""

from __future__ import annotations

import msgspec

from pipeline.built import built
from pipeline.price import Price

LENGTH_S = 0.01
"""The step in which lengths are counted."""


@built
class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What one run cost."""

    run_id: str
    model: str
    price: Price
    """As it was configured."""
    lengths: tuple[tuple[int, int], ...]
    """(length in steps of `LENGTH_S`, number of requests): the audio of the requests that were billed for sure."""
    ledger: float
    """Credits by the ledger, counting what may have been billed, …"""
    maybe: float
    """… and what of them only may have been."""
    paid: float | None
    """Credits that the account paid between the balance before the run and the one after it; None where these do not
    tell: they are not known, or a top-up or a new month lies between."""
