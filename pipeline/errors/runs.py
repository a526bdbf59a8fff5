"""Errors of a command or a run, and the root of all."""

from __future__ import annotations

from typing import Any


class GradiumBatchError(Exception):
    """Root of the tree. Its text is one sentence for the user: what, where, what to do."""

    result: Any = None
    """In Python, of a run that broke off after its start: its `Result`, and …"""
    exit: int | None = None
    """… the exit status that the command has for the error, also where no run began."""


class Stopped(Exception):
    """Not an error: the run was asked to stop before this was done."""


class UsageError(GradiumBatchError):
    """The command, the configuration or the manifest is wrong; nothing was sent. Each argument is a line."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class ConfigError(UsageError):
    """A configuration key or value is wrong."""


class ManifestError(UsageError):
    """The manifest cannot be read, or has bad rows."""


class EmptyFolder(ManifestError):
    """A folder with no audio below it."""


class RunError(GradiumBatchError):
    """The run cannot go on; everything already answered is kept."""


class OutputError(RunError):
    """The output folder cannot be written."""


class OutputGone(OutputError):
    """The output folder was removed while the run worked on it: nothing may be written to where it was."""


class DamagedFile(OutputError):
    """A file of the output does not hold what was written."""


class CheckpointError(RunError):
    """The checkpoint cannot be used."""


class DamagedCheckpoint(CheckpointError):
    """The checkpoint is missing or cannot be read: what was in it must come from the other files."""


class LocalServerError(RunError):
    """The embedded local server did not start, or crashed."""


class NoDecoder(RunError):
    """Nothing can be decoded on this machine: no decoder starts, or each crashes at once."""


class EndpointUnreachable(RunError):
    """Nothing answers at the endpoint's address."""


class ServiceOut(RunError):
    """An outage of the service lasted longer than `retry.outage_max_s`."""


class RefusesAll(RunError):
    """The service refused the first recordings of a run with the same words, and answered none."""


class BalanceTooLow(RunError):
    """The account holds less than the run would cost, and `service.require_credits` is set."""


class BalanceUnknown(RunError):
    """What the account holds cannot be learned, and `service.require_credits` is set; or who answers on this machine
    cannot be, which the same answer tells, and the output belongs to a local recognizer."""


class OutputHeld(GradiumBatchError):
    """Another run holds the output folder."""
