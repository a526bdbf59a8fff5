"""An adaptive concurrency limiter (AIMD): finds how many concurrent requests the plan allows, and follows changes.

In slow start the limit grows by one with each answer while it is reached, and doubles when it is reached and nothing
was refused for a while: an answer takes as long as its audio, a refusal comes at once. It backs off to the number in
flight: refused requests never ran, so the others are what the service allows, however many of a burst were refused.
Then the limit is probed with one more request now and then; once that is answered, slow start resumes. Occasional
refusals below the limit are ignored.
"""

from __future__ import annotations

import time
from collections.abc import Callable

INITIAL_LIMIT = 4
"""Where slow start begins when no earlier run learned a limit."""
DOUBLE_AFTER_S = 0.5
"""A request that is not refused within this time was accepted."""
PROBE_FIRST_S = 10.0
PROBE_LONGEST_S = 30.0
PROBE_AFTER_ANSWERS = 20
"""At most one request in twenty is a probe, however slow the answers are."""
TOLERATED_REFUSAL_RATE = 1 / PROBE_AFTER_ANSWERS
TOLERATED_REFUSALS = 2.0
"""So many refusals below the limit are ignored, and beyond them this share of requests."""


class AdaptiveLimiter:
    """Limits the requests in flight, from answers and refusals."""

    def __init__(
        self,
        highest: int,
        *,
        learned: int | None = None,
        adaptive: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`highest` is never exceeded; `learned` is the limit that the last run found."""
        self._highest = highest
        self._adaptive = adaptive
        self._clock = clock
        self._slow_start = learned is None
        self._backed_off = learned is not None
        self._limit = min(highest, learned or INITIAL_LIMIT) if adaptive else highest
        self._answers = 0
        """Answers since the last refusal or probe."""
        self._safe_limit: int | None = None
        """The last good limit, while one more than that is probed."""
        self._probe_pause_s = PROBE_FIRST_S
        self._backed_off_at = clock()
        self._stray_refusals = 0.0
        """Refusals below the limit, less those that answers have compensated."""
        self._is_rate_limit = False
        """It backed off with nothing in flight: that is a limit on the rate, not on concurrency."""

    @property
    def limit(self) -> int:
        """The most requests that may be in flight now."""
        return self._limit

    @property
    def learned(self) -> int | None:
        """The limit for the next run to start with; None if none was found."""
        if not self._adaptive or self._slow_start or self._is_rate_limit or self._limit >= self._highest:
            return None
        return self._limit if self._safe_limit is None else self._safe_limit

    def answered(self, *, at_limit: bool) -> None:
        """A request was answered. It is evidence about the limit only if that was reached after the last dispatch
        (`at_limit`; several may be answered before the next dispatch)."""
        self._answers += 1
        self._stray_refusals = max(0.0, self._stray_refusals - TOLERATED_REFUSAL_RATE)
        if not self._adaptive or self._limit >= self._highest or not at_limit:
            return
        if self._slow_start:
            self._limit += 1
        elif self._safe_limit is not None:
            if self._answers > 2 * self._limit:
                self._safe_limit, self._slow_start, self._probe_pause_s = None, True, PROBE_FIRST_S
        elif self._answers >= PROBE_AFTER_ANSWERS and self._clock() - self._backed_off_at >= self._probe_pause_s:
            self._safe_limit = self._limit
            self._limit += 1
            self._answers = 0

    @property
    def may_double(self) -> bool:
        """Whether the limit doubles DOUBLE_AFTER_S after it is reached, if nothing is refused."""
        return self._adaptive and not self._backed_off and self._limit < self._highest

    def not_refused(self, in_flight: int, for_s: float) -> None:
        """Nothing was refused since the last request was sent, `for_s` ago; may double the limit."""
        if self.may_double and in_flight >= self._limit and for_s >= DOUBLE_AFTER_S:
            self._limit = min(self._highest, 2 * self._limit)

    def refused(self, in_flight: int) -> None:
        """A request was refused for the limit, with so many others in flight."""
        if not self._adaptive:
            return
        in_a_burst = self._backed_off and not self._answers
        self._answers = 0
        at_limit = in_flight + 1 >= self._limit
        if at_limit and self._safe_limit is not None:
            self._back_off(self._safe_limit)
            self._probe_pause_s = min(self._probe_pause_s * 2, PROBE_LONGEST_S)
        elif at_limit and (self._slow_start or in_a_burst):
            self._back_off(in_flight)  # the refusals of a burst come one after the other
        else:
            self._stray_refusals += 1
            if self._stray_refusals > TOLERATED_REFUSALS:
                self._back_off(min(self._limit, in_flight))

    def _back_off(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._is_rate_limit = limit < 1
        self._safe_limit = None
        self._slow_start = False
        self._backed_off = True
        self._stray_refusals = 0.0
        self._backed_off_at = self._clock()
