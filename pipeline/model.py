"""The records that travel through the pipeline; what is sent is in `exchange`.

All records are frozen; a changed one is a new one (`msgspec.structs.replace`). Times are seconds on the clock of
the utterance's audio unless a name says otherwise; durations in `_s`, sizes in `_bytes`; instants are aware UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from pipeline.built import built
from pipeline.keywords import KEYWORDS, keywords_in

Billed = Literal["yes", "no", "maybe"]
Status = Literal["ok", "suspect"]
Timing = Literal["exact", "spread"]

DURATION_DIGITS, LATENCY_DIGITS, CREDITS_DIGITS, WER_DIGITS = 6, 3, 6, 4
"""Decimals of the figures in records: no float noise in an output."""


@built
class Utterance(msgspec.Struct, frozen=True, kw_only=True):
    """One manifest row: which audio, which span of it, and what is known about it."""

    id: str
    audio: str
    """Where the recording lies: an absolute path."""
    language: str | None = None
    reference: str | None = None
    offset_s: float = 0.0
    duration_s: float | None = None
    """Length of the wanted span; None means to the end of the recording."""
    channel: int | None = None
    """The one channel to transcribe, from 0; None leaves it to `audio.channels`."""
    metadata: dict[str, str] = {}
    """The manifest's other columns, as text."""
    line: int | None = None
    """Line of the manifest the row starts on, from 1; None for a directory."""

    @property
    def keywords(self) -> tuple[str, ...]:
        """Words to prefer in this recording, in place of the configured ones; empty where the row has none. They stay
        in `metadata`, as they were written: an output shows what it was made with."""
        written = self.metadata.get(KEYWORDS)
        return keywords_in(written) if written else ()


class NamedByPath(Utterance, frozen=True, kw_only=True):
    """An utterance whose manifest gives no id, so that its path is its id: a renamed recording gets another one."""


class BadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest row that cannot become an utterance; `message` says what is wrong and what to do."""

    manifest: str
    line: int | None
    message: str
    id: str | None = None
    """The row's id, where it has one that can be read."""

    def __str__(self) -> str:
        where = self.manifest if self.line is None else f"{self.manifest}:{self.line}"
        return f"{where}: {self.message}"


class FileVersion(msgspec.Struct, frozen=True):
    """Identifies a file's content without reading it: inode and ctime also change when the file is replaced by another
    of the same size and mtime."""

    size_bytes: int
    mtime_ns: int
    inode: int
    ctime_ns: int


@built
class Word(msgspec.Struct, frozen=True, kw_only=True):
    """One word with its times, from the start of the audio."""

    text: str
    """Without white space; with the punctuation at it."""
    start_s: float
    stop_s: float | None = None
    """None where the service gave no end."""
    channel: int = 0
    stream_id: int | None = None
    clip: int = 0
    timing: Timing = "exact"
    """`spread` where one message held several words, whose times are spread over its own."""
    written: str | msgspec.UnsetType = msgspec.UNSET
    """How the service wrote it, where that is not `text`: with a space before its punctuation, for instance. Answers
    have it; in a transcript it is part of the text, and unset."""


@built
class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence, or with several channels the turn of one of them; see `segments`."""

    text: str
    start_s: float
    stop_s: float | None = None
    """None where the service gave no end of its words."""
    channel: int = 0


@built
class ClipTimes(msgspec.Struct, frozen=True, array_like=True):
    """How the times of a clip's words came about, so that the decoder's delay can be taken off them or put back, as
    `times` does. In milliseconds on the clock of the words; for the checkpoint, and no column of an output."""

    clip: int
    begin: int
    """Where the clip begins, and the delay of the decoder, which is taken off most times."""
    delay: int
    others: tuple[tuple[int, int, int | None, int, int | None], ...]
    """The words for which it is not just that, because they were cut to the clip: their place among the clip's words,
    start and stop with the delay, start and stop without it."""
    checks: tuple[int, int]
    """Checksums of all times with the delay and without it, which tell in which state words are."""
    outside: tuple[bool, bool]
    """Whether the service said a time that is outside of the clip with the delay, or without it."""
    contains: bool | None
    """Whether these times say that the service's times contain the delay; None where they do not tell."""


@built
class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request sent for a clip: a line of the spend ledger."""

    id: str
    clip: int
    attempt: int
    """Number of the request within the clip's tries of this run, from 1."""
    run_id: str
    started_at: datetime
    latency_s: float
    outcome: str
    """`ok`, or the class name of the error."""
    billed: Billed
    credits: float
    """What the request cost, or for `maybe` what it may have cost."""
    bytes_sent: int
    http_status: int | None = None
    code: int | None = None
    request_id: str | None = None
    residency: str | None = None
    """Where the service says that it worked: `pinned; zone=eu`; None where it did not, or an earlier version asked."""


@built
class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """The joined result of an utterance: one row of the output."""

    id: str
    audio: str
    text: str
    words: tuple[Word, ...]
    segments: tuple[Segment, ...]
    duration_s: float
    """Measured, of what was transcribed."""
    offset_s: float = 0.0
    """The row's span and channel, …"""
    span_s: float | None = None
    channel: int | None = None
    sample_rate: int | None = None
    """… and what its recording is like; None in a row that a version before 0.2 wrote."""
    channels: int | None = None
    status: Status
    issues: tuple[str, ...]
    language: str | None
    model: str | None
    service: str | None = None
    """Who answered, as the owner of the output is named; set when the row is published."""
    audio_hash: str
    config_hash: str
    request_ids: tuple[str, ...]
    attempts: int
    latency_s: float
    credits: float
    run_id: str
    finished_at: datetime
    reference: str | None = None
    wer: float | None = None
    metadata: dict[str, str] = {}
    clip_times: tuple[ClipTimes, ...] | msgspec.UnsetType = msgspec.UNSET
    """For the checkpoint alone: not in the output, nor in what is read from it."""


@built
class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an utterance has no transcript, or none for its newest content: one row of the errors."""

    id: str
    audio: str
    error: str
    """Class name from `errors`."""
    message: str
    """The service's own words (or ours, where nothing was sent), cut at 2 kB."""
    retryable: bool
    attempts: int
    first_seen: datetime
    last_seen: datetime
    run_id: str
    http_status: int | None = None
    code: int | None = None
    clip: int | None = None
    metadata: dict[str, str] = {}
    kept: bool = False
    """The output has a transcript of an earlier content or earlier settings, which stays until a new one is there."""
