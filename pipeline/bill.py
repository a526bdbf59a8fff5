"""The bill of one run, by its ledger and by the account's balance: what is compared, and what tells the price. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from pipeline.built import built
from pipeline.price import Price

LENGTH_S = 0.001
"""The step in which lengths are counted, …"""
COARSER, MOST_LENGTHS = 10, 20_000
"""… and how many of them are one where more lengths than that differ."""


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


def counted(lengths: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """Numbers of requests by length, as a bill has them."""
    if len(lengths) <= MOST_LENGTHS:
        return tuple(sorted(lengths.items()))
    coarse = Counter[int]()
    for length, requests in lengths.items():
        coarse[round(length / COARSER) * COARSER] += requests
    return tuple(sorted(coarse.items()))
