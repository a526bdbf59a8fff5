"""Handles signals and the time limit in a thread of its own, and ends a process that does not end in time.

A thread, because nothing else is sure to run: the main thread may be opening a checkpoint, and another one may be stuck
in a disk that hangs, which nothing can interrupt. Ending the process is safe at any moment, as `kill -9` is.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from pipeline.exits import ExitStatus, stop_signals
from pipeline.run.control import Control

GRACE_S = 1.25
"""How long a run that waits for no answer may take to end by itself."""
PUBLISHING_S = 20.0
"""How long a run that has sent something may take to publish its answers after a signal; the next run does the rest."""
CHECK_INTERVAL_S = 0.5


class Stops:
    """Passes signals and the time limit on to the control of one run, for as long as the block lasts."""

    def __init__(self, control: Control, max_duration_s: float | None, exit_now: Callable[[ExitStatus], None]) -> None:
        """`exit_now` ends the process, from any thread."""
        self._control = control
        self._exit_now = exit_now
        self._loop = asyncio.get_running_loop()
        self._limit_at = None if max_duration_s is None else time.monotonic() + max_duration_s
        self._exit_at: float | None = None
        self._status = ExitStatus.OK
        self._received: list[signal.Signals] = []
        self._received_at = 0.0
        self._over = threading.Lock()
        """Held once the run has ended: its figures are printed then, and nothing may end the process any more."""
        self._statuses = stop_signals()
        self._thread = threading.Thread(target=self._listen, name="stops", daemon=True)

    def __enter__(self) -> Self:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in self._statuses:
            signal.signal(number, _left_to_the_thread)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.acquire()
        # the work is over and only its figures are left to print: they are right, the status of a signal would not be
        for number in self._statuses:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        os.close(self._write_fd)
        self._thread.join()
        os.close(self._read_fd)

    def _listen(self) -> None:
        while True:
            moments = [moment for moment in (self._limit_at, self._exit_at) if moment is not None]
            wait_s = max(0.0, min(moments) - time.monotonic()) if moments else None
            if select.select([self._read_fd], [], [], wait_s)[0]:
                numbers = os.read(self._read_fd, 64)
                if not numbers:
                    return
                for number in numbers:
                    self._on_signal(signal.Signals(number))
            now = time.monotonic()
            if self._limit_at is not None and now >= self._limit_at:
                self._limit_at = None
                if self._control.counts_time and not self._received:
                    self._stop(ExitStatus.LIMIT_REACHED, "--max-duration")
            if self._exit_at is not None and now >= self._exit_at:
                self._exit_at = now + CHECK_INTERVAL_S
                if len(self._received) > 1 or not self._control.is_sending or self._publishes_too_long(now):
                    self._exit_at = None
                    self._exit()

    def _on_signal(self, number: signal.Signals) -> None:
        # closing a terminal may send two hangups, by the kernel and by the shell, for one request to stop
        if number not in self._statuses or (number == signal.SIGHUP and signal.SIGHUP in self._received):
            return
        self._received_at = time.monotonic()
        self._received.append(number)
        self._stop(self._statuses[number], number.name)
        if len(self._received) > 1 and not self._control.is_sending:
            self._exit()

    def _stop(self, status: ExitStatus, reason: str) -> None:
        self._status = status
        self._exit_at = time.monotonic() + GRACE_S
        with suppress(RuntimeError):  # the loop has ended, and so will the block
            self._loop.call_soon_threadsafe(self._control.stop, status, reason)

    def _publishes_too_long(self, now: float) -> bool:
        over_at = self._control.over_at
        return bool(self._received) and over_at is not None and now >= max(over_at, self._received_at) + PUBLISHING_S

    def _exit(self) -> None:
        if self._over.acquire(blocking=False):
            self._exit_now(self._status)


def _left_to_the_thread(number: int, frame: object) -> None:
    """Python needs a handler to write the signal's number into the pipe, which it does before it calls this one."""
