"""How a run is asked to stop: by a signal, a limit or an error. Keeps whether it was, and why."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from pipeline.errors import Stopped
from pipeline.exits import ExitStatus
from pipeline.report.figures import LastLine

T = TypeVar("T")
log = logging.getLogger(__name__)


class Stoppable(Protocol):
    """What the pool offers."""

    @property
    def in_flight(self) -> int: ...

    def stop(self) -> None: ...

    def cut(self) -> None: ...


class Control:
    """Passes the first request to stop on to the pool, and a second signal as `cut`."""

    def __init__(self) -> None:
        self.status: ExitStatus | None = None
        """The exit status of the stop; None while none was asked for."""
        self.reason: str | None = None
        self.stopped = threading.Event()
        """Set once a stop was asked for; work in threads checks it."""
        self.counts_time = True
        """Whether the time limit still applies: not once everything is sent."""
        self.over_at: float | None = None
        """When that was, on the clock `time.monotonic`."""
        self.standing: LastLine | None = None
        """How the output stands, for a process that is ended before its last line; None before the plan."""
        self._pool: Stoppable | None = None
        self._asked = asyncio.Event()
        self._by_signal = asyncio.Event()

    def attach(self, pool: Stoppable) -> None:
        """Names what carries the stop out; asked before that, it is carried out now."""
        self._pool = pool
        if self.stopped.is_set():
            pool.stop()

    @property
    def signalled(self) -> bool:
        """A stop was asked for by a signal."""
        return self._by_signal.is_set()

    @property
    def is_sending(self) -> bool:
        """Whether there is a pool, so that answers may have to be waited for, stored and published."""
        return self._pool is not None

    def work_is_over(self) -> None:
        """What was to be sent has been sent."""
        self.counts_time = False
        self.over_at = self.over_at or time.monotonic()

    def stop(self, status: ExitStatus, reason: str) -> None:
        """Asks to stop. Asked again by a signal, cuts what is in flight."""
        by_signal = status in (ExitStatus.SIGINT, ExitStatus.SIGTERM)
        signalled_before = self.signalled
        if by_signal:
            self._by_signal.set()
        self.stopped.set()
        self._asked.set()
        if by_signal or self.status is None:
            self.status, self.reason = status, reason
        if self._pool is None:
            return
        if by_signal and signalled_before:
            self._pool.cut()
        else:
            self._pool.stop()
            more = "; once more cuts them off" if by_signal else ""
            log.warning("stopping at %s: %d answers in flight are waited for%s", reason, self._pool.in_flight, more)

    def note_limit(self, reason: str) -> None:
        """Notes that a limit left some of the work undone; nothing is in flight any more."""
        if self.status is None:
            self.status, self.reason = ExitStatus.LIMIT_REACHED, reason

    def forget_limit(self) -> None:
        """Everything was done before the limit could cut it short."""
        if self.status == ExitStatus.LIMIT_REACHED:
            self.status = self.reason = None

    def raise_if_stopped(self) -> None:
        """Raises Stopped when a stop was asked for."""
        if self.stopped.is_set():
            raise Stopped

    async def unless_stopped(self, waiting: Coroutine[Any, Any, T]) -> T:
        """What `waiting` returns; raises Stopped, and cancels it, when a stop is asked for before."""
        return await _unless(self._asked, waiting)

    async def unless_signalled(self, waiting: Coroutine[Any, Any, T]) -> T:
        """The same, but only a signal counts."""
        return await _unless(self._by_signal, waiting)


async def _unless(stop_asked: asyncio.Event, waiting: Coroutine[Any, Any, T]) -> T:
    work, stop = asyncio.ensure_future(waiting), asyncio.ensure_future(stop_asked.wait())
    try:
        await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise Stopped
        return work.result()
    finally:
        for task in (work, stop):
            task.cancel()
        await asyncio.gather(work, stop, return_exceptions=True)
