"""What follows from each error: the one table from its class to what becomes of request, utterance and run.

Classes are given in few places only: `gradium/classify.py` for the service (transport, status, code, text), `source/`
for a recording that cannot be opened or fetched (`local.py`, `object_errors.py`, `response_head.py`,
`response_body.py`), and `audio/` for its content.
Pool, sources, run and checkpoint ask this module. docs/hostile-service.md shows it as a table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pipeline import errors
from pipeline.exits import ExitStatus

ALIKE = 5
"""So many recordings that are refused at first show that it is not for what they are."""
EndsRun = Literal[
    "no", "at once", "unanswered settings", "all empty", "in a row", "first alike", "first refused", "probes alike"
]


@dataclass(frozen=True, kw_only=True)
class Consequence:
    """What follows from an error of a class."""

    retry: Literal["no", "backoff", "wait", "shorter"] = "no"
    """Whether the request is sent again in this run: as long as its clip has attempts left, or, for a limit of the
    service, however often, unless it may have been billed; or its audio in shorter clips, where the limit allows those.
    A failed request that may have been billed uses up an attempt, one that was not does so by `backoff` alone, and in
    part where the service fails for others too."""
    breaker: Literal["nothing", "failure", "refusal", "answer"] = "nothing"
    """What it counts as for the circuit breaker; a refusal says that the service works, an answer also that it works by
    other clips than those that failed."""
    may_be_unreachable: bool = False
    """If nothing was sent, the service is unreachable."""
    may_be_the_audio: bool = False
    """If it is repeated in the stream with the same text, while others are answered, it is due to the audio."""
    is_of_the_file: bool = False
    """About one row's file or span: another row with the same audio may succeed, and is tried."""
    is_final: bool = False
    """The utterance is left alone until it changes, or is asked for."""
    excused_by_transcript: bool = False
    """An utterance that has a transcript does not count as failed by it. A transcript stays whatever the error."""
    ends_run: EndsRun = "no"
    """Whether nothing more is sent: always, where these settings were never answered, where the first answers were all
    empty, where it comes several times with no answer in between, where it meets the first recordings with the same
    words, or all probes of the circuit breaker."""
    exit_status: ExitStatus = ExitStatus.BROKE_OFF
    """Of a run that it ends."""

    @property
    def is_of_the_audio(self) -> bool:
        """A final refusal of this audio by the service. It is stored by the audio, applies to duplicates, and is not
        replaced by a temporary failure when the audio is sent once more on request."""
        return self.is_final and not self.is_of_the_file

    def outlasts(self, later: Consequence) -> bool:
        """Whether this final failure stays after a retry on request that failed temporarily (`later`): not if it was
        about the file, and its audio could be sent now."""
        return self.is_of_the_audio or later.is_of_the_file


_FILE = Consequence(is_of_the_file=True, is_final=True)
_PASSING = Consequence(retry="backoff", breaker="failure")
_SOURCE = replace(_PASSING, breaker="nothing", is_of_the_file=True)

TABLE: dict[type[errors.GradiumBatchError], Consequence] = {
    errors.GradiumBatchError: Consequence(ends_run="at once"),
    errors.UsageError: Consequence(ends_run="at once", exit_status=ExitStatus.USAGE),
    errors.OutputHeld: Consequence(ends_run="at once", exit_status=ExitStatus.HELD),
    errors.AttemptError: Consequence(),
    errors.ItemError: _FILE,
    errors.AudioMissing: replace(_FILE, excused_by_transcript=True),
    # a server may say so of one recording, or of all: for its settings, or since credentials or a signature expired
    errors.AudioForbidden: Consequence(is_of_the_file=True, ends_run="first refused"),
    errors.AudioRefused: Consequence(is_final=True, breaker="answer", ends_run="first alike"),
    # its keywords are part of what its audio is known by
    errors.KeywordsRefused: Consequence(is_final=True, breaker="answer"),
    errors.ClipTooLong: Consequence(retry="shorter", breaker="refusal"),
    errors.PassingError: _PASSING,
    errors.AudioUnavailable: Consequence(is_of_the_file=True),
    errors.SourceChanged: _SOURCE,
    errors.SourceFault: _SOURCE,
    errors.SourceTimeout: _SOURCE,
    # of no use to wait for; renewed, or with its authority trusted, the next run reads from there
    errors.SourceUntrusted: Consequence(is_of_the_file=True, ends_run="first refused"),
    errors.SourceUnreachable: replace(_SOURCE, may_be_unreachable=True),
    errors.ConnectionFailed: replace(_PASSING, may_be_unreachable=True),
    errors.AttemptTimeout: replace(_PASSING, may_be_unreachable=True),
    errors.ServerFault: replace(_PASSING, may_be_the_audio=True),
    errors.StreamError: replace(_PASSING, may_be_the_audio=True, ends_run="probes alike"),
    errors.UnknownFault: replace(_PASSING, ends_run="probes alike"),
    errors.EmptyAnswer: replace(_PASSING, ends_run="all empty", exit_status=ExitStatus.USAGE),
    errors.CompressedAnswer: replace(_PASSING, ends_run="in a row"),
    errors.AccessDenied: replace(_PASSING, ends_run="first alike"),
    # the silence may be the service's or the recording's
    errors.UnconfirmedSilence: replace(_PASSING, breaker="nothing"),
    errors.LimitError: Consequence(retry="wait", breaker="refusal"),
    # by then the balance has confirmed it, see pool/account.py
    errors.AccountError: Consequence(ends_run="at once"),
    errors.AccountDoubted: replace(_PASSING, ends_run="probes alike"),
    # once the same settings were answered, they are not what is wrong
    errors.SettingsRefused: replace(_PASSING, ends_run="unanswered settings", exit_status=ExitStatus.USAGE),
    errors.SettingsInvalid: Consequence(ends_run="at once", exit_status=ExitStatus.USAGE),
    # nothing is known of the audio; the same request again breaks the same rule
    errors.ProtocolFault: Consequence(breaker="failure", ends_run="first alike"),
}
"""By class; one that is not here is treated as its nearest base is."""


def by_class(kind: type[errors.GradiumBatchError]) -> Consequence:
    """What follows from errors of the class."""
    return next(TABLE[base] for base in kind.__mro__ if base in TABLE)


def consequence_of(error: errors.GradiumBatchError) -> Consequence:
    """What follows from the error."""
    return by_class(type(error))


def status_of(error: errors.GradiumBatchError) -> ExitStatus:
    """The exit status for an error that ends the command."""
    return consequence_of(error).exit_status


def by_name(name: str) -> Consequence:
    """What follows from errors of the class of that name; one that an older version knew is like any attempt's."""
    kind = getattr(errors, name, None)
    return by_class(kind if isinstance(kind, type) and issubclass(kind, errors.AttemptError) else errors.AttemptError)
