"""What is done about a checkpoint that cannot be written for now: another program has it locked, or its disk is full.

It is tried again with growing pauses, for a bounded time and only once in a run. Decided here for all who write it.
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
"""How long it is tried at the end of a run that a signal has stopped."""
FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 1.0
SLOW_S = 0.05
"""A commit that takes longer holds the pool up: it takes some milliseconds."""
_PASSING = {
    sqlite3.SQLITE_BUSY: "is locked by another program",
    sqlite3.SQLITE_LOCKED: "is locked by another program",
    sqlite3.SQLITE_FULL: "cannot be written, because its disk is full",
    # a disk that is full only shows when what was written is to be kept, and so does a quota
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
    """What keeps the checkpoint from being written for now; None where waiting does not help."""
    code = getattr(error.__cause__, "sqlite_errorcode", sqlite3.SQLITE_OK)
    if code & 0xFF == sqlite3.SQLITE_IOERR and code not in _WRITING:
        return None
    return _PASSING.get(code & 0xFF)


class Patience:
    """Of one run. `on_wait` is called when the waiting begins and when it ends."""

    def __init__(self, limit_s: float = LIMIT_S, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """`is_stopped`: by somebody who waits for this process to end."""
        self.on_wait: Callable[[bool], None] = lambda waits: None
        self.hurries = False
        """Nothing is left to be waited for but the checkpoint: from now on such a stop cuts the waiting short."""
        self.is_stopped = is_stopped
        self._limit_s = limit_s
        self._waiting = self._held = 0
        self._is_over = False

    @contextmanager
    def trying(self) -> Iterator[Callable[[CheckpointError], float]]:
        """Yields what says how long to wait after a try that failed; it raises the error where that is no use."""
        since, pauses_s, waits, hurries_since = time.monotonic(), FIRST_PAUSE_S, False, None
        message = "the checkpoint was waited for in vain: %.1f s"

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
            message = "the checkpoint was waited for: %.1f s"
        finally:
            if waits:
                self._end(message, time.monotonic() - since)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a blocking function until it can write the checkpoint, in this thread."""
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
                "the checkpoint %s (%s): this is waited for, up to %g s; nothing more is sent meanwhile",
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
        """Tells `on_wait` also where the block merely takes long: SQLite, and a disk, may hang before they give up."""
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
