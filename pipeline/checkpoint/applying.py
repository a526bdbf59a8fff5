"""What each event of a run changes in the checkpoint: the transitions in the diagram of `schema`.

Functions run inside a transaction that the caller opened.
"""

from __future__ import annotations

import sqlite3

from pipeline.checkpoint.codec import encode
from pipeline.checkpoint.events import (
    ClipAnswered,
    Event,
    Finished,
    Heard,
    Missing,
    Moved,
    Noted,
    Partly,
    Reused,
    Sent,
    Started,
    Tried,
)
from pipeline.checkpoint.facts import add_cost
from pipeline.checkpoint.failing import Failed, apply_failed, forget_known
from pipeline.checkpoint.identity import PARTIAL, Identity
from pipeline.checkpoint.lookup import clips_changed, drop_needless
from pipeline.checkpoint.replaced import keep_replaced
from pipeline.checkpoint.schema import VERDICT, State
from pipeline.model import Attempt, Transcript

_SET_DONE = f"""state = {State.DONE:d}, selected = 0, gone = 0, other_path = 0, tries = 0, sent = '', setbacks = 0,
    due = 0"""
"""The columns of a row whose transcript answers to it."""


def key_of(attempt: Attempt) -> tuple[str, int, int]:
    """The primary key of `open_attempts`; all requests in flight are of one run."""
    return attempt.id, attempt.clip, attempt.attempt


def apply(db: sqlite3.Connection, event: Event) -> None:
    """Writes one event."""
    match event:
        case Started():
            db.execute(
                "INSERT INTO open_attempts VALUES (?, ?, ?, ?, ?)",
                (*key_of(event.attempt), event.attempt.credits, encode(event.attempt)),
            )
        case Sent():
            if event.is_noted:
                db.execute("DELETE FROM open_attempts WHERE id = ? AND clip = ? AND attempt = ?", key_of(event.attempt))
            run_id, id_ = event.attempt.run_id, event.attempt.id
            db.execute("INSERT INTO attempts (row) VALUES (?)", (encode(event.attempt),))
            db.execute("UPDATE utterances SET attempts = attempts + 1, sent = ? WHERE id = ?", (run_id, id_))
            add_cost(db, event.attempt)
        case ClipAnswered():
            row, result = encode(event.result), event.result
            db.execute(
                "INSERT OR REPLACE INTO clips VALUES (?, ?, ?, ?, ?, ?)",
                (event.key, result.key, event.n, row, result.credits, event.config_hash),
            )
            clips_changed(db)
        case Finished():
            _apply_finished(db, event)
        case Failed():
            apply_failed(db, event)
        case Tried():
            db.execute("UPDATE utterances SET sent = ? WHERE n = ?", (event.run_id, event.n))
        case Partly():
            _apply_partly(db, event)
        case Missing():
            db.execute("UPDATE utterances SET gone = 1, selected = 0 WHERE n = ?", (event.n,))
        case Reused():
            db.execute("DELETE FROM failures WHERE n = ?", (event.n,))
            db.execute(
                f"UPDATE utterances SET {_SET_DONE}, marks = coalesce(?, marks) WHERE n = ?",  # noqa: S608 fixed texts
                (event.prefix_hashes, event.n),
            )
        case Moved():
            _apply_moved(db, event)
        case Noted():
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (event.fact, event.value))
        case Heard():
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (VERDICT, event.verdict.written()))


def _apply_moved(db: sqlite3.Connection, event: Moved) -> None:
    columns = "id, row, expected_s, size, version, config_hash, manifest, remote_span"
    new = db.execute(f"SELECT {columns} FROM utterances WHERE n = ?", (event.n,)).fetchone()  # noqa: S608 fixed texts
    [was, part] = db.execute("SELECT id, part FROM utterances WHERE n = ?", (event.old,)).fetchone()
    db.execute("UPDATE clips SET n = ? WHERE n = ?", (event.old, event.n))
    drop_needless(db, Identity.of(event.transcript))
    for table in ("failures", "utterances"):
        db.execute(f"DELETE FROM {table} WHERE n = ?", (event.n,))  # noqa: S608 fixed texts
    db.execute("DELETE FROM failures WHERE n = ?", (event.old,))
    db.execute(
        f"""UPDATE utterances SET {_SET_DONE}, ({columns}) = (?, ?, ?, ?, ?, ?, ?, ?), vanished = 0, removed = NULL,
            refresh = 0, ref_words = ?, ref_errors = ? WHERE n = ?""",  # noqa: S608 fixed texts
        (*new, event.ref_words, event.ref_errors, event.old),
    )
    db.execute(  # in a statement of its own: its index is written only where the value differs
        "UPDATE utterances SET done_config = ?1 WHERE n = ?2 AND done_config IS NOT ?1",
        (event.transcript.config_hash, event.old),
    )
    store_result(db, event.old, event.transcript)
    if part is not None:  # after several moves since the last publishing, the part has the row under the first id
        db.execute("UPDATE results SET was = coalesce(was, ?) WHERE n = ?", (was, event.old))


def store_result(db: sqlite3.Connection, n: int, transcript: Transcript) -> None:
    """Stores a transcript until it is published."""
    db.execute("INSERT OR IGNORE INTO temp.unpublished SELECT n FROM utterances WHERE n = ? AND part IS NULL", (n,))
    db.execute(
        "INSERT INTO results (n, row) VALUES (?, ?) ON CONFLICT (n) DO UPDATE SET row = excluded.row",
        (n, encode(transcript)),
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
            *(event.ref_words, event.ref_errors, event.prefix_hashes, row.run_id, event.n),
        ),
    )


def _apply_partly(db: sqlite3.Connection, event: Partly) -> None:
    """Writes nothing where the stored transcript has as much of the audio. While a row has a transcript with gaps, its
    `duration_s` is how much of the audio that covers."""
    row = event.transcript
    state, audio, config, answered_s = db.execute(
        "SELECT state, done_audio, done_config, duration_s FROM utterances WHERE n = ?", (event.n,)
    ).fetchone()
    same_audio, has_more = audio == row.audio_hash, config != PARTIAL or answered_s > event.answered_s
    if state == State.DONE or (
        same_audio and (has_more or (answered_s == event.answered_s and not event.answered_now))
    ):
        return
    keep_replaced(db, event.n, Identity.of(row), is_copy=False)
    store_result(db, event.n, row)
    db.execute(
        """UPDATE utterances SET refresh = 0, other_path = 0, done_audio = ?, done_config = ?, duration_s = ?,
               suspect = 0, marks = ?
           WHERE n = ?""",
        (row.audio_hash, PARTIAL, event.answered_s, event.prefix_hashes, event.n),
    )
