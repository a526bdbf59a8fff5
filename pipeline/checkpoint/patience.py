"""Retries for a checkpoint that cannot be written for now: locked by another program, or on a full disk.

Calls are repeated with growing pauses and a time limit. Once that was reached, nothing in the run is retried again.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from pipeline.errors import CheckpointError

LIMIT_S = 120.0
LAST_S = 5.0
"""The time limit at the end of a run that a signal has stopped."""
FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 1.0
SLOW_S = 0.05
"""A commit that takes longer pauses the pool; normally it takes some milliseconds."""
_PASSING = {
    sqlite3.SQLITE_BUSY: "is locked by another program",
    sqlite3.SQLITE_LOCKED: "is locked by another program",
    sqlite3.SQLITE_FULL: "cannot be written, because its disk is full",
    # a full disk or quota may only show when written data is flushed
    sqlite3.SQLITE_IOERR: "cannot be written",
}
_WRITING = (
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_LOCK,
)
P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)


def reason_of(error: CheckpointError) -> str | None:
    """Why the checkpoint cannot be written for now; None where waiting does not help."""
    code = getattr(error.__cause__, "sqlite_errorcode", sqlite3.SQLITE_OK)
    if code & 0xFF == sqlite3.SQLITE_IOERR and code not in _WRITING:
        return None
    return _PASSING.get(code & 0xFF)


class Patience:
    """The retries of one run. `on_wait` is called with True when waiting begins, and with False when it ends."""

    def __init__(self, limit_s: float = LIMIT_S, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """`is_stopped`: whether a signal has asked the process to end."""
        self.on_wait: Callable[[bool], None] = lambda waits: None
        self.hurries = False
        """Only the checkpoint is left to wait for: from now on a stop shortens the waiting to LAST_S."""
        self.is_stopped = is_stopped
        self._limit_s = limit_s
        self._waiting = self._held = 0
        self._is_over = False

    @contextmanager
    def trying(self) -> Iterator[Callable[[CheckpointError], float]]:
        """Yields a function from the error of a failed try to the seconds to pause; it raises the error to give up."""
        since, pauses_s, waits, hurries_since = time.monotonic(), FIRST_PAUSE_S, False, None
        message = "gave up waiting for the checkpoint: %.1f s"

        def pause_s(error: CheckpointError) -> float:
            nonlocal pauses_s, waits, hurries_since
            reason, now = reason_of(error), time.monotonic()
            if reason is None or self._is_over:
                raise error
            if self.hurries and self.is_stopped() and hurries_since is None:
                hurries_since = now
            left_s = since + self._limit_s - now
            if hurries_since is not None:
                left_s = min(left_s, hurries_since + LAST_S - now)
            if left_s <= 0:
                self._is_over = True
                raise error
            if not waits:
                waits = True
                self._begin(error, reason)
            pause, pauses_s = min(pauses_s, left_s), min(2 * pauses_s, MAX_PAUSE_S)
            return pause

        try:
            yield pause_s
            message = "the checkpoint can be written again, after %.1f s"
        finally:
            if waits:
                self._end(message, time.monotonic() - since)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a blocking function, in this thread, until it can write the checkpoint."""
        with self.trying() as pause_s:
            while True:
                try:
                    return function(*args, **kwargs)
                except CheckpointError as error:
                    time.sleep(pause_s(error))

    def _begin(self, error: CheckpointError, reason: str) -> None:
        self._waiting += 1
        if self._waiting == 1:
            log.warning(
                "the checkpoint %s (%s): waiting up to %g s; nothing more is sent meanwhile",
                reason, error.__cause__, self._limit_s,
            )  # fmt: skip
        self._hold(True)

    def _end(self, message: str, waited_s: float) -> None:
        self._waiting -= 1
        if not self._waiting:
            log.info(message, waited_s)
        self._hold(False)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Calls `on_wait` also where the block takes long: SQLite and disks may hang before they fail."""
        slow = False

        def is_slow() -> None:
            nonlocal slow
            slow = True
            self._hold(True)

        timer = asyncio.get_running_loop().call_later(SLOW_S, is_slow)
        try:
            yield
        finally:
            timer.cancel()
            if slow:
                self._hold(False)

    def _hold(self, held: bool) -> None:
        self._held += 1 if held else -1
        if self._held == held:  # the first of them, or the last
            self.on_wait(held)
