"""The bill of one run, by its ledger and by the account's balance: what is compared, and what tells the price. Pure."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate

import msgspec

from pipeline.built import built
from pipeline.price import Price

LENGTH_S = 0.001
"""The step in which lengths are counted."""
MOST_LENGTHS = 20_000
"""Where more lengths differ they are counted in steps ten times as long, so that a bill stays small."""
_decode = msgspec.msgpack.Decoder(list[int]).decode


@built
class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What one run cost."""

    run_id: str
    model: str
    price: Price
    """As it was configured."""
    lengths: bytes
    """Of the requests that were billed for sure, as `packed` has them: dozens of bills are kept, and few are used."""
    step_s: float = LENGTH_S
    """To what the lengths are rounded."""
    ledger: float
    """Credits by the ledger, counting what may have been billed, …"""
    maybe: float
    """… and what of them only may have been."""
    paid: float | None
    """Credits that the account paid between the balance before the run and the one after it; None where these do not
    tell: they are not known, or a top-up or a new month lies between."""


def packed(requests: Mapping[int, int]) -> bytes:
    """Numbers of requests by length in steps of `LENGTH_S`, compactly."""
    flat, last = [], 0
    for length, count in sorted(requests.items()):
        flat += [length - last, count]
        last = length
    return zlib.compress(msgspec.msgpack.encode(flat))


def unpacked(lengths: bytes) -> dict[int, int]:
    """What `packed` was given. Raises zlib.error or msgspec.DecodeError where it is damaged."""
    flat = _decode(zlib.decompress(lengths))
    return dict(zip(accumulate(flat[::2]), flat[1::2], strict=True))


class LengthCounts:
    """Counts requests by length."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        """By length in steps of `LENGTH_S`."""
        self._step = 1

    @property
    def step_s(self) -> float:
        """To what lengths are rounded."""
        return self._step * LENGTH_S

    def add(self, sent_s: float, requests: int = 1) -> None:
        self.requests[round(sent_s / self.step_s) * self._step] += requests
        if len(self.requests) > MOST_LENGTHS:
            found, self.requests, self._step = self.requests, Counter(), self._step * 10
            for length, count in found.items():
                self.add(length * LENGTH_S, count)
