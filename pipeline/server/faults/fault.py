"""What every fault has in common: when it strikes, and the three places where it can act.

A kind is a subclass that overrides one of `before`, `messages`, `script`; its fields are its keys in the faults file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol

import msgspec

from pipeline.gradium import wire
from pipeline.server.answer import Script

SHA256 = re.compile(r"[0-9a-f]{64}")


class Arrival(NamedTuple):
    """What is known of a request when it is decided whether a fault strikes."""

    number: int
    """Of all requests, from 1."""
    digest: str
    """SHA-256 of the body, in hex."""
    repeat: int
    """How often this body has come, from 1."""
    sessions: int
    """Requests worked on at the moment, this one included."""
    paid_audio_s: float
    """Audio answered so far."""
    elapsed_s: float
    """Since the first request came."""
    query: Mapping[str, str]


class Line(Protocol):
    """The connection a request came on, as far as a fault may touch it."""

    async def reset(self) -> None:
        """Ends the connection with an RST; does not return."""
        ...

    async def hold(self) -> None:
        """Keeps the connection open and silent; does not return before the client has gone."""
        ...

    async def outage(self, for_s: float) -> None:
        """Resets all connections and refuses new ones for `for_s` seconds; does not return."""
        ...


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """When a fault strikes: all conditions that are given must hold."""

    honest: ClassVar[bool] = False
    """Whether a client can still take the whole transcript from an answer with this fault in it."""

    probability: float = 1.0
    """Drawn anew for each request, from the seed, the body and how often it came: not from the order of arrival."""
    file: str | None = None
    """Only for requests whose body is this file (relative to the faults file)."""
    sha256: str | None = None
    """Only for requests whose body has this digest."""
    times: int | None = None
    """At most so many times for each distinct body, so that a retry passes."""
    at_most: int | None = None
    """At most so many times in all."""
    after_requests: int = 0
    """Not for the first so many requests."""
    until_requests: int | None = None
    """Not after so many requests."""

    def __post_init__(self) -> None:
        check(0 <= self.probability <= 1, "probability is a number from 0 to 1")
        check(self.times is None or self.times >= 1, "times is 1 or more")
        check(self.at_most is None or self.at_most >= 1, "at_most is 1 or more")
        check(self.after_requests >= 0, "after_requests is 0 or more")
        check(
            self.until_requests is None or self.until_requests > self.after_requests,
            "until_requests is larger than after_requests",
        )
        check(self.file is None or self.sha256 is None, "file and sha256 say the same thing: give one of them")
        check(
            self.sha256 is None or SHA256.fullmatch(self.sha256) is not None,
            "sha256 is 64 hexadecimal digits in lower case",
        )

    def in_window(self, number: int) -> bool:
        """Says whether the request of this number is between `after_requests` and `until_requests`."""
        return self.after_requests < number and (self.until_requests is None or number <= self.until_requests)

    def wants(self, arrival: Arrival) -> bool:
        """Says whether the kind's own condition holds."""
        del arrival
        return True

    async def before(self, line: Line) -> Script | None:
        """Acts before anything is recognized: raises RefusalError, does something to the connection, or returns
        what is sent instead of an answer."""
        del line
        return None

    def messages(self, stream: list[wire.Message]) -> list[wire.Message]:
        """Returns the answer's messages as this fault sends them."""
        return stream

    def script(self, lines: list[bytes]) -> Script:
        """Returns the answer's lines as this fault writes them."""
        return Script(chunks=lines)


def check(holds: bool, rule: str) -> None:
    """Raises ValueError with the rule, which the loader of faults files turns into a sentence."""
    if not holds:
        raise ValueError(rule)
