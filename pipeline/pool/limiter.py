"""An adaptive concurrency limiter (AIMD): finds how many requests at once the plan carries, and follows its changes.

In slow start the limit grows additively, by one with each answer while it is reached, and doubles when it is reached
and nobody was refused for a while: an answer takes as long as its audio, a refusal comes at once. The back-off is to
what is in flight: a refused request was never carried, so the others are what the service carries, however many of a
burst are refused. From then on the limit is probed with one more request now and then; once that is carried, slow start
goes on. Refusals below the limit are borne as chance, until they add up.
"""

from __future__ import annotations

import time
from collections.abc import Callable

INITIAL_LIMIT = 4
"""Where slow start begins when nothing was learned on an earlier night."""
DOUBLE_AFTER_S = 0.5
"""A request that was not refused for so long is being carried."""
PROBE_FIRST_S = 10.0
PROBE_LONGEST_S = 30.0
PROBE_AFTER_ANSWERS = 20
"""A refused probe is at most one request in twenty, however slow the answers are."""
REFUSAL_RATE_BORNE = 1 / PROBE_AFTER_ANSWERS
REFUSALS_BORNE = 2.0
"""So many refusals below the limit are chance, and beyond them this share of requests."""


class AdaptiveLimiter:
    """Told about answers and refusals; tells how many requests may be in flight."""

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
        """The limit that was safe, while one more than that is probed."""
        self._probe_pause_s = PROBE_FIRST_S
        self._backed_off_at = clock()
        self._stray_refusals = 0.0
        """Refusals below the limit, less what answers have made good."""
        self._carried_none = False
        """It backed off to nothing in flight: a limit of requests in a time, which says nothing of those at a time."""

    @property
    def limit(self) -> int:
        """The most requests that may be in flight now."""
        return self._limit

    @property
    def learned(self) -> int | None:
        """What to start the next run with; None where no limit was met."""
        if not self._adaptive or self._slow_start or self._carried_none or self._limit >= self._highest:
            return None
        return self._limit if self._safe_limit is None else self._safe_limit

    def answered(self, *, at_limit: bool) -> None:
        """A request was carried; `at_limit`: no more could be sent when last something was. Only then it says anything
        about the limit, and several may be answered before the next ones are sent."""
        self._answers += 1
        self._stray_refusals = max(0.0, self._stray_refusals - REFUSAL_RATE_BORNE)
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
        """Whether a limit that is reached is worth another look after DOUBLE_AFTER_S."""
        return self._adaptive and not self._backed_off and self._limit < self._highest

    def not_refused(self, in_flight: int, for_s: float) -> None:
        """The last request was sent `for_s` ago, and none of the `in_flight` was refused since."""
        if self.may_double and in_flight >= self._limit and for_s >= DOUBLE_AFTER_S:
            self._limit = min(self._highest, 2 * self._limit)

    def refused(self, in_flight: int) -> None:
        """A request was refused for the limit; so many are still in flight."""
        if not self._adaptive:
            return
        in_a_burst = self._backed_off and not self._answers
        self._answers = 0
        at_limit = in_flight + 1 >= self._limit
        if at_limit and self._safe_limit is not None:
            self._back_off(self._safe_limit)
            self._probe_pause_s = min(self._probe_pause_s * 2, PROBE_LONGEST_S)
        elif at_limit and (self._slow_start or in_a_burst):
            self._back_off(in_flight)  # those of a burst that are refused end one after the other
        else:
            self._stray_refusals += 1
            if self._stray_refusals > REFUSALS_BORNE:
                self._back_off(min(self._limit, in_flight))

    def _back_off(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._carried_none = limit < 1
        self._safe_limit = None
        self._slow_start = False
        self._backed_off = True
        self._stray_refusals = 0.0
        self._backed_off_at = self._clock()
