"""Events of a run, which the checkpoint is told of; `applying` has what each changes in it."""

from __future__ import annotations

import msgspec

from pipeline.checkpoint.failing import Failed
from pipeline.checkpoint.identity import Identity
from pipeline.checkpoint.verdict import DelayVerdict
from pipeline.clips import ClipResult
from pipeline.model import Attempt, Transcript


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A request is about to be sent."""

    attempt: Attempt
    """What the ledger gets where its end is never seen."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A request was sent and has ended."""

    attempt: Attempt
    is_noted: bool = True
    """Its start may be in `open_attempts`, and is removed from there."""


class ClipAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """One of several clips of an utterance was answered. `key` is the audio and settings that the answer belongs to."""

    n: int
    key: str
    config_hash: str
    """Of the utterance."""
    result: ClipResult


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance has its transcript."""

    n: int
    transcript: Transcript
    prefix_hashes: bytes | None = None
    """Of its content; see `audio.probe`."""
    ref_words: int = 0
    ref_errors: int = 0
    failed_as: Identity | None = None
    """The identity of its earlier failure, which is forgotten."""


class Partly(msgspec.Struct, frozen=True, kw_only=True):
    """Some clips of a failed utterance were answered: their transcript, with its gaps flagged."""

    n: int
    transcript: Transcript
    answered_s: float
    """How much of its audio is in the transcript."""
    answered_now: bool = True
    """One of its clips was answered in this run."""
    prefix_hashes: bytes | None = None


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A run began with an utterance and has no outcome yet: that counts as a try, so that others come first."""

    n: int
    run_id: str


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """The recording of an utterance with a transcript is missing: the utterance counts as done."""

    n: int


class Reused(msgspec.Struct, frozen=True, kw_only=True):
    """The content and the settings of an utterance are unchanged: its transcript still answers to them."""

    n: int
    prefix_hashes: bytes | None = None


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A recording was renamed: the row of its old name takes over the id and the columns of the row of its new name."""

    n: int
    """The row of the new name, which is deleted."""
    old: int
    """The row of the old name, which stays under the new id."""
    transcript: Transcript
    """The transcript with the new id."""
    ref_words: int = 0
    ref_errors: int = 0


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """Sets a fact, in the same commit as the events that showed it."""

    fact: str
    value: str | int = 1


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer said about the decoder's delay: the verdict so far, in the same commit as the answer."""

    verdict: DelayVerdict


Event = Started | Sent | ClipAnswered | Finished | Failed | Partly | Tried | Missing | Reused | Moved | Noted | Heard
