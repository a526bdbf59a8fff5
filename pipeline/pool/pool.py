"""The worker pool: at most `concurrency` attempts in flight, retries when they are due, a bounded look-ahead.

One dispatcher decides from the pool's state what is sent next; attempts run as tasks and report back to it. A clip that
waits for its next attempt holds no slot. Nothing is stored here: outcomes go to whoever listens.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from pipeline.errors import AccountError, AttemptError, AttemptTimeout, LimitError, SettingsRefused
from pipeline.model import Answer, Clip, Transcriber
from pipeline.pool.retry import RetryPolicy

MAX_WAITING_PER_SLOT = 8
"""Clips that may wait for another attempt before the pool stops taking new ones."""


class Job(msgspec.Struct, kw_only=True, eq=False):
    """A clip on its way through the pool. The one record that changes: it counts."""

    clip: Clip
    requests: int = 0
    """Requests sent."""
    attempts: int = 0
    """Attempts used up; a refusal for the service's limits uses none."""
    latency_s: float = 0.0
    """Time spent in requests."""


class Outcomes(Protocol):
    """Listens to the pool. Called in the event loop; must not block."""

    async def room(self) -> None:
        """Waits while outcomes come faster than they can be stored; a slot stays taken meanwhile."""

    def sent(self, job: Job, started_at: datetime, latency_s: float, ended: Answer | AttemptError) -> None:
        """A request came to its end."""

    def retrying(self, job: Job, error: AttemptError, pause_s: float) -> None:
        """The clip will be sent again after a pause."""

    def done(self, job: Job, answer: Answer) -> None:
        """The clip has its answer."""

    def failed(self, job: Job, error: AttemptError) -> None:
        """The clip is given up."""


class Pool:
    """Runs clips through a transcriber. One `run` per pool."""

    def __init__(
        self,
        transcriber: Transcriber,
        outcomes: Outcomes,
        retry: RetryPolicy,
        *,
        concurrency: int,
        drain_s: float,
    ) -> None:
        """`drain_s` is how long answers in flight may take to come once the pool was stopped."""
        self._transcriber = transcriber
        self._outcomes = outcomes
        self._retry = retry
        self._concurrency = concurrency
        self._drain_s = drain_s
        self._ready: asyncio.Queue[Clip] = asyncio.Queue(concurrency)
        self._waiting: list[tuple[float, int, Job]] = []
        """A heap by the moment of the next attempt."""
        self._in_flight: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._source_ended = False
        self._stopping = False
        self._order = 0
        self._fatal: Exception | None = None
        self._cut_later: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    def stop(self) -> None:
        """Sends nothing more; answers in flight still come. Clips that wait are dropped without an outcome."""
        if not self._stopping:
            self._stopping = True
            self._cut_later = asyncio.get_running_loop().call_later(self._drain_s, self.cut)
        self._changed.set()

    def cut(self) -> None:
        """Ends the requests in flight now; each is reported as sent, none as failed."""
        self.stop()
        for task in list(self._in_flight):
            task.cancel()

    def end_with(self, error: Exception) -> None:
        """Stops, and lets `run` raise this once the requests in flight have ended; the first error is kept."""
        self._fatal = self._fatal or error
        self.stop()

    async def run(self, clips: AsyncIterator[Clip]) -> None:
        """Returns when every clip has its outcome or the pool was stopped.

        Raises AccountError or SettingsRefused as soon as the requests in flight have ended, what `end_with` was given,
        and whatever is our own bug.
        """
        source = asyncio.create_task(self._pull(clips))
        try:
            while not self._finished():
                self._changed.clear()
                self._dispatch()
                if not self._finished():
                    await self._sleep()
        except BaseException:
            self.cut()
            raise
        finally:
            source.cancel()
            await asyncio.gather(source, *self._in_flight, return_exceptions=True)
            if self._cut_later is not None:
                self._cut_later.cancel()
        if self._fatal is not None:
            raise self._fatal

    async def _pull(self, clips: AsyncIterator[Clip]) -> None:
        try:
            async for clip in clips:
                await self._ready.put(clip)
                self._changed.set()
        except Exception as error:
            self.end_with(error)
        finally:
            self._source_ended = True
            self._changed.set()

    def _finished(self) -> bool:
        if self._in_flight:
            return False
        return self._stopping or (self._source_ended and self._ready.empty() and not self._waiting)

    def _dispatch(self) -> None:
        """Starts what may start now."""
        while not self._stopping and len(self._in_flight) < self._concurrency:
            job = self._next()
            if job is None:
                return
            task = asyncio.create_task(self._attempt(job))
            self._in_flight.add(task)
            task.add_done_callback(self._ended)

    def _next(self) -> Job | None:
        """A clip whose pause is over, else a new one; None when there is neither."""
        if self._waiting and self._waiting[0][0] <= time.monotonic():
            return heapq.heappop(self._waiting)[2]
        if self._ready.empty() or len(self._waiting) >= MAX_WAITING_PER_SLOT * self._concurrency:
            return None
        return Job(clip=self._ready.get_nowait())

    async def _sleep(self) -> None:
        """Until something changes or a pause is over."""
        pause = None
        if self._waiting and not self._stopping and len(self._in_flight) < self._concurrency:
            pause = max(0.0, self._waiting[0][0] - time.monotonic())
        try:
            async with asyncio.timeout(pause):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._changed.set()
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.end_with(error)

    def _end_with(self, error: Exception) -> None:
        self._fatal = self._fatal or error
        self.stop()

    async def _attempt(self, job: Job) -> None:
        job.requests += 1
        started_at, started = datetime.now(UTC), time.monotonic()
        ended: Answer | AttemptError
        try:
            ended = await self._transcriber.transcribe(job.clip)
        except AttemptError as error:
            ended = error
        except asyncio.CancelledError:
            cut = AttemptTimeout("cut off by the user", billed="maybe")
            self._outcomes.sent(job, started_at, time.monotonic() - started, cut)
            raise
        latency_s = time.monotonic() - started
        job.latency_s += latency_s
        self._outcomes.sent(job, started_at, latency_s, ended)
        if isinstance(ended, Answer):
            self._outcomes.done(job, ended)
        else:
            self._judge(job, ended)
        await self._outcomes.room()

    def _judge(self, job: Job, error: AttemptError) -> None:
        if isinstance(error, AccountError | SettingsRefused):
            self.end_with(error)  # no fault of the clip, which stays as it was
            return
        if not isinstance(error, LimitError):
            job.attempts += 1
        pause_s = self._retry.pause_s(error, job.attempts)
        if pause_s is None:
            self._outcomes.failed(job, error)
        elif not self._stopping:
            self._outcomes.retrying(job, error, pause_s)
            self._order += 1
            heapq.heappush(self._waiting, (time.monotonic() + pause_s, self._order, job))
