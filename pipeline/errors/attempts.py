"""Errors of one attempt: why a clip got no usable answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar

from pipeline.errors.runs import GradiumBatchError

E = TypeVar("E", bound="AttemptError")


@dataclass(eq=False, repr=False, kw_only=True)
class AttemptError(GradiumBatchError):
    """One clip got no usable answer; `message` has the service's own text if there was any."""

    message: str = field(kw_only=False)
    reason: str = ""  # what of the service's text tells why, see gradium/reason.py
    http_status: int | None = None
    code: int | None = None
    retry_after_s: float | None = None
    billed: Literal["no", "maybe"] = "no"
    before_work: bool = False  # refused before it cost anything, see gradium/billing.py
    bytes_sent: int = 0
    request_id: str | None = None
    residency: str | None = None

    @property
    def said(self) -> str:
        """What tells why: the reason, or, where none is known, the message."""
        return self.reason or self.message

    def as_class(self, kind: type[E], **more: Any) -> E:
        """The same failure as an error of this class, with `more` of its fields."""
        about = {name: value for name, value in vars(self).items() if name in kind.__dataclass_fields__}
        del about["message"]
        return kind(self.message, **(about | more))  # by position, which is what str() and copy() go by

    def bare(self) -> Self:
        """The error as a value to keep: without its causes and its traceback, which holds everything in its frames."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self


class ItemError(AttemptError):
    """Something is wrong with the audio or the row; nothing is sent, except for AudioRefused and KeywordsRefused."""


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


class KeywordsRefused(ItemError):
    """The service refuses the keywords that are the row's own."""


@dataclass(eq=False, repr=False, kw_only=True)
class ClipTooLong(AudioRefused):
    """The service does not take so much audio in one request; in shorter clips it may."""

    limit_s: float | None = None
    """The most that it takes, in seconds, where its text names that."""


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


@dataclass(eq=False, repr=False, kw_only=True)
class AccountDoubted(PassingError):
    """Refused as for a bad key or spent credits, which the account's balance did not confirm: it may pass, or be this
    one clip's matter."""

    suspected: type[AccountError] = KeyRefused
    balance: str = ""
    """What the balance said, in words, and …"""
    is_known: bool = False
    """… whether it is known."""

    def as_account(self, text: str) -> AccountError:
        """The account's error that it is taken for after all."""
        return self.suspected(f"{text} ({self.balance})", http_status=self.http_status, code=self.code)


class CutOff(AttemptError):
    """Cut off in flight by a stop or a kill: its outcome is unknown."""


class SettingsRefused(AttemptError):
    """The service refuses the request settings, whatever the audio."""


class SettingsInvalid(SettingsRefused):
    """The service says that a setting is missing or wrong: no request with these settings can be answered."""


class ProtocolFault(AttemptError):
    """The service says that the request broke its protocol (code 1002): a fault of this program."""
