"""The pending requests: a bounded queue of fresh ones from the source, and a heap of those that wait for a retry.

A clip that waits for a retry takes no slot; too many of them stop the intake from the source.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from pipeline.exchange import Request
from pipeline.pool.job import Job
from pipeline.pool.lengths import Lengths

MAX_RETRIES_PER_SLOT = 8
"""While more clips than this wait for a retry, no fresh ones are sent."""
LONG_PER_SLOT = 8
"""So many clips of more than the usual length are taken ahead: the shorter ones behind them can be sent meanwhile."""
REFUSED_OFTEN = 2
"""A clip that the service's limits refused so often is sent after the others."""
Retry = tuple[float, int, Job]
"""(when it may be sent, order of entry, clip)."""
Put = Callable[[Request], Awaitable[None]]
Source = Callable[[Put], Awaitable[None]]
"""Puts every request, which waits while the queue is full, and returns when there are no more."""


class Pending:
    """Decides which clip is next. `on_change` is called for each new one, and when the source has ended."""

    def __init__(self, size: int, lengths: Lengths, on_change: Callable[[], None]) -> None:
        self.source_ended = False
        self._fresh: deque[Job] = deque()
        self._long: deque[Job] = deque()
        """Fresh ones of more than the usual length: those that have to wait keep no others from being taken."""
        self._size = size
        self._lengths = lengths
        self._taken = asyncio.Event()
        self._retries: list[Retry] = []
        """A heap by the moment of the next attempt."""
        self._order = 0
        self._on_change = on_change

    def begin(self, source: Source, when_done: Callable[[asyncio.Task[None]], None]) -> asyncio.Task[None]:
        """Runs the source to its end, beside the caller."""
        self.source_ended = False
        filling = asyncio.create_task(self._fill(source))
        filling.add_done_callback(when_done)
        return filling

    async def _fill(self, source: Source) -> None:
        try:
            await source(self._put)
        finally:
            self.source_ended = True
            self._on_change()

    async def _put(self, request: Request) -> None:
        job = Job(request=request)
        queue = self._queue_of(job)
        size = self._size * (LONG_PER_SLOT if queue is self._long else 1)
        while len(queue) >= size:
            self._taken.clear()
            await self._taken.wait()
        queue.append(job)
        self._on_change()

    def next(self) -> Job | None:
        """A clip whose pause is over, or a fresh one; None if there is nothing to send now."""
        due = self._first_due()
        if due is not None and due[2].refused < REFUSED_OFTEN:
            self._remove(due)
            return due[2]
        if len(self._retries) < MAX_RETRIES_PER_SLOT * self._size and (fresh := self._first_fresh()) is not None:
            return self._take(fresh)
        if due is None:
            return None
        # a clip that is refused repeatedly must not block the only slot
        return self._take_retry(lambda entry: (entry[2].refused, entry[0]))

    def next_probe(self) -> Job | None:
        """The clip to probe the service with: the shortest fresh one, or of those whose pause is over the one that was
        a probe least often (so that all share the cost of probes), then no suspect, then the shortest."""
        fresh = (job for queue in (self._fresh, self._long) for job in queue if not self._lengths.must_wait(job))
        if (shortest := min(fresh, key=lambda job: job.request.sent_s, default=None)) is not None:
            return self._take(shortest)
        if self._first_due() is None:
            return None
        return self._take_retry(lambda entry: (entry[2].probes, entry[2].suspect, entry[2].request.sent_s, entry[1]))

    def _queue_of(self, job: Job) -> deque[Job]:
        return self._long if self._lengths.is_long(job) else self._fresh

    def _first_fresh(self) -> Job | None:
        """The fresh clip that is next; long ones first, as they take longest."""
        long = next((job for job in self._long if not self._lengths.must_wait(job)), None)
        return long if long is not None or not self._fresh else self._fresh[0]

    def _first_due(self) -> Retry | None:
        """The clip whose pause was over first, of those that do not have to wait for another one."""
        now = _now()
        if not self._retries or self._retries[0][0] > now:
            return None
        if not self._lengths.must_wait(self._retries[0][2]):
            return self._retries[0]
        return min((entry for entry in self._sendable() if entry[0] <= now), default=None)

    def _sendable(self) -> Iterator[Retry]:
        return (entry for entry in self._retries if not self._lengths.must_wait(entry[2]))

    def _take(self, job: Job) -> Job:
        self._queue_of(job).remove(job)
        self._taken.set()
        return job

    def _take_retry(self, key: Callable[[Retry], tuple[float, ...]]) -> Job:
        """The first by `key` of those whose pause is over, of which there is one."""
        now = _now()
        entry = min((entry for entry in self._sendable() if entry[0] <= now), key=key)
        self._remove(entry)
        return entry[2]

    def _remove(self, entry: Retry) -> None:
        if entry is self._retries[0]:
            heapq.heappop(self._retries)
        else:
            self._retries.remove(entry)
            heapq.heapify(self._retries)

    def put_back(self, job: Job) -> None:
        """Returns a clip that was next and cannot be sent now."""
        if job.requests:
            self.retry(job, 0.0)
        else:
            self._queue_of(job).appendleft(job)

    def retry(self, job: Job, pause_s: float) -> None:
        """Makes a clip wait for its next attempt."""
        self._order += 1
        heapq.heappush(self._retries, (_now() + pause_s, self._order, job))

    @property
    def next_retry_at(self) -> float | None:
        """When the first pause is over, on the event loop's clock; None if no clip waits for that alone."""
        if self._retries and not self._lengths.must_wait(self._retries[0][2]):
            return self._retries[0][0]
        return min((at for at, _, _ in self._sendable()), default=None)

    @property
    def next_probe_at(self) -> float | None:
        """When there is a clip for the next probe; None if no clip is pending."""
        return self.next_retry_at if self._first_fresh() is None else _now()

    @property
    def all_tried(self) -> bool:
        """Whether every clip, here and in the source, was sent at least once."""
        return self.source_ended and not self._fresh and not self._long

    @property
    def retries(self) -> int:
        """Number of clips that wait for a retry."""
        return len(self._retries)

    @property
    def rounds(self) -> int:
        """How often each of the waiting clips was a probe, at least."""
        return min((job.probes for _, _, job in self._retries), default=0)

    @property
    def ended(self) -> bool:
        """Whether no clip is pending or to come."""
        return self.all_tried and not self._retries


def _now() -> float:
    return asyncio.get_running_loop().time()
