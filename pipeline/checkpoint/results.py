"""A row gets a transcript that is still to be published: also one with gaps, while the row itself has failed.

Runs inside a transaction that the store opened.
"""

from __future__ import annotations

import sqlite3

import msgspec

from pipeline.checkpoint.identity import PARTIAL, Identity
from pipeline.checkpoint.replaced import keep_replaced
from pipeline.checkpoint.schema import State
from pipeline.model import Transcript


class Partly(msgspec.Struct, frozen=True, kw_only=True):
    """Some clips of an utterance that has failed were answered: the transcript of those, with its gaps flagged."""

    n: int
    transcript: Transcript
    answered_s: float
    """How much of its audio is in the transcript."""
    is_news: bool = True
    """One of its clips was answered in this run."""
    marks: bytes | None = None


def store_result(db: sqlite3.Connection, n: int, transcript: Transcript) -> None:
    db.execute(
        "INSERT INTO results (n, row) VALUES (?, ?) ON CONFLICT (n) DO UPDATE SET row = excluded.row",
        (n, msgspec.msgpack.encode(transcript)),
    )


def apply_partly(db: sqlite3.Connection, event: Partly) -> None:
    """Nothing is written that says no more than what is there. For as long as a row has a transcript with gaps, its
    `duration_s` is how much of the audio is in that."""
    row = event.transcript
    state, audio, config, answered_s = db.execute(
        "SELECT state, done_audio, done_config, duration_s FROM utterances WHERE n = ?", (event.n,)
    ).fetchone()
    if state == State.DONE or (
        audio == row.audio_hash and (config != PARTIAL or (answered_s == event.answered_s and not event.is_news))
    ):
        return
    keep_replaced(db, event.n, Identity.of(row))
    store_result(db, event.n, row)
    db.execute(
        """UPDATE utterances SET refresh = 0, done_audio = ?, done_config = ?, duration_s = ?, suspect = 0, marks = ?
           WHERE n = ?""",
        (row.audio_hash, PARTIAL, event.answered_s, event.marks, event.n),
    )
