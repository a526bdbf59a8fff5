"""The account of one server: what it bills, what others take from it, and the balance that it shows.

Its prices are its own, not the client's (`pipeline/price.py`), so that a mistake there shows. One asyncio loop touches
it.
"""

from __future__ import annotations

import math
import time
from collections import deque

from pipeline.server.options import ServerOptions

FIRST_ROLLOVER, NEXT_ROLLOVER = "2100-01-01", "2100-02-01"


class Account:
    """Credits since the start of the server."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._left = self._shown = options.credits
        """What there is, without what somebody else has taken, and what of that is to be seen already."""
        self._unseen: deque[tuple[float, float]] = deque()
        """(when, change) of what is not."""
        self._began = time.monotonic()
        self._requests = 0
        self.charged = 0.0
        """For the requests of this server."""
        self.rollover_date = FIRST_ROLLOVER

    def charge(self, audio_s: float, credits_per_s: float) -> None:
        """Bills a request with so much audio; a top-up or a new month follows where it is the time for it."""
        options = self._options
        seconds = audio_s + options.overhead_s
        if options.unit_s:
            # to a millionth of a unit: 13.96 + 1.04 are 15 s, and no unit more
            seconds = max(1, math.ceil(round(seconds / options.unit_s, 6))) * options.unit_s
        self.charged += seconds * credits_per_s
        self._requests += 1
        self._change(-seconds * credits_per_s)
        if self._requests == options.top_up_after:
            self._change(options.top_up_credits)
        if self._requests == options.new_month_after:
            self._change(options.credits - self._left)
            self._began = time.monotonic()
            self.rollover_date = NEXT_ROLLOVER

    @property
    def left(self) -> float:
        """What there is now."""
        return self._left - self._taken_by_others(time.monotonic())

    @property
    def shown(self) -> float:
        """What the credits page shows: as it was `balance_lag_s` ago."""
        at = time.monotonic() - self._options.balance_lag_s
        while self._unseen and self._unseen[0][0] <= at:
            self._shown += self._unseen.popleft()[1]
        return self._shown - self._taken_by_others(at)

    def _change(self, credits_: float) -> None:
        self._left += credits_
        self._unseen.append((time.monotonic(), credits_))
        _ = self.shown  # forgets what is to be seen

    def _taken_by_others(self, at: float) -> float:
        return max(0.0, at - self._began) * self._options.others_credits_per_s
