"""All errors. `failures` has what follows from each; the class names are part of the output format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Self


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
    """What the account holds cannot be learned, and `service.require_credits` is set."""


class OutputHeld(GradiumBatchError):
    """Another run holds the output folder."""


@dataclass(eq=False, repr=False, kw_only=True)
class AttemptError(GradiumBatchError):
    """One clip got no usable answer; `message` has the service's own text if there was any."""

    message: str = field(kw_only=False)
    http_status: int | None = None
    code: int | None = None
    retry_after_s: float | None = None
    billed: Literal["no", "maybe"] = "no"
    before_work: bool = False  # refused before it cost anything, see gradium/billing.py
    bytes_sent: int = 0
    request_id: str | None = None

    def bare(self) -> Self:
        """The error as a value to keep: without its causes and its traceback, which holds everything in its frames."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self


class ItemError(AttemptError):
    """Something is wrong with the audio or the row; nothing is sent, except for AudioRefused."""


class AudioMissing(ItemError):
    """There is no file where the manifest points."""


class AudioUnreadable(ItemError):
    """The file is there but cannot be opened or is no audio."""


class AudioUnsupported(ItemError):
    """Audio in a form that cannot be sent."""


class AudioTruncated(ItemError):
    """The audio breaks off, or does not decode to its end."""


class AudioEmpty(ItemError):
    """The file holds no samples."""


class RecordingTooLong(ItemError):
    """The recording is longer, or takes more disk while it is decoded, than the configuration allows."""


class SpanOutside(ItemError):
    """The row asks for a time or a channel that its recording does not have."""


class BadManifestRow(ItemError):
    """A manifest row that was skipped with --skip-bad-rows."""


class AudioRefused(ItemError):
    """The service refuses this audio."""


class RepeatedStreamError(AudioRefused):
    """The same error in the stream in each attempt, which is due to the audio."""


class PassingError(AttemptError):
    """A failure that may not occur again."""


class ServerFault(PassingError):
    """The service failed inside, or something between us and it did."""


class ConnectionFailed(PassingError):
    """The connection was refused, reset or could not be made."""


class AttemptTimeout(PassingError):
    """No answer within the time the clip's length allows."""


class StreamCut(PassingError):
    """The answer broke off before its end."""


class StreamMalformed(PassingError):
    """The answer is not NDJSON of the protocol, or larger than its audio allows."""


class CompressedAnswer(PassingError):
    """The answer is compressed, which was not asked for, in a way that cannot be undone."""


class EmptyAnswer(PassingError):
    """A 200 with nothing in it; this is also how refused settings look."""


class UnconfirmedSilence(PassingError):
    """The stream closed cleanly with no words and no end_of_stream; asked once more, the same again is silence."""


class StreamError(PassingError):
    """An error message inside the stream."""


class Redirected(PassingError):
    """Sent elsewhere; never followed, because that would carry the key to another host."""


class AudioUnavailable(PassingError):
    """The file is there and cannot be read now: too many open files, a disk or a network mount that fails."""


class AccessDenied(PassingError):
    """Something on the way refused this one exchange, a firewall for instance; its words are not the service's."""


class UnconfirmedRefusal(PassingError):
    """The service refused this audio but answered no other either; the refusal is final once others are answered."""


class UnknownFault(PassingError):
    """A refusal that matches no rule."""


class LimitError(AttemptError):
    """The service's limit on this account: slow down."""


class ConcurrencyLimit(LimitError):
    """More sessions at once than the plan allows."""


class RateLimited(LimitError):
    """HTTP 429."""


class AccountError(AttemptError):
    """The account cannot transcribe anything now."""


class KeyRefused(AccountError):
    """The API key is missing, wrong, revoked or expired."""


class CreditsSpent(AccountError):
    """No credits are left."""


class CutOff(AttemptError):
    """Cut off in flight by a stop or a kill: its outcome is unknown."""


class SettingsRefused(AttemptError):
    """The service refuses the request settings, whatever the audio."""
