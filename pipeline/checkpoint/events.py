"""What happens to utterances, and what each event changes in the checkpoint; the transitions of `schema.py`'s picture.

Runs inside a transaction that the store opened; reads and writes nothing else.
"""

from __future__ import annotations

import sqlite3

import msgspec

from pipeline.checkpoint.schema import State
from pipeline.model import Attempt, ClipResult, Failure, Transcript


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A request is about to be sent."""

    attempt: Attempt
    """What the ledger says of it where its end is never seen."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A request was sent and came to an end."""

    attempt: Attempt
    is_noted: bool = True
    """Its start may have been noted: the note is taken away."""


class ClipAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """One of an utterance's several clips has its answer; `key` is the identity that the answer answers to."""

    n: int
    key: str
    result: ClipResult


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance has its transcript."""

    n: int
    transcript: Transcript
    ref_words: int = 0
    ref_errors: int = 0


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance was given up for this run."""

    n: int
    failure: Failure


class Reused(msgspec.Struct, frozen=True, kw_only=True):
    """A file only looked changed: its content and settings are what the transcript answers to."""

    n: int


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """A transcript that stands is to be written anew, with another reference or other metadata."""

    n: int
    transcript: Transcript
    ref_words: int = 0
    ref_errors: int = 0


Event = Refreshed | Started | Sent | ClipAnswered | Finished | Failed | Reused


def key_of(attempt: Attempt) -> tuple[str, int, int]:
    """Which of the requests in flight it is: they are all of one run."""
    return attempt.id, attempt.clip, attempt.attempt


def apply(db: sqlite3.Connection, event: Event) -> None:
    """Writes one event."""
    match event:
        case Started():
            db.execute(
                "INSERT INTO open_attempts VALUES (?, ?, ?, ?, ?)",
                (*key_of(event.attempt), event.attempt.credits, msgspec.msgpack.encode(event.attempt)),
            )
        case Sent():
            if event.is_noted:
                db.execute("DELETE FROM open_attempts WHERE id = ? AND clip = ? AND attempt = ?", key_of(event.attempt))
            _apply_sent(db, event.attempt)
        case ClipAnswered():
            db.execute(
                "INSERT OR REPLACE INTO clips VALUES (?, ?, ?, ?, ?)",
                (event.n, event.result.clip, event.key, msgspec.msgpack.encode(event.result), event.result.credits),
            )
        case Finished():
            _apply_finished(db, event)
        case Refreshed():
            _store_result(db, event.n, event.transcript)
            db.execute(
                "UPDATE utterances SET refresh = 0, ref_words = ?, ref_errors = ? WHERE n = ?",
                (event.ref_words, event.ref_errors, event.n),
            )
        case Failed():
            _apply_failed(db, event)
        case Reused():
            db.execute("UPDATE utterances SET state = ?, selected = 0 WHERE n = ?", (State.DONE, event.n))


def _apply_sent(db: sqlite3.Connection, attempt: Attempt) -> None:
    db.execute("INSERT INTO attempts (row) VALUES (?)", (msgspec.msgpack.encode(attempt),))
    db.execute("UPDATE utterances SET attempts = attempts + 1 WHERE id = ?", (attempt.id,))
    if attempt.credits:
        db.execute(
            """INSERT INTO facts VALUES ('credits', ?1)
               ON CONFLICT (key) DO UPDATE SET value = value + excluded.value""",
            (attempt.credits,),
        )


def _store_result(db: sqlite3.Connection, n: int, transcript: Transcript) -> None:
    db.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", (n, msgspec.msgpack.encode(transcript)))


def _apply_finished(db: sqlite3.Connection, event: Finished) -> None:
    row = event.transcript
    _store_result(db, event.n, row)
    db.execute("DELETE FROM failures WHERE n = ?", (event.n,))
    db.execute("DELETE FROM clips WHERE n = ? OR key = ?", (event.n, f"{row.audio_hash}:{row.config_hash}"))
    db.execute(
        """UPDATE utterances SET state = ?, selected = 0, attempts = 0, refresh = 0, done_audio = ?, done_config = ?,
               duration_s = ?, suspect = ?, ref_words = ?, ref_errors = ? WHERE n = ?""",
        (
            State.DONE,
            row.audio_hash,
            row.config_hash,
            row.duration_s,
            row.status == "suspect",
            event.ref_words,
            event.ref_errors,
            event.n,
        ),
    )


def _apply_failed(db: sqlite3.Connection, event: Failed) -> None:
    [state] = db.execute("SELECT state FROM utterances WHERE n = ?", (event.n,)).fetchone()
    if state == State.DONE:
        # redone on request and failed: the transcript it has still answers to the row
        db.execute("UPDATE utterances SET selected = 0 WHERE n = ?", (event.n,))
        return
    failure = event.failure
    known = db.execute("SELECT row FROM failures WHERE n = ?", (event.n,)).fetchone()
    if known is not None:
        before = msgspec.msgpack.decode(known[0], type=Failure)
        failure = msgspec.structs.replace(failure, first_seen=before.first_seen)
    db.execute(
        "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)",
        (event.n, msgspec.msgpack.encode(failure), failure.error, failure.first_seen.timestamp()),
    )
    # a result without a row takes the stale transcript back at the next publishing
    db.execute(
        """INSERT OR REPLACE INTO results SELECT n, NULL FROM utterances
           WHERE n = ?1 AND (part IS NOT NULL OR n IN (SELECT n FROM results))""",
        (event.n,),
    )
    db.execute(
        """UPDATE utterances SET state = ?, selected = 0, done_audio = NULL, done_config = NULL, duration_s = NULL,
               suspect = 0, refresh = 0, ref_words = 0, ref_errors = 0 WHERE n = ?""",
        (State.FAILED_PASSING if failure.retryable else State.FAILED_ITEM, event.n),
    )
