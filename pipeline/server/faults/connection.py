"""Faults of the connection: refused, reset, silent, slow, cut."""

from __future__ import annotations

import asyncio

from pipeline.server.answer import Script
from pipeline.server.faults.fault import Fault, Line, check


class ConnectionRefused(Fault, tag="connection_refused", frozen=True, kw_only=True):
    """The server goes away as in a restart: all connections are reset, new ones refused for `for_s` seconds.

    Strikes once, unless `at_most` says otherwise.
    """

    for_s: float
    at_most: int | None = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.for_s > 0, "for_s is larger than 0")

    async def before(self, line: Line) -> None:
        await line.outage(self.for_s)


class ResetBeforeAnswer(Fault, tag="reset_before_answer", frozen=True, kw_only=True):
    """RST after the body was read, before any byte of an answer."""

    async def before(self, line: Line) -> None:
        await line.reset()


class ResetInStream(Fault, tag="reset_in_stream", frozen=True, kw_only=True):
    """RST after the first `after_lines` lines of the stream."""

    after_lines: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.after_lines >= 1, "after_lines is 1 or more")

    def script(self, lines: list[bytes]) -> Script:
        return Script(chunks=lines[: self.after_lines], ending="reset")


class Cut(Fault, tag="cut", frozen=True, kw_only=True):
    """The connection closes after `at_byte` bytes of the stream, without the end of the chunked body."""

    at_byte: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.at_byte >= 0, "at_byte is 0 or more")

    def script(self, lines: list[bytes]) -> Script:
        left = b"".join(lines)[: self.at_byte]
        return Script(chunks=[left] if left else [], ending="cut")


class Hang(Fault, tag="hang", frozen=True, kw_only=True):
    """Takes the request and never answers; with `for_s`, answers after so many seconds."""

    honest = True  # where it answers at all

    for_s: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.for_s is None or self.for_s > 0, "for_s is larger than 0")

    async def before(self, line: Line) -> None:
        if self.for_s is None:
            await line.hold()
        else:
            await asyncio.sleep(self.for_s)


class Drip(Fault, tag="drip", frozen=True, kw_only=True):
    """The answer comes `chunk_bytes` at a time, one piece each `interval_s` seconds; it is whole in the end."""

    honest = True

    interval_s: float = 0.1
    chunk_bytes: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.interval_s >= 0, "interval_s is 0 or more")
        check(self.chunk_bytes >= 1, "chunk_bytes is 1 or more")

    def script(self, lines: list[bytes]) -> Script:
        stream = b"".join(lines)
        pieces = [stream[at : at + self.chunk_bytes] for at in range(0, len(stream), self.chunk_bytes)]
        return Script(chunks=pieces, pause_s=self.interval_s)
