"""What a run exchanges with a speech service: a clip's request, its answer, and the protocols of the service."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

import msgspec

from pipeline.model import ClipTimes, FileVersion, Word
from pipeline.redaction import hide

MOST_CREDITS = 1e12
"""A balance further from 0 is not believed."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What one POST needs, and nothing more: plain values, so that it can travel to another process."""

    id: str
    """Of the utterance."""
    clip: int
    """Position among the utterance's clips, from 0."""
    language: str | None = None
    """None takes the configured one, …"""
    keywords: tuple[str, ...] = ()
    """… and so do no keywords."""
    path: str
    """The file whose bytes are the body, or, with `span_bytes`, some of them."""
    content_type: str
    version: FileVersion
    """Of the file when it was hashed; it must be unchanged when it is sent."""
    duration_s: float
    """Length of the recording's part that it carries, in seconds."""
    prefix: bytes = b""
    """What is sent before the file's bytes: the header of cut audio, and its lead silence."""
    span_bytes: tuple[int, int] | None = None
    """(offset, length) of the file's bytes that are sent; None: all."""
    lead_s: float = 0.0
    """Silence in front, which is sent and paid for and no part of `duration_s`."""
    channel: int = 0

    @property
    def body_bytes(self) -> int:
        """Length of the body."""
        return len(self.prefix) + (self.version.size_bytes if self.span_bytes is None else self.span_bytes[1])

    @property
    def sent_s(self) -> float:
        """Seconds of audio that the service gets, and bills."""
        return self.lead_s + self.duration_s


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """The span of one channel that one request carries, and where it belongs in its utterance."""

    request: Request
    start_s: float
    """Where it starts on the utterance's clock."""
    key: str = ""
    """Which samples of which track it carries: an answer of an earlier run counts for a clip of the same key."""

    @property
    def number(self) -> int:
        """Position among the utterance's clips, from 0."""
        return self.request.clip

    @property
    def channel(self) -> int:
        return self.request.channel

    @property
    def duration_s(self) -> float:
        """Length of the recording's part that it carries, in seconds."""
        return self.request.duration_s


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The service's answer for one clip, from a stream that ended cleanly."""

    words: tuple[Word, ...]
    """On the clip's clock, the decoder's delay taken off."""
    times: ClipTimes | None = None
    """How their times came about; None where the service has no such delay."""
    issues: tuple[str, ...] = ()
    """Why the answer deserves a second look: `no_words`, `times_backwards` …; empty when nothing is odd."""
    request_id: str | None = None
    residency: str | None = None
    """Where the service says that it worked: `pinned; zone=eu`."""
    model: str | None = None
    http_status: int = 200
    latency_s: float = 0.0
    bytes_sent: int = 0
    is_certain: bool = True
    """False: the stream closed cleanly without words and without end_of_stream, which is silence only when it happens
    twice."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests go, and with which key; the key is hidden in all output."""

    url: str
    key: str

    def __post_init__(self) -> None:
        hide(self.key)

    def __repr__(self) -> str:
        return f"Endpoint(url={self.url!r})"


class Transcriber(Protocol):
    """Sends one request and returns what came back."""

    async def transcribe(self, request: Request) -> Answer:
        """Raises a subclass of `errors.AttemptError` when there is no usable answer."""
        ...


class AccountBalance(Protocol):
    """What the account holds."""

    @property
    def remaining_credits(self) -> float: ...

    @property
    def allocated_credits(self) -> float | None: ...

    @property
    def billing_period(self) -> str | None: ...

    @property
    def next_rollover_date(self) -> str | None: ...

    @property
    def plan_name(self) -> str | None: ...

    @property
    def recognizer(self) -> str | None:
        """Of a local server: which recognizer answers."""
        ...


class Connection(Protocol):
    """An open connection to a speech service."""

    @property
    def transcriber(self) -> Transcriber: ...

    async def balance(self) -> AccountBalance | str:
        """The account's balance, or why it is not known. Raises KeyRefused and EndpointUnreachable."""
        ...


def why_unknown(balance: AccountBalance | str) -> str | None:
    """Why the balance is not known; None where it is. It may be below 0: requests in flight together may cost more than
    there was."""
    if isinstance(balance, str):
        return balance
    held = balance.remaining_credits
    return (
        None if abs(held) <= MOST_CREDITS else f"the account is said to hold {held:g} credits, which is not plausible"
    )


def retry_after_s(value: str | None) -> float | None:
    """Seconds from now, from either form of the header Retry-After; None if it is neither."""
    if value is None:
        return None
    # only the digits go to float(), which accepts less as a blank than \s does
    if seconds := re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*", value):
        return float(seconds[1])
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
