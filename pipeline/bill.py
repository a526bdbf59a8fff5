"""The bill of one run, by its ledger and by the account's balance: what is compared, and what tells the price. Pure."""

from __future__ import annotations

from collections import Counter

import msgspec

from pipeline.built import built
from pipeline.price import Price

LENGTH_S = 0.001
"""The step in which lengths are counted."""
MOST_LENGTHS = 20_000
"""Where more lengths differ they are counted in steps ten times as long, so that a bill stays small."""


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


class Lengths:
    """Counts requests by length."""

    def __init__(self) -> None:
        self._requests: Counter[int] = Counter()
        self._step = 1

    def add(self, sent_s: float, requests: int = 1) -> None:
        self._requests[round(sent_s / LENGTH_S / self._step) * self._step] += requests
        if len(self._requests) > MOST_LENGTHS:
            found, self._requests, self._step = self._requests, Counter(), self._step * 10
            for length, count in found.items():
                self.add(length * LENGTH_S, count)

    def counted(self) -> tuple[tuple[int, int], ...]:
        """As a bill has them."""
        return tuple(sorted(self._requests.items()))
