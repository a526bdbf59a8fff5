"""The clips that stand in line: a few fresh ones from the source, and those that wait for another attempt.

A clip that waits stands aside until its pause is over; it holds no slot, and too many of them hold the source back.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from pipeline.model import Request
from pipeline.pool.job import Job

MAX_WAITING_PER_SLOT = 8
"""Clips that may wait for another attempt before no fresh ones are taken."""
REFUSED_OFTEN = 2
"""Refusals of a clip for the service's limits after which the others go first."""
Waiting = tuple[float, int, Job]
"""Somebody who waits: until when, in which order, who."""


class Line:
    """Who is next. `on_change` is called when somebody new stands in line, or nobody will any more."""

    def __init__(self, look_ahead: int, on_change: Callable[[], None]) -> None:
        self._fresh: deque[Job] = deque()
        self._look_ahead = look_ahead
        self._taken = asyncio.Event()
        self._waiting: list[Waiting] = []
        """A heap by the moment of the next attempt."""
        self._most_waiting = MAX_WAITING_PER_SLOT * look_ahead
        self._order = 0
        self._source_ended = False
        self._on_change = on_change

    def begin(self) -> None:
        """A source is about to fill the line."""
        self._source_ended = False

    async def fill(self, requests: AsyncGenerator[Request, None]) -> None:
        """Takes requests from the source as there is room, and closes it in the end."""
        try:
            async with aclosing(requests):
                async for request in requests:
                    while len(self._fresh) >= self._look_ahead:
                        self._taken.clear()
                        await self._taken.wait()
                    self._fresh.append(Job(request=request))
                    self._on_change()
        finally:
            self._source_ended = True
            self._on_change()

    def next(self) -> Job | None:
        """Whose pause is over, or a fresh clip; None when there is nothing to send now."""
        now = _now()
        is_due = bool(self._waiting) and self._waiting[0][0] <= now
        if is_due and self._waiting[0][2].refused < REFUSED_OFTEN:
            return heapq.heappop(self._waiting)[2]
        if self._fresh and len(self._waiting) < self._most_waiting:
            return self._take(self._fresh[0])
        if not is_due:
            return None
        # nobody who is refused again and again keeps the only slot from those who may be carried
        return self._pop(min((entry for entry in self._waiting if entry[0] <= now), key=_by_refusals))

    def next_probe(self) -> Job | None:
        """What is sent to find out how the service is: the shortest fresh clip, or of those whose pause is over the one
        that was a probe least often, suspects last, the shortest first: each bears its share of what probes cost."""
        if self._fresh:
            return self._take(min(self._fresh, key=lambda job: job.request.sent_s))
        now = _now()
        due = [entry for entry in self._waiting if entry[0] <= now]
        if not due:
            return None
        return self._pop(
            min(due, key=lambda entry: (entry[2].probes, entry[2].suspect, entry[2].request.sent_s, entry[1]))
        )

    def _pop(self, entry: Waiting) -> Job:
        self._waiting.remove(entry)
        heapq.heapify(self._waiting)
        return entry[2]

    def _take(self, job: Job) -> Job:
        self._fresh.remove(job)
        self._taken.set()
        return job

    def put_back(self, job: Job) -> None:
        """It was next and cannot be sent now."""
        if job.requests:
            self.wait(job, 0.0)
        else:
            self._fresh.appendleft(job)

    def wait(self, job: Job, pause_s: float) -> None:
        """Lets a clip wait for its next attempt."""
        self._order += 1
        heapq.heappush(self._waiting, (_now() + pause_s, self._order, job))

    @property
    def next_due(self) -> float | None:
        """When the first pause is over, on the event loop's clock; None where nobody waits."""
        return self._waiting[0][0] if self._waiting else None

    @property
    def next_probe_due(self) -> float | None:
        """When somebody can be a probe; None where there is nobody."""
        return _now() if self._fresh else self.next_due

    @property
    def all_tried(self) -> bool:
        """No clip is left, here or in the source, that was not sent yet."""
        return self._source_ended and not self._fresh

    @property
    def waiting(self) -> int:
        """How many wait for another attempt."""
        return len(self._waiting)

    @property
    def rounds(self) -> int:
        """How often each of those that wait was a probe, at least."""
        return min((job.probes for _, _, job in self._waiting), default=0)

    @property
    def ended(self) -> bool:
        """Nobody stands in line, and nobody will."""
        return self.all_tried and not self._waiting


def _now() -> float:
    return asyncio.get_running_loop().time()


def _by_refusals(entry: Waiting) -> tuple[int, float]:
    return entry[2].refused, entry[0]
