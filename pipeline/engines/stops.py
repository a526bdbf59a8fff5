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
from collections.abc import Callable
from types import TracebackType
from typing import Self

from pipeline.engines.ending import Ending
from pipeline.exits import ExitStatus, stop_signals
from pipeline.run.control import Control


class Stops:
    """Passes signals and the time limit on to the control of one run, for as long as the block lasts."""

    def __init__(self, control: Control, max_duration_s: float | None, exit_now: Callable[[ExitStatus], None]) -> None:
        """`exit_now` ends the process, from any thread."""
        self._exit_now = exit_now
        self._ending = Ending(control, asyncio.get_running_loop(), max_duration_s)
        self._hung_up = False
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
            if select.select([self._read_fd], [], [], self._ending.wait_s())[0]:
                numbers = os.read(self._read_fd, 64)
                if not numbers:
                    return
                for number in numbers:
                    self._on_signal(signal.Signals(number))
            if self._ending.is_overdue():
                self._exit()

    def _on_signal(self, number: signal.Signals) -> None:
        # closing a terminal may send two hangups, by the kernel and by the shell, for one request to stop
        if number not in self._statuses or (number == signal.SIGHUP and self._hung_up):
            return
        self._hung_up = self._hung_up or number == signal.SIGHUP
        if self._ending.request(self._statuses[number], number.name):
            self._exit()

    def _exit(self) -> None:
        if self._over.acquire(blocking=False):
            self._exit_now(self._ending.status)


def _left_to_the_thread(number: int, frame: object) -> None:
    """Python needs a handler to write the signal's number into the pipe, which it does before it calls this one."""
