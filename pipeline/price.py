"""What requests cost. Nothing else knows a price. Pure: no I/O.

The service's documentation has a price per second; what accounts paid fits units that are rounded up, of the audio and
a little more for each request. `[price]` of the configuration says which holds.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from pipeline.built import built
from pipeline.exchange import Request

ROUNDING_S = 1e-9
"""Larger than the rounding error in a length, so that audio which fills a unit exactly does not cost another one; and
less than any sample, or a request could cost more than the budget reserved for it."""


@built
class Price(msgspec.Struct, frozen=True):
    """The price of a request, by the seconds of audio that it carries."""

    credits_per_s: Annotated[float, msgspec.Meta(gt=0)]
    unit_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds that are billed as a whole, rounded up; 0: any length is billed as it is."""
    overhead_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds that each request is billed for beside its audio."""

    def __str__(self) -> str:
        unit = f" in units of {self.unit_s:.10g} s" if self.unit_s else ""
        more = f", {self.overhead_s:.10g} s beside the audio of each request" if self.overhead_s else ""
        return f"{self.credits_per_s:.10g} per second{unit or ' that is sent'}{more}"

    def of(self, request: Request) -> float:
        """Credits of the request where it is billed."""
        return self.of_s(request.sent_s)

    def of_s(self, sent_s: float) -> float:
        """Credits of one request with so many seconds of audio."""
        return self.billed_s(sent_s) * self.credits_per_s

    def billed_s(self, sent_s: float) -> float:
        """Seconds that one request with so many seconds of audio is billed for."""
        seconds = sent_s + self.overhead_s
        return seconds if not self.unit_s else max(1, math.ceil((seconds - ROUNDING_S) / self.unit_s)) * self.unit_s

    def about(self, sent_s: float, requests: float) -> float:
        """Credits of so many requests that carry so many seconds together, if they use half of their last units."""
        seconds = sent_s + requests * (self.overhead_s + self.unit_s / 2)
        return max(seconds, requests * self.unit_s) * self.credits_per_s

    def longest_s(self, credits_: float) -> float:
        """The most seconds of audio that one request carries for so many credits; below 0 where none does."""
        seconds = credits_ / self.credits_per_s
        if self.unit_s:
            seconds = math.floor((seconds + ROUNDING_S) / self.unit_s) * self.unit_s
        return seconds - self.overhead_s if seconds > 0 else -1.0
