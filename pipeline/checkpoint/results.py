"""A row gets a transcript that is still to be published: also one with gaps, while the row itself has failed.

Runs inside a transaction that the store opened.
"""

from __future__ import annotations

import sqlite3

import msgspec

from pipeline.checkpoint import clips, known_failures
from pipeline.checkpoint.identity import PARTIAL, Identity
from pipeline.checkpoint.replaced import keep_replaced
from pipeline.checkpoint.schema import State
from pipeline.model import Transcript


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance has its transcript."""

    n: int
    transcript: Transcript
    marks: bytes | None = None
    """By which a beginning of its audio is known; see `audio.look`."""
    ref_words: int = 0
    ref_errors: int = 0
    failed_as: Identity | None = None
    """What its failure is remembered by, where it had one before."""


class Partly(msgspec.Struct, frozen=True, kw_only=True):
    """Some clips of an utterance that has failed were answered: the transcript of those, with its gaps flagged."""

    n: int
    transcript: Transcript
    answered_s: float
    """How much of its audio is in the transcript."""
    is_news: bool = True
    """One of its clips was answered in this run."""
    marks: bytes | None = None


def list_fresh(db: sqlite3.Connection) -> None:
    """Lists the results that no part holds a row of, beside which any number may wait to replace one."""
    db.execute("PRAGMA temp.journal_mode = MEMORY")  # else what is noted beside the checkpoint is written twice
    db.execute("CREATE TEMP TABLE fresh (n INTEGER PRIMARY KEY)")
    db.execute("INSERT INTO temp.fresh SELECT n FROM results JOIN utterances USING (n) WHERE part IS NULL")


def store_result(db: sqlite3.Connection, n: int, transcript: Transcript) -> None:
    """Has a transcript wait until it is published."""
    db.execute("INSERT OR IGNORE INTO temp.fresh SELECT n FROM utterances WHERE n = ? AND part IS NULL", (n,))
    db.execute(
        "INSERT INTO results (n, row) VALUES (?, ?) ON CONFLICT (n) DO UPDATE SET row = excluded.row",
        (n, msgspec.msgpack.encode(transcript)),
    )


def forget_failure(db: sqlite3.Connection, n: int) -> None:
    if db.execute("DELETE FROM failures WHERE n = ?", (n,)).rowcount:
        db.execute("UPDATE utterances SET error = NULL WHERE n = ?", (n,))


def apply_finished(db: sqlite3.Connection, event: Finished) -> None:
    row = event.transcript
    keep_replaced(db, event.n, Identity.of(row), is_copy=not row.attempts)
    store_result(db, event.n, row)
    forget_failure(db, event.n)
    clips.drop_needless(db, Identity.of(row))
    known_failures.forget(db, Identity.of(row))
    if event.failed_as is not None:
        known_failures.forget(db, event.failed_as)
    db.execute(
        """UPDATE utterances SET state = ?, selected = 0, gone = 0, other_path = 0, attempts = 0, refresh = 0,
               done_audio = ?, done_config = ?, duration_s = ?, suspect = ?, ref_words = ?, ref_errors = ?, marks = ?,
               tries = 0, tried = ?, sent = '', setbacks = 0, due = 0 WHERE n = ?""",
        (
            State.DONE,
            row.audio_hash,
            row.config_hash,
            row.duration_s,
            row.status == "suspect",
            event.ref_words,
            event.ref_errors,
            event.marks,
            row.run_id,
            event.n,
        ),
    )


def apply_partly(db: sqlite3.Connection, event: Partly) -> None:
    """Nothing is written that says no more than what is there. For as long as a row has a transcript with gaps, its
    `duration_s` is how much of the audio is in that."""
    row = event.transcript
    state, audio, config, answered_s = db.execute(
        "SELECT state, done_audio, done_config, duration_s FROM utterances WHERE n = ?", (event.n,)
    ).fetchone()
    same_audio, has_more = audio == row.audio_hash, config != PARTIAL or answered_s > event.answered_s
    if state == State.DONE or (same_audio and (has_more or (answered_s == event.answered_s and not event.is_news))):
        return
    keep_replaced(db, event.n, Identity.of(row), is_copy=False)
    store_result(db, event.n, row)
    db.execute(
        """UPDATE utterances SET refresh = 0, other_path = 0, done_audio = ?, done_config = ?, duration_s = ?,
               suspect = 0, marks = ?
           WHERE n = ?""",
        (row.audio_hash, PARTIAL, event.answered_s, event.marks, event.n),
    )
