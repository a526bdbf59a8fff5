"""Failures that were paid for, by the audio and settings that were sent: a row whose recording has failed under another
id, or was only touched, takes its failure over instead of paying for it again.

Runs inside a transaction that the store opened.
"""

from __future__ import annotations

import sqlite3

import msgspec

from pipeline.checkpoint.identity import Identity
from pipeline.model import Failure

MOST = 100_000
"""So many are kept, the newest."""
_decode = msgspec.msgpack.Decoder(Failure).decode


class KnownFailure(msgspec.Struct, frozen=True, kw_only=True):
    """How an audio failed under its settings, whichever rows it was sent for."""

    identity: Identity
    failure: Failure
    """As it was told of the row that it was sent for; its `attempts` are the requests of all runs."""
    setbacks: int = 0
    due: int = 0
    """As those of a row."""

    def holds(self, run: int) -> bool:
        """Whether the run of this number sends nothing for it, unless it is asked for."""
        return not self.failure.retryable or self.due > run


def find(db: sqlite3.Connection, identity: Identity) -> KnownFailure | None:
    """The failure of this very audio and these settings."""
    found = db.execute(
        "SELECT row, setbacks, due FROM known_failures WHERE audio = ? AND config = ?",
        (identity.audio_hash, identity.config_hash),
    ).fetchone()
    if found is None:
        return None
    row, setbacks, due = found
    return KnownFailure(identity=identity, failure=_decode(row), setbacks=setbacks, due=due)


def note(
    db: sqlite3.Connection, identity: Identity, failure: Failure, marks: bytes | None, *, setbacks: int, due: int
) -> None:
    """Remembers a failure, and forgets the oldest where there are too many."""
    number = db.execute(
        "INSERT OR REPLACE INTO known_failures (audio, config, marks, setbacks, due, row) VALUES (?, ?, ?, ?, ?, ?)",
        (identity.audio_hash, identity.config_hash, marks, setbacks, due, msgspec.msgpack.encode(failure)),
    ).lastrowid
    db.execute("DELETE FROM known_failures WHERE number <= ?", ((number or 0) - MOST,))


def forget(db: sqlite3.Connection, identity: Identity) -> None:
    """It has a transcript."""
    db.execute("DELETE FROM known_failures WHERE audio = ? AND config = ?", (identity.audio_hash, identity.config_hash))
