"""Why recordings got no transcript in this run, kept for copies of them that come later.

In a database of its own, which the system takes away with this process: a night of refusals is not held in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from pipeline import errors
from pipeline.built import built
from pipeline.checkpoint import Identity
from pipeline.model import Failure, Transcript
from pipeline.run.given_up import GivenUp


@built
class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """A GivenUp whose error is told by its name."""

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
    heard_now: bool
    marks: bytes | None


_decode = msgspec.msgpack.Decoder(_Row).decode


class Verdicts:
    """Verdicts by the identity that they are about."""

    def __init__(self) -> None:
        self._db: sqlite3.Connection | None = None
        """None until there is one."""

    def keep(self, identity: Identity, why: GivenUp) -> None:
        """Where the system's folder for temporary files is full it is not kept: a copy is then asked for once more."""
        about, error = msgspec.structs.asdict(why) | {"error": None}, why.error
        if error is not None:
            about |= {"error": type(error).__name__, "message": error.message}
            about |= {"http_status": error.http_status, "code": error.code}
        told = msgspec.msgpack.encode(_Row(**about))
        with self._given_up_at_a_fault():
            if self._db is None:
                self._db = sqlite3.connect("", isolation_level=None)
                self._db.execute("PRAGMA journal_mode = OFF")
                self._db.execute("CREATE TABLE verdicts (key TEXT PRIMARY KEY, row BLOB) WITHOUT ROWID")
            self._db.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", (identity.key, told))

    def of(self, identity: Identity) -> GivenUp | None:
        """The verdict on it, or None."""
        found = None
        if self._db is not None:
            with self._given_up_at_a_fault():
                found = self._db.execute("SELECT row FROM verdicts WHERE key = ?", (identity.key,)).fetchone()
        return None if found is None else _told(_decode(found[0]))

    @contextmanager
    def _given_up_at_a_fault(self) -> Iterator[None]:
        """Without a journal a write that fails leaves the database damaged, so that all of it goes."""
        try:
            yield
        except sqlite3.Error:
            self.close()

    def close(self) -> None:
        """Forgets them all."""
        if self._db is not None:
            self._db.close()
            self._db = None


def _told(row: _Row) -> GivenUp:
    kind: type[errors.AttemptError] | None = None if row.error is None else getattr(errors, row.error)
    return GivenUp(
        error=None if kind is None else kind(row.message, http_status=row.http_status, code=row.code),
        known=row.known,
        identity=row.identity,
        clip=row.clip,
        was_sent=row.was_sent,
        partial=row.partial,
        answered_s=row.answered_s,
        heard_now=row.heard_now,
        marks=row.marks,
    )
