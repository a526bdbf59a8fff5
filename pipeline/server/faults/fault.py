"""The base of all faults: which requests it applies to, and the three places where it can act.

A kind is a subclass that overrides one of `before`, `messages`, `script`; its fields are its keys in the faults file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, NamedTuple

import msgspec

from pipeline.gradium import wire
from pipeline.server.answer import Script
from pipeline.server.listener import Connection

Natural = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class Arrival(NamedTuple):
    """The facts about a request by which a fault is chosen for it."""

    number: int
    """Number of this request among all, from 1."""
    digest: str
    """SHA-256 of the body, in hex."""
    repeat: int
    """How often this body has come, from 1."""
    sessions: int
    """Requests worked on at the moment, this one included."""
    paid_audio_s: float
    """Seconds of audio answered, and so paid for, up to now."""
    elapsed_s: float
    """Since the first request came."""
    query: Mapping[str, str]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """The conditions of a fault: it applies to a request when all that are given hold."""

    answer_is_whole: ClassVar[bool] = False
    """Whether a client can still take the whole transcript from an answer with this fault in it."""

    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    """Drawn for each request from the seed, the body and its `repeat`, so that the order of arrival does not matter."""
    file: str | None = None
    """Only for requests whose body is this file (relative to the faults file)."""
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    """Only for requests whose body has this digest."""
    times: Positive | None = None
    """At most so many times for each distinct body, so that a retry passes."""
    at_most: Positive | None = None
    """At most so many times in all."""
    after_requests: Natural = 0
    """Not for the first so many requests."""
    until_requests: int | None = None
    """Not after so many requests."""
    after_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Not in the first so many seconds from the first request."""
    until_s: float | None = None
    """Not after so many seconds."""

    def __post_init__(self) -> None:
        if self.until_requests is not None and self.until_requests <= self.after_requests:
            raise ValueError("until_requests is larger than after_requests")
        if self.until_s is not None and self.until_s <= self.after_s:
            raise ValueError("until_s is larger than after_s")
        if self.file is not None and self.sha256 is not None:
            raise ValueError("file and sha256 say the same thing: give one of them")

    def in_window(self, number: int) -> bool:
        """Says whether the request of this number is between `after_requests` and `until_requests`."""
        return self.after_requests < number and (self.until_requests is None or number <= self.until_requests)

    def in_time(self, elapsed_s: float) -> bool:
        """Says whether so many seconds after the first request are between `after_s` and `until_s`."""
        return self.after_s <= elapsed_s and (self.until_s is None or elapsed_s < self.until_s)

    def applies(self, arrival: Arrival) -> bool:
        """Says whether the kind's own condition holds."""
        del arrival
        return True

    async def before(self, connection: Connection) -> Script | None:
        """Acts before anything is recognized: raises RefusalError, does something to the connection, or returns
        what is sent instead of an answer."""
        del connection
        return None

    def messages(self, stream: list[wire.Message]) -> list[wire.Message]:
        """Returns the answer's messages as this fault sends them."""
        return stream

    def script(self, lines: list[bytes]) -> Script:
        """Returns the answer's lines as this fault writes them."""
        return Script(chunks=lines)
