"""The clips that stand in line: a few new ones from the source, and those that wait for another attempt.

A clip that waits stands aside until its pause is over; it holds no slot, and too many of them hold the source back.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from pipeline.model import Clip
from pipeline.pool.job import Job

MAX_WAITING_PER_SLOT = 8
"""Clips that may wait for another attempt before no new ones are taken."""


class Line:
    """Who is next. `on_change` is called when somebody new stands in line, or nobody will any more."""

    def __init__(self, look_ahead: int, on_change: Callable[[], None]) -> None:
        self._fresh: asyncio.Queue[Clip] = asyncio.Queue(look_ahead)
        self._held: Job | None = None
        self._waiting: list[tuple[float, int, Job]] = []
        """A heap by the moment of the next attempt."""
        self._most_waiting = MAX_WAITING_PER_SLOT * look_ahead
        self._order = 0
        self._source_ended = False
        self._on_change = on_change

    async def fill(self, clips: AsyncGenerator[Clip, None]) -> None:
        """Takes clips from the source as there is room, and closes it in the end."""
        try:
            async with aclosing(clips):
                async for clip in clips:
                    await self._fresh.put(clip)
                    self._on_change()
        finally:
            self._source_ended = True
            self._on_change()

    def next(self, *, fresh_first: bool) -> Job | None:
        """Who was held back, whose pause is over, or a new clip; None when there is nothing to send now."""
        if self._held is not None:
            job, self._held = self._held, None
            return job
        fresh_first = fresh_first and not self._fresh.empty()
        if not fresh_first and self._waiting and self._waiting[0][0] <= time.monotonic():
            return heapq.heappop(self._waiting)[2]
        if self._fresh.empty() or (len(self._waiting) >= self._most_waiting and not fresh_first):
            return None
        return Job(clip=self._fresh.get_nowait())

    def hold(self, job: Job) -> None:
        """Keeps the one that was next at the head of the line."""
        self._held = job

    def wait(self, job: Job, pause_s: float) -> None:
        """Lets a clip wait for its next attempt."""
        self._order += 1
        heapq.heappush(self._waiting, (time.monotonic() + pause_s, self._order, job))

    @property
    def holds_back(self) -> bool:
        return self._held is not None

    @property
    def has_fresh(self) -> bool:
        return not self._fresh.empty()

    @property
    def next_due(self) -> float | None:
        """When the first pause is over, on the monotonic clock; None where nobody waits."""
        return self._waiting[0][0] if self._waiting else None

    @property
    def ended(self) -> bool:
        """Nobody stands in line, and nobody will."""
        return self._source_ended and self._fresh.empty() and not self._waiting and self._held is None
