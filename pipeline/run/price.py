"""What requests of one run cost. Pure: no I/O. What a second costs is in `profile`."""

from __future__ import annotations

from typing import Self

import msgspec

from pipeline.config import Settings
from pipeline.exchange import Request
from pipeline.profile import GRADIUM


class Price(msgspec.Struct, frozen=True):
    """The price of the model that a run asks."""

    credits_per_s: float

    @classmethod
    def under(cls, settings: Settings) -> Self:
        return cls(GRADIUM.credits_per_s(settings.service.model))

    def of(self, request: Request) -> float:
        """Credits that the request costs when it is billed."""
        return self.of_s(request.sent_s)

    def of_s(self, sent_s: float) -> float:
        """Credits for so many seconds of sent audio."""
        return sent_s * self.credits_per_s
