"""The exit statuses of the command, and which error leads to which: decided here and nowhere else."""

from __future__ import annotations

from enum import IntEnum

from pipeline.errors import GradiumBatchError, OutputHeld, SettingsRefused, UsageError


class ExitStatus(IntEnum):
    OK = 0
    """Every selected utterance has a transcript; also when there was nothing to do."""
    BROKE_OFF = 1
    USAGE = 2
    SOME_FAILED = 3
    LIMIT_REACHED = 4
    HELD = 5
    SIGINT = 130
    SIGTERM = 143


def status_of(error: GradiumBatchError) -> ExitStatus:
    """The exit status for an error that ends the command."""
    if isinstance(error, UsageError | SettingsRefused):
        return ExitStatus.USAGE
    if isinstance(error, OutputHeld):
        return ExitStatus.HELD
    return ExitStatus.BROKE_OFF
