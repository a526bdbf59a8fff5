"""Utterances of the same audio and settings in one run: the first is sent, its duplicates wait for the outcome.

They share the service's result for the audio, a transcript or a refusal. If the file of the first cannot be read, the
next duplicate is sent instead. Above MOST_WAITING only row numbers are kept, and those rows are read again once the
result is known. Refusals go into a temporary database, so that memory does not grow with them.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from pipeline import errors
from pipeline.built import built
from pipeline.checkpoint import Identity, Selected
from pipeline.failures import consequence_of
from pipeline.model import Failure, Transcript
from pipeline.run.given_up import GivenUp
from pipeline.run.in_flight import InFlight

MOST_WAITING = 100
"""Rows that are kept while they wait for one outcome; of further ones there are only the numbers."""


class Duplicates:
    """The duplicates of one run."""

    def __init__(self) -> None:
        self._in_flight: dict[Identity, InFlight] = {}
        self._refused = Refusals()
        """Failures that also hold for later duplicates, which are then not sent: see `_is_shared`."""
        self._sent_in_part: dict[Identity, float] = {}
        """Audio that did not fit the budget and was sent in part, or has many duplicates: credits it still needs."""
        self._again: list[Selected] = []
        self._later = array("q")
        """Numbers of rows that are to be looked up again."""

    def refusal(self, identity: Identity) -> GivenUp | None:
        """Why this audio gets no transcript in this run, where that is known."""
        return self._refused.of(identity)

    def sent_in_part(self, identity: Identity) -> float | None:
        """Credits that this audio still needs, if this run stopped sending it because of the budget; else None. A later
        duplicate is not sent: the answers so far may not be in the checkpoint yet."""
        return self._sent_in_part.get(identity)

    def begin(self, in_flight: InFlight) -> bool:
        """Whether the utterance is the one that is sent for its identity; else it waits for the one that is."""
        first = self._in_flight.setdefault(in_flight.identity, in_flight)
        if first is in_flight:
            return True
        if len(first.duplicates) < MOST_WAITING:
            first.duplicates.append(in_flight.selected)
        else:
            first.more_duplicates.append(in_flight.selected.n)
        return False

    def end(self, in_flight: InFlight, given_up: GivenUp | None = None) -> list[Selected]:
        """Ends an utterance that has its outcome. Returns its duplicates, except those kept only by row number."""
        del self._in_flight[in_flight.identity]
        if given_up is not None and _is_shared(given_up, in_flight):
            self._refused.keep(in_flight.identity, given_up)
        elif in_flight.credits_needed and (in_flight.requests or in_flight.more_duplicates):
            self._sent_in_part[in_flight.identity] = in_flight.credits_needed
        self._later.extend(in_flight.more_duplicates)
        return in_flight.duplicates

    def look_again(self, duplicates: list[Selected]) -> None:
        """Queues duplicates of an utterance whose file failed: their own files may be readable."""
        self._again.extend(duplicates)

    def again(self) -> list[Selected]:
        """Takes the queued duplicates; each is returned once."""
        again, self._again = self._again, []
        return again

    def later(self) -> list[int]:
        """Takes the next row numbers, at most MOST_WAITING, of duplicates whose outcome is known."""
        numbers = self._later[-MOST_WAITING:].tolist()
        del self._later[-MOST_WAITING:]
        return numbers

    @property
    def has_more(self) -> bool:
        """Whether some are to be looked up again."""
        return bool(self._again or self._later)

    def close(self) -> None:
        """Frees what was kept for later duplicates."""
        self._refused.close()


def _is_shared(given_up: GivenUp, in_flight: InFlight) -> bool:
    """Whether later duplicates get the same failure without being sent."""
    error = given_up.error
    if error is None:
        return False  # a later one finds it in the checkpoint
    follows = consequence_of(error)
    return follows.is_of_the_audio or bool(in_flight.more_duplicates and not follows.is_of_the_file)


@built
class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """A GivenUp with its error by name."""

    error: str | None
    message: str = ""
    http_status: int | None = None
    code: int | None = None
    known: Failure | None
    identity: Identity | None
    clip: int | None
    was_sent: bool
    partial: Transcript | None
    answered_s: float
    answered_now: bool
    prefix_hashes: bytes | None


_decode = msgspec.msgpack.Decoder(_Row).decode


class Refusals:
    """Why audio was refused in this run, by identity; in a temporary database."""

    def __init__(self) -> None:
        self._db: sqlite3.Connection | None = None
        """None until there is a refusal."""

    def keep(self, identity: Identity, why: GivenUp) -> None:
        """Stores a refusal. If the disk for temporary files is full all are dropped, and duplicates are sent again."""
        about, error = msgspec.structs.asdict(why) | {"error": None}, why.error
        if error is not None:
            about |= {"error": type(error).__name__, "message": error.message}
            about |= {"http_status": error.http_status, "code": error.code}
        row = msgspec.msgpack.encode(_Row(**about))
        with self._forgotten_on_error():
            if self._db is None:
                self._db = sqlite3.connect("", isolation_level=None)
                self._db.execute("PRAGMA journal_mode = OFF")
                self._db.execute("CREATE TABLE refusals (key TEXT PRIMARY KEY, row BLOB) WITHOUT ROWID")
            self._db.execute("INSERT OR REPLACE INTO refusals VALUES (?, ?)", (identity.key, row))

    def of(self, identity: Identity) -> GivenUp | None:
        found = None
        if self._db is not None:
            with self._forgotten_on_error():
                found = self._db.execute("SELECT row FROM refusals WHERE key = ?", (identity.key,)).fetchone()
        return None if found is None else _given_up(_decode(found[0]))

    @contextmanager
    def _forgotten_on_error(self) -> Iterator[None]:
        """Drops the whole database on an error: there is no journal, so a failed write may have damaged it."""
        try:
            yield
        except sqlite3.Error:
            self.close()

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _given_up(row: _Row) -> GivenUp:
    about = msgspec.structs.asdict(row)
    name, message, http_status, code = (about.pop(field) for field in ("error", "message", "http_status", "code"))
    kind: type[errors.AttemptError] | None = None if name is None else getattr(errors, name)
    return GivenUp(error=None if kind is None else kind(message, http_status=http_status, code=code), **about)
