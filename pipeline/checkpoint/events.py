"""What happens to utterances, and what each event changes in the checkpoint: the transitions of `schema.py`'s picture.

Functions run inside a transaction that the checkpoint opened; they read and write nothing else.
"""

from __future__ import annotations

import sqlite3

import msgspec

from pipeline.checkpoint.facts import add_cost
from pipeline.checkpoint.failing import Failed, apply_failed, forget_known
from pipeline.checkpoint.identity import PARTIAL, Identity
from pipeline.checkpoint.lookup import clips_changed, drop_needless
from pipeline.checkpoint.replaced import keep_replaced
from pipeline.checkpoint.schema import State
from pipeline.model import Attempt, ClipResult, Transcript


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
    """One of an utterance's several clips has its answer; `key` is what the answer answers to beside its samples."""

    n: int
    key: str
    config_hash: str
    """Of the utterance."""
    result: ClipResult


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance has its transcript."""

    n: int
    transcript: Transcript
    marks: bytes | None = None
    """By which a beginning of its audio is known; see `audio.probe`."""
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


class TakenUp(msgspec.Struct, frozen=True, kw_only=True):
    """A run has taken an utterance up, and has no outcome to tell: that counts as a try, so that others come first."""

    n: int
    run_id: str


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance with a transcript whose recording is not there: there is nothing to be done for it."""

    n: int


class Reused(msgspec.Struct, frozen=True, kw_only=True):
    """A file or its settings only looked changed: the transcript that is there answers to them."""

    n: int
    marks: bytes | None = None


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A recording was renamed: the row of its old name takes the id, and everything else, of the row of its new one."""

    n: int
    """The row of the new name, which goes."""
    old: int
    """The row of the old name, which stays under the new id."""
    transcript: Transcript
    """The transcript with the new id."""
    ref_words: int = 0
    ref_errors: int = 0


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """Something is so from now on, in the same commit as what showed it."""

    fact: str


Event = Started | Sent | ClipAnswered | Finished | Failed | Partly | TakenUp | Missing | Reused | Moved | Noted


_SET_DONE = f"""state = {State.DONE:d}, selected = 0, gone = 0, other_path = 0, tries = 0, sent = '', setbacks = 0,
    due = 0"""
"""What a row becomes whose transcript answers to it."""


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
            row, result = msgspec.msgpack.encode(event.result), event.result
            db.execute(
                "INSERT OR REPLACE INTO clips VALUES (?, ?, ?, ?, ?, ?)",
                (event.key, result.key, event.n, row, result.credits, event.config_hash),
            )
            clips_changed(db)
        case Finished():
            _apply_finished(db, event)
        case Failed():
            apply_failed(db, event)
        case TakenUp():
            db.execute("UPDATE utterances SET sent = ? WHERE n = ?", (event.run_id, event.n))
        case Partly():
            _apply_partly(db, event)
        case Missing():
            db.execute("UPDATE utterances SET gone = 1, selected = 0 WHERE n = ?", (event.n,))
        case Reused():
            db.execute("DELETE FROM failures WHERE n = ?", (event.n,))
            db.execute(
                f"UPDATE utterances SET {_SET_DONE}, marks = coalesce(?, marks) WHERE n = ?",  # noqa: S608 fixed texts
                (event.marks, event.n),
            )
        case Moved():
            _apply_moved(db, event)
        case Noted():
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, 1)", (event.fact,))


def _apply_sent(db: sqlite3.Connection, attempt: Attempt) -> None:
    db.execute("INSERT INTO attempts (row) VALUES (?)", (msgspec.msgpack.encode(attempt),))
    db.execute("UPDATE utterances SET attempts = attempts + 1, sent = ? WHERE id = ?", (attempt.run_id, attempt.id))
    add_cost(db, attempt)


def _apply_moved(db: sqlite3.Connection, event: Moved) -> None:
    columns = "id, row, expected_s, size, version, config_hash, manifest"
    new = db.execute(f"SELECT {columns} FROM utterances WHERE n = ?", (event.n,)).fetchone()  # noqa: S608 fixed texts
    [was, part] = db.execute("SELECT id, part FROM utterances WHERE n = ?", (event.old,)).fetchone()
    db.execute("UPDATE clips SET n = ? WHERE n = ?", (event.old, event.n))
    drop_needless(db, Identity.of(event.transcript))
    for table in ("failures", "utterances"):
        db.execute(f"DELETE FROM {table} WHERE n = ?", (event.n,))  # noqa: S608 fixed texts
    db.execute("DELETE FROM failures WHERE n = ?", (event.old,))
    db.execute(
        f"""UPDATE utterances SET {_SET_DONE}, ({columns}) = (?, ?, ?, ?, ?, ?, ?), vanished = 0, refresh = 0,
            ref_words = ?, ref_errors = ? WHERE n = ?""",  # noqa: S608 fixed texts
        (*new, event.ref_words, event.ref_errors, event.old),
    )
    db.execute(  # by itself: its index is written only where it is another value
        "UPDATE utterances SET done_config = ?1 WHERE n = ?2 AND done_config IS NOT ?1",
        (event.transcript.config_hash, event.old),
    )
    store_result(db, event.old, event.transcript)
    if part is not None:  # of several moves before the next publishing the first one names what the part holds
        db.execute("UPDATE results SET was = coalesce(was, ?) WHERE n = ?", (was, event.old))


def store_result(db: sqlite3.Connection, n: int, transcript: Transcript) -> None:
    """Has a transcript wait until it is published."""
    db.execute("INSERT OR IGNORE INTO temp.unpublished SELECT n FROM utterances WHERE n = ? AND part IS NULL", (n,))
    db.execute(
        "INSERT INTO results (n, row) VALUES (?, ?) ON CONFLICT (n) DO UPDATE SET row = excluded.row",
        (n, msgspec.msgpack.encode(transcript)),
    )


def _apply_finished(db: sqlite3.Connection, event: Finished) -> None:
    row = event.transcript
    keep_replaced(db, event.n, Identity.of(row), is_copy=not row.attempts)
    store_result(db, event.n, row)
    db.execute("DELETE FROM failures WHERE n = ?", (event.n,))
    drop_needless(db, Identity.of(row))
    forget_known(db, Identity.of(row))
    if event.failed_as is not None:
        forget_known(db, event.failed_as)
    db.execute(
        f"""UPDATE utterances SET {_SET_DONE}, attempts = 0, refresh = 0, done_audio = ?, done_config = ?,
               duration_s = ?, suspect = ?, ref_words = ?, ref_errors = ?, marks = ?, tried = ?
            WHERE n = ?""",  # noqa: S608 fixed texts
        (
            *(row.audio_hash, row.config_hash, row.duration_s, row.status == "suspect"),
            *(event.ref_words, event.ref_errors, event.marks, row.run_id, event.n),
        ),
    )


def _apply_partly(db: sqlite3.Connection, event: Partly) -> None:
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
