"""The exit statuses of the command, and the signals that end it; `failures` says which error leads to which."""

from __future__ import annotations

import os
import signal
from enum import IntEnum
from typing import NoReturn

POSIX_ONLY = (
    "gradium-batch needs a POSIX system, such as Linux or macOS; "
    "on Windows use it in WSL, the Windows Subsystem for Linux"
)


class ExitStatus(IntEnum):
    """The exit status of the command, which a run in Python has as well."""

    OK = 0
    """Every selected utterance has a transcript; also when there was nothing to do."""
    BROKE_OFF = 1
    USAGE = 2
    SOME_FAILED = 3
    LIMIT_REACHED = 4
    HELD = 5
    SIGINT = 130
    SIGTERM = 143
    """Also for SIGHUP: the terminal or connection that the run was started from was closed."""


def stop_signals() -> dict[signal.Signals, ExitStatus]:
    """The signals that stop a run, and their exit status. A hangup that was ignored at the start (nohup) stays so."""
    statuses = {signal.SIGINT: ExitStatus.SIGINT, signal.SIGTERM: ExitStatus.SIGTERM}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        statuses[signal.SIGHUP] = ExitStatus.SIGTERM
    return statuses


def end_on_signals(what: str) -> None:
    """Has signals end this process at once, for work that a kill does not harm: `what` is finished by the same command
    again."""

    def on_signal(number: int, frame: object) -> NoReturn:
        os.write(2, f"gradium-batch: stopped; run the same command again to finish {what}\n".encode())
        os._exit(statuses[signal.Signals(number)])

    statuses = stop_signals()
    for number in statuses:
        signal.signal(number, on_signal)
