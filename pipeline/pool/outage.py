"""Whether the service is out: then the pool pauses, sends one probe at a time, and goes on when one comes through.

A fuse. It blows when failures come from everybody without an answer in between, or when nothing can be reached; while
it is blown nobody's attempts are used up. The pool asks it; it sends nothing itself.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

UNREACHABLE_IN_A_ROW = 3
"""Connections that could not be made, whoever's: no clip can be at fault for that."""
FAILURES_IN_A_ROW = 10
CLIPS_IN_A_ROW = 5
"""… from at least so many different clips: a few poisoned files are no outage."""
SUSPICIOUS_CLIPS = 3
RECENT = 50
"""Requests that tell how the service is doing, and …"""
ENOUGH_CLIPS = 20
"""… from how many clips at least."""
BROWNOUT = 0.15
"""A smaller share of failing clips than this is their own."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


T = TypeVar("T", bound=Hashable)


class Outage(Generic[T]):
    """Told about answers and passing faults; tells whether requests may be sent."""

    def __init__(self, *, first_pause_s: float = FIRST_PAUSE_S, clock: Callable[[], float] = time.monotonic) -> None:
        """`first_pause_s` is how long the first probe of an outage waits."""
        self._first_pause_s = first_pause_s
        self._clock = clock
        self._failures: list[T] = []
        """Whose attempts failed since the last answer."""
        self._recent: deque[tuple[T, bool]] = deque(maxlen=RECENT)
        """Who was sent lately, and whether that failed."""
        self._unreachable = 0
        self._began: float | None = None
        self._pause_s = self._first_pause_s
        self._probe_at = 0.0
        self.count = 0
        """Outages so far."""

    @property
    def going_on(self) -> bool:
        return self._began is not None

    @property
    def lasts_s(self) -> float:
        """How long the outage has lasted; 0 when there is none."""
        return 0.0 if self._began is None else self._clock() - self._began

    @property
    def likely(self) -> bool:
        """Failures of several clips in a row: no time to give one up for good."""
        return self.going_on or self._unreachable > 1 or len(set(self._failures)) >= SUSPICIOUS_CLIPS

    def share_of_failures(self) -> float:
        """How many of the clips sent lately met a fault: what part of one is the service's doing, not the clip's.

        0 while it is so few that they may as well be at fault themselves.
        """
        clips = {who for who, _ in self._recent}
        failing = {who for who, failed in self._recent if failed}
        share = len(failing) / len(clips) if len(clips) >= ENOUGH_CLIPS else 0.0
        return share if share >= BROWNOUT else 0.0

    def next_probe_in_s(self) -> float:
        """Seconds until one request may be sent to see."""
        return max(0.0, self._probe_at - self._clock())

    def answered(self, who: T) -> None:
        """An answer came, or a refusal that only a working service gives."""
        self._recent.append((who, False))
        self._failures.clear()
        self._unreachable = 0
        self._began = None
        self._pause_s = self._first_pause_s

    def failed(self, who: T, *, unreachable: bool) -> list[T]:
        """A passing fault. Returns whose used-up attempts are to be given back, which is when the fuse blows."""
        self._recent.append((who, True))
        if self.going_on:
            return []
        self._failures.append(who)
        self._unreachable = self._unreachable + 1 if unreachable else 0
        everybody = len(self._failures) >= FAILURES_IN_A_ROW and len(set(self._failures)) >= CLIPS_IN_A_ROW
        if not everybody and self._unreachable < UNREACHABLE_IN_A_ROW:
            return []
        self.count += 1
        self._began = self._clock()
        self._plan_probe()
        struck, self._failures = self._failures, []
        return struck

    def probe_sent(self) -> None:
        """The next probe comes later than this one did, whatever becomes of it."""
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._plan_probe()

    def _plan_probe(self) -> None:
        self._probe_at = self._clock() + self._pause_s * random.uniform(0.8, 1.2)
