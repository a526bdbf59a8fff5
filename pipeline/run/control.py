"""How a run is asked to stop: by a signal, a limit or an error. The one place that knows whether it was."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.exits import ExitStatus


class Stopped(Exception):
    """The run was asked to stop before it began to send."""


class Control:
    """Passes the first request to stop on to the pool, and a second one as `cut`."""

    def __init__(self) -> None:
        self.status: ExitStatus | None = None
        """What the stop means for the exit status; None while nobody asked."""
        self.reason: str | None = None
        self._stop: Callable[[], None] | None = None
        self._cut: Callable[[], None] | None = None

    def attach(self, stop: Callable[[], None], cut: Callable[[], None]) -> None:
        """Names what carries the stop out; asked before that, it is carried out now."""
        self._stop, self._cut = stop, cut
        if self.status is not None:
            stop()

    def stop(self, status: ExitStatus, reason: str) -> None:
        """Asks to stop. Asked again by a signal, cuts what is in flight."""
        if self.status is None:
            self.status, self.reason = status, reason
            if self._stop is not None:
                self._stop()
        elif status in (ExitStatus.SIGINT, ExitStatus.SIGTERM):
            self.status, self.reason = status, reason
            if self._cut is not None:
                self._cut()

    def note_limit(self, status: ExitStatus, reason: str) -> None:
        """The work was cut short by a limit, with nothing to stop: what is in the pool is finished."""
        if self.status is None:
            self.status, self.reason = status, reason

    def raise_if_stopped(self) -> None:
        if self.status is not None:
            raise Stopped
