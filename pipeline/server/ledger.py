"""Counts requests and answers, and writes the request log.

One asyncio loop touches it, so nothing here is locked. Owns the log file.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

ANSWERED = "answered"
UNFINISHED = "client_gone"
KEY_REFUSED = "key_refused"
MAX_BODIES = 100_000
"""Distinct bodies that are counted, the newest of them."""


class Entry(msgspec.Struct):
    """One request while it is processed; filled in step by step."""

    started: float
    """Seconds since 1970."""
    clock: float
    """The same on the monotonic clock."""
    digest: str = ""
    """SHA-256 of the body, in hex."""
    body_bytes: int = 0
    status: int = 0
    """HTTP status; 0 when none was sent."""
    outcome: str = UNFINISHED
    """`answered` when a stream was sent to its clean end, else what went wrong."""
    fault: str | None = None
    audio_s: float = 0.0
    """Recognized, and so paid for."""
    request_id: str | None = None
    has_session: bool = False
    finished: bool = False

    def log_line(self) -> dict[str, Any]:
        """Returns what the request log says of a request that ends now."""
        seconds = time.monotonic() - self.clock
        return {
            "digest": self.digest,
            "bytes": self.body_bytes,
            "status": self.status,
            "outcome": self.outcome,
            "fault": self.fault,
            "audio_s": self.audio_s,
            "request_id": self.request_id,
            "seconds": round(seconds, 6),
            "started": self.started,
            "ended": self.started + seconds,
        }


class BodyCount(msgspec.Struct):
    """How often one body came."""

    requests: int = 0
    answered: int = 0


class Ledger:
    """The counts of one server since its start, and its request log."""

    def __init__(self, log: Path | None, *, linger_s: float = 0.0) -> None:
        """A session stays counted for `linger_s` after its answer. Raises OSError when the log cannot be opened for
        appending."""
        self._linger_s = linger_s
        self.requests = 0
        """Requests whose body arrived whole."""
        self.in_flight = 0
        self.max_in_flight = 0
        """Requests between their first byte and the last of their answer, refused ones too."""
        self.sessions = 0
        self.max_sessions = 0
        """Requests that were admitted and are worked on."""
        self.audio_s = 0.0
        """Audio that was paid for."""
        self.first_at: float | None = None
        self._outcomes: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._bodies: dict[str, BodyCount] = {}
        # unbuffered: each line is one write, whole in the file before the client sees its answer's end
        self._log = log.open("ab", buffering=0) if log else None

    def arrive(self) -> Entry:
        """Opens the entry of a request whose headers have come."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        now = time.monotonic()
        if self.first_at is None:
            self.first_at = now
        return Entry(started=time.time(), clock=now)

    def body(self, entry: Entry, size: int) -> BodyCount:
        """Notes the body of a request; returns how often it came, this time included."""
        entry.body_bytes = size
        self.requests += 1
        count = self._bodies.setdefault(entry.digest, BodyCount())
        count.requests += 1
        if len(self._bodies) > MAX_BODIES:
            del self._bodies[next(iter(self._bodies))]
        return count

    def admit(self, entry: Entry) -> None:
        """The request now holds a session."""
        entry.has_session = True
        self.sessions += 1
        self.max_sessions = max(self.max_sessions, self.sessions)

    def recognized(self, entry: Entry, audio_s: float) -> None:
        """Notes the audio of a request, which is paid for."""
        entry.audio_s = audio_s
        self.audio_s += audio_s

    def finish(self, entry: Entry) -> None:
        """Closes the entry; a second call does nothing."""
        if entry.finished:
            return
        entry.finished = True
        self.in_flight -= 1
        if entry.has_session and entry.request_id and self._linger_s:
            asyncio.get_running_loop().call_later(self._linger_s, self._release)
        elif entry.has_session:
            self._release()
        self._outcomes[entry.outcome] += 1
        if entry.fault:
            self._faults[entry.fault] += 1
        if entry.outcome == ANSWERED:
            self._bodies.setdefault(entry.digest, BodyCount(requests=1)).answered += 1
        if self._log and entry.outcome != KEY_REFUSED:  # clients without a key must not fill the disk
            self._log.write(msgspec.json.encode(entry.log_line()) + b"\n")

    def _release(self) -> None:
        self.sessions -= 1

    def stats(self) -> dict[str, Any]:
        """Returns what GET /_stats answers: the counts so far."""
        return {
            "requests": self.requests,
            "answered": self._outcomes[ANSWERED],
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "sessions": self.sessions,
            "max_sessions": self.max_sessions,
            "outcomes": dict(self._outcomes),
            "faults": dict(self._faults),
            "audio_s": self.audio_s,
            "bodies": self._bodies,
        }

    def close(self) -> None:
        """Closes the log."""
        if self._log:
            self._log.close()
