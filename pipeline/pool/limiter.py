"""An adaptive concurrency limiter (AIMD): finds how many concurrent requests the plan allows, and follows changes.

In slow start the limit grows by one with each answer while it is reached, and doubles when it is reached and nothing
was refused for a while: an answer takes as long as its audio, a refusal comes at once. It backs off to the number in
flight: refused requests never ran, so the others are what the service allows, however many of a burst were refused.
Then the limit is probed with one more request now and then; once that is answered, slow start resumes. Occasional
refusals below the limit are ignored.

The service may count a session for a moment after its answer, so a refusal proves only that fewer are allowed than were
in flight or have ended within that moment. If that is no news, either the limit has fallen or sessions linger. The
first time nothing is sent for a moment, until none can be counted any more; what is accepted then is the limit. While
that is known, refusals raise the time for which a slot is left empty after its answer, and answers lower it again.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections import deque
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

MOMENT_S = 1.25
"""A session is counted for less than this after its answer."""
LINGER_FIRST_S = 0.05
"""How long a slot is left empty after the first refusal that ended sessions may explain; each further one makes it …"""
LINGER_GROWS = 1.5
LINGER_SHRINKS = 0.02
"""… longer by this factor, answers in all slots shorter by this part."""
MOST_ENDED = 10_000
"""Of so many ended sessions the moments are kept."""
TRUSTED_S = 5.0
TRUSTED_LONGEST_S = 60.0
"""How long a limit is trusted once it was found with no ended sessions about: at first, and at most."""


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
        self._ended: deque[float] = deque()
        """When sessions ended within the last moment."""
        self._linger_s = 0.0
        """How long a slot is left empty after its answer."""
        self._trusted_s, self._trusted_until = TRUSTED_S, 0.0
        self._judged_from = 0.0
        """Refusals of requests that were sent before say nothing about the present estimates."""
        self._held_from = self._clear_at = 0.0
        """Nothing is sent between these moments, so that no ended session is counted then."""

    @property
    def limit(self) -> int:
        """The most requests that may be in flight now."""
        return self._limit

    def is_full(self, in_flight: int) -> bool:
        """Whether nothing may be sent now, with so many requests in flight."""
        now = self._clock()
        return now < self._clear_at or in_flight + self._ended_since(now - self._linger_s) >= self._limit

    def opens_at(self, in_flight: int) -> float | None:
        """When something may be sent if it is full and no request ends before; None: one has to."""
        if in_flight >= self._limit:
            return None
        kept = self._limit - in_flight - 1
        """So many slots may still be left empty."""
        # a little later, or rounding may let it count as full at that very moment
        opens_at = self._ended[-1 - kept] + self._linger_s + 0.001 if len(self._ended) > kept else 0.0
        return max(self._clear_at, opens_at)

    def session_ended(self) -> None:
        """A request ended that the service had accepted."""
        now = self._clock()
        self._ended.append(now)
        if now < self._clear_at:  # it may be counted beyond that; answers that take long cannot be waited for
            self._clear_at = min(now, self._held_from + MOMENT_S) + MOMENT_S
            self._judged_from = self._clear_at
        while self._ended[0] <= now - 2 * MOMENT_S or len(self._ended) > MOST_ENDED:
            self._ended.popleft()

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
        self._linger_s *= 1 - LINGER_SHRINKS / self._limit
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

    def refused(self, in_flight: int, sent_at: float = math.inf) -> None:
        """A request was refused for the limit, with so many others in flight; it was sent at this moment."""
        if not self._adaptive:
            return
        ended = self._ended_since(sent_at - MOMENT_S)
        counted = in_flight + ended
        """The most that the service may have counted."""
        in_a_burst = self._backed_off and not self._answers
        self._answers = 0
        at_limit = counted + 1 >= self._limit
        if at_limit and self._safe_limit is not None:
            trusted_until, linger_s = self._trusted_until, self._linger_s
            self._back_off(self._safe_limit)
            self._trusted_until, self._linger_s = trusted_until, linger_s
            self._probe_pause_s = min(self._probe_pause_s * 2, PROBE_LONGEST_S)
        elif ended and counted >= self._limit:
            self._may_linger(sent_at)
        elif at_limit and (self._slow_start or in_a_burst or 0 <= sent_at - self._clear_at < MOMENT_S):
            self._back_off(counted)  # the refusals of a burst come one after the other
        else:
            self._stray_refusals += 1
            if self._stray_refusals > TOLERATED_REFUSALS:
                self._back_off(min(self._limit, counted))

    def _may_linger(self, sent_at: float) -> None:
        """A refusal that sessions explain which have ended."""
        now = self._clock()
        if sent_at < self._judged_from:
            return
        if self._slow_start or now >= self._trusted_until or self._linger_s >= MOMENT_S:
            self._slow_start, self._backed_off, self._safe_limit = False, True, None
            self._backed_off_at = now
            self._held_from, self._judged_from, self._clear_at = now, now + MOMENT_S, now + MOMENT_S
            self._trusted_until = self._clear_at + self._trusted_s
            self._trusted_s = min(2 * self._trusted_s, TRUSTED_LONGEST_S)
        else:
            self._judged_from = now
            self._linger_s = min(MOMENT_S, max(LINGER_FIRST_S, LINGER_GROWS * self._linger_s))

    def _ended_since(self, moment: float) -> int:
        return len(self._ended) - bisect_right(self._ended, moment)

    def _back_off(self, limit: int) -> None:
        if limit < self._limit:
            self._judged_from = max(self._clock(), self._clear_at)
            self._trusted_s, self._trusted_until = TRUSTED_S, 0.0  # until so many are seen to be accepted
            self._linger_s = 0.0
        self._limit = max(1, limit)
        self._is_rate_limit = limit < 1
        self._safe_limit = None
        self._slow_start = False
        self._backed_off = True
        self._stray_refusals = 0.0
        self._backed_off_at = self._clock()
