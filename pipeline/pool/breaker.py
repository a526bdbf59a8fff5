"""A circuit breaker: during an outage only one probe at a time is sent, until one is answered.

It opens when requests of different clips fail in a row, or when the service is unreachable. A clip that failed is a
suspect once a request that was sent after it is answered: its failures no longer count. Answers to earlier requests
prove nothing: a service that shuts down finishes what it has begun.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pipeline.pool.job import Job

UNREACHABLE_IN_A_ROW = 3
"""Connections in a row that could not be made, for any clips."""
FAILURES_IN_A_ROW = 10
"""Failures in a row of clips that are not suspects …"""
CLIPS_IN_A_ROW = 8
"""… from at least so many different ones: a small manifest of bad files is no outage."""
ROUNDS = 2
"""Once no fresh clip is left, each of the others is a probe so often before the breaker closes …"""
ROUND_S = 60.0
"""… and a round takes about this long if the service responds at all."""
RECENT = 50
"""Requests of which the failure rate is taken, and …"""
ENOUGH_CLIPS = 20
"""… from how many clips at least."""
BROWNOUT = 0.15
"""A failure rate below this is not the service's fault."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class CircuitBreaker:
    """Decides from answers and failures whether requests may be sent."""

    def __init__(self, *, first_pause_s: float = FIRST_PAUSE_S, clock: Callable[[], float] = time.monotonic) -> None:
        """`first_pause_s` is how long the first probe waits."""
        self.is_open = False
        self.probe: Job | None = None
        """The probe that is in flight."""
        self.probe_at = 0.0
        """When the next probe may be sent, on the clock."""
        self.outages = 0
        """How often it opened, without the times that `reconsider` took back."""
        self._first_pause_s = self._pause_s = first_pause_s
        self._clock = clock
        self._failed: dict[Job, int] = {}
        """Clips that failed since the last answer while the service was reachable, with the order of their first such
        request."""
        self._row: list[tuple[Job, int, float]] = []
        """Failures since the last answer or refusal: clip, order, the part of an attempt that was used up."""
        self._newest = 0
        """Order of the newest request that failed."""
        self._recent: deque[tuple[Job, bool]] = deque(maxlen=RECENT)
        """The last requests: clip, and whether it failed."""
        self._unreachable = 0
        self._since: float | None = None
        """When it first opened since the last answer; opening again without one continues the same outage."""

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """Open: only a probe may be sent; half-open: the probe is in flight."""
        if not self.is_open:
            return "closed"
        return "open" if self.probe is None else "half-open"

    @property
    def open_since(self) -> float | None:
        """When the outage began; None when there is none."""
        return self._since if self.is_open else None

    @property
    def open_for_s(self) -> float:
        """How long the outage has lasted; 0 when there is none."""
        return 0.0 if self.open_since is None else self._clock() - self.open_since

    def postpone(self, seconds: float) -> None:
        """Moves the outage's beginning: for so long no probe could be sent."""
        if self._since is not None:
            self._since += seconds

    def failure_rate(self) -> float:
        """The share of recently sent clips that failed; 0 while it is too low, or they are too few, to be an outage."""
        clips = {job for job, _ in self._recent}
        failing = {job for job, failed in self._recent if failed}
        rate = len(failing) / len(clips) if len(clips) >= ENOUGH_CLIPS else 0.0
        return rate if rate >= BROWNOUT else 0.0

    def answered(self, job: Job) -> None:
        """A clip was answered, or its audio refused: the service works, and earlier failed clips are suspects."""
        self._recent.append((job, False))
        if self._failed:
            for other in [other for other, order in self._failed.items() if order < job.order]:
                other.suspect = True
                del self._failed[other]
        self.refused(job)
        if not self.is_open:
            self._since = None

    def refused(self, job: Job) -> None:
        """A clip was refused for the service's limits: the service works."""
        if self._row:
            self._row = [entry for entry in self._row if entry[1] > job.order]
        if job.order > self._newest:
            self._unreachable = 0
            self._close()

    def failed(self, job: Job, *, unreachable: bool | None, used: float) -> bool:
        """A temporary failure, which used up this part of an attempt. `unreachable` is None if that is not known.

        Returns whether this failure opens the breaker; then the attempts of the failures in a row are given back.
        """
        self._recent.append((job, True))
        if not unreachable:
            self._failed.setdefault(job, job.order)
        self._newest = max(self._newest, job.order)
        if unreachable is not None or self.is_open:
            self._unreachable = self._unreachable + 1 if unreachable else 0
        if self.is_open:
            return False
        self._row.append((job, job.order, used))
        fresh = [failed for failed, _, _ in self._row if not failed.suspect]
        everybody = len(fresh) >= FAILURES_IN_A_ROW and len(set(fresh)) >= CLIPS_IN_A_ROW
        if not everybody and self._unreachable < UNREACHABLE_IN_A_ROW:
            return False
        self.outages += 1
        self.is_open = True
        self._since = self._clock() if self._since is None else self._since
        self._plan_probe()
        for failed, _, used_up in self._row:
            failed.attempts -= used_up
        self._row.clear()
        return True

    @property
    def may_probe(self) -> bool:
        """Whether it is time for a probe."""
        return self.state == "open" and self._clock() >= self.probe_at

    def probe_sent(self, job: Job, left: int = 0) -> None:
        """Schedules the next probe, after a longer pause. `left`: number of clips, if none of them is fresh."""
        self.probe = job
        longest_s = LONGEST_PAUSE_S
        if left and not self._unreachable:
            longest_s = min(longest_s, max(ROUND_S / left, self._first_pause_s))
        self._pause_s = min(self._pause_s * 2, longest_s)
        self._plan_probe()

    def ended(self, job: Job) -> None:
        """The clip is no longer in flight; its result comes separately."""
        if job is self.probe:
            self.probe = None

    def reconsider(self, ever_answered: bool, rounds: int) -> bool:
        """Closes the breaker, and returns True, if the clips that are left fail while the service is not out.

        Called when no fresh clip is left. That is so where the service is reachable and nothing was `ever_answered` in
        this run, or each of the clips was a probe in enough `rounds`.
        """
        if self._unreachable or (ever_answered and rounds < ROUNDS):
            return False
        for job in self._failed:
            job.suspect = True
        self._failed.clear()
        self._recent.clear()
        self.outages -= 1
        self._close()
        return True

    def _close(self) -> None:
        self.is_open = False
        self._pause_s = self._first_pause_s

    def _plan_probe(self) -> None:
        self.probe_at = self._clock() + self._pause_s * random.uniform(0.8, 1.2)


def outage_sentence(what: str, seconds: float) -> str:
    """The text of ServiceOut."""
    return (
        f"the service has {what} for {seconds:.0f} s (retry.outage_max_s); nothing is lost, "
        "run the same command again when it is back"
    )
