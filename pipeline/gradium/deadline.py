"""The time limit of one exchange, which does not blame the service when this process was suspended.

One timer per exchange; it replaces the HTTP library's read timeout.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

LATE_S = 0.5
"""A timer that fires later than this means that this process was suspended, not that the service was slow."""
GRACE_S = 1.0
"""The loop then has this long to read what arrived in the meantime."""


class Deadline:
    """Raises TimeoutError around a block, as `asyncio.timeout` does: after `total_s`, or after `idle_s` of silence.

    Silence counts from the first call of `progressed`.
    """

    def __init__(self, total_s: float, idle_s: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._end = self._started + total_s
        self._idle_s = idle_s
        self._progressed_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timeout = asyncio.timeout(None)

    @property
    def elapsed_s(self) -> float:
        return self._loop.time() - self._started

    @property
    def was_silent(self) -> bool:
        """Whether the silence was too long, and not the whole exchange."""
        return self._due() < self._end

    def progressed(self) -> None:
        """The service sent something, or the request was sent and it is the service's turn."""
        first, self._progressed_at = self._progressed_at is None, self._loop.time()
        if first and self._timer is not None:
            self._set_timer(self._due())

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._set_timer(self._due())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._timeout.__aexit__(kind, error, trace)

    def _due(self) -> float:
        if self._progressed_at is None or self._idle_s is None:
            return self._end
        return min(self._end, self._progressed_at + self._idle_s)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._fire, when)

    def _fire(self, when: float) -> None:
        now, due = self._loop.time(), self._due()
        if now < due:  # there was progress since the timer was set
            self._set_timer(due)
        elif now - when > LATE_S:
            self._set_timer(now + GRACE_S)
        else:
            self._timeout.reschedule(now)
