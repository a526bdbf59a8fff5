"""How a run is asked to stop: by a signal, a limit or an error. The one place that knows whether it was."""

from __future__ import annotations

import logging
from typing import Protocol

from pipeline.exits import ExitStatus

log = logging.getLogger(__name__)


class Stoppable(Protocol):
    """What the pool offers."""

    @property
    def in_flight(self) -> int: ...

    def stop(self) -> None: ...

    def cut(self) -> None: ...


class Stopped(Exception):
    """The run was asked to stop before it began to send."""


class Control:
    """Passes the first request to stop on to the pool, and a second one as `cut`."""

    def __init__(self) -> None:
        self.status: ExitStatus | None = None
        """What the stop means for the exit status; None while nobody asked."""
        self.reason: str | None = None
        self._pool: Stoppable | None = None

    def attach(self, pool: Stoppable) -> None:
        """Names what carries the stop out; asked before that, it is carried out now."""
        self._pool = pool
        if self.status is not None:
            pool.stop()

    def stop(self, status: ExitStatus, reason: str) -> None:
        """Asks to stop. Asked again by a signal, cuts what is in flight."""
        by_signal = status in (ExitStatus.SIGINT, ExitStatus.SIGTERM)
        first, self.status = self.status is None, status if self.status is None or by_signal else self.status
        self.reason = reason if first or by_signal else self.reason
        if self._pool is None:
            return
        if first:
            self._pool.stop()
            log.warning("stopping at %s: %d answers in flight are waited for%s",
                        reason, self._pool.in_flight, "; once more cuts them off" if by_signal else "")  # fmt: skip
        elif by_signal:
            self._pool.cut()

    def note_limit(self, status: ExitStatus, reason: str) -> None:
        """The work was cut short by a limit, with nothing to stop: what is in the pool is finished."""
        if self.status is None:
            self.status, self.reason = status, reason

    def raise_if_stopped(self) -> None:
        if self.status is not None:
            raise Stopped
