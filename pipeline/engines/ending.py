"""How one run is asked to stop, by whoever started it or by its time limit, and when it has had its time to end."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from pipeline.exits import ExitStatus
from pipeline.run.control import Control

GRACE_S = 1.25
"""How long a run that waits for no answer may take to end by itself."""
PUBLISHING_S = 20.0
"""How long a run that has sent something may take to publish its answers once asked; the next run does the rest."""
CHECK_INTERVAL_S = 0.5


class Ending:
    """Passes requests to stop and the time limit on to the control of one run. For one thread, which need not be the
    run's: nothing is sure about that one, which may be stuck in a disk that hangs."""

    def __init__(
        self, control: Control, loop: asyncio.AbstractEventLoop, max_duration_s: float | None, *, requests: int = 2
    ) -> None:
        """`loop` is the run's. After so many `requests` it is not waited for any more, beyond GRACE_S."""
        self.status = ExitStatus.OK
        """Of a run that is not waited for any more."""
        self._control = control
        self._loop = loop
        self._limit_at = None if max_duration_s is None else time.monotonic() + max_duration_s
        self._look_at: float | None = None
        self._requests, self._most = 0, requests
        self._requested_at = 0.0

    def request(self, status: ExitStatus, reason: str) -> bool:
        """Asks to stop; asked again, what is in flight is cut off. Returns whether there is nothing to wait for."""
        self._requests += 1
        self._requested_at = time.monotonic()
        self._stop(status, reason)
        return self._requests >= self._most and not self._control.is_sending

    def wait_s(self) -> float | None:
        """How long until `is_overdue` is to be asked; None: not before something is requested."""
        moments = [moment for moment in (self._limit_at, self._look_at) if moment is not None]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def is_overdue(self) -> bool:
        """Whether the run was asked to stop and has not ended in time. Asks it to stop at the time limit."""
        now = time.monotonic()
        if self._limit_at is not None and now >= self._limit_at:
            self._limit_at = None
            if self._control.counts_time and not self._requests:
                self._stop(ExitStatus.LIMIT_REACHED, "--max-duration")
        if self._look_at is None or now < self._look_at:
            return False
        self._look_at = now + CHECK_INTERVAL_S
        return self._requests >= self._most or not self._control.is_sending or self._publishes_too_long(now)

    def _stop(self, status: ExitStatus, reason: str) -> None:
        self.status = status
        self._look_at = time.monotonic() + GRACE_S
        with suppress(RuntimeError):  # the loop has ended, and so will the run
            self._loop.call_soon_threadsafe(self._control.stop, status, reason)

    def _publishes_too_long(self, now: float) -> bool:
        over_at = self._control.over_at
        return bool(self._requests) and over_at is not None and now >= max(over_at, self._requested_at) + PUBLISHING_S
