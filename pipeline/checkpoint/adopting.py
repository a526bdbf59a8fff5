"""Takes in what a new checkpoint is made of: utterances, transcripts and failures that are known from elsewhere.

Runs inside a transaction that the store opened. Files count as never seen, so that the next run looks at each once;
those of failed utterances do not where it is known what they were, because a look would have them sent again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from pipeline.checkpoint.identity import is_partial
from pipeline.checkpoint.salvage import Known
from pipeline.checkpoint.schema import State
from pipeline.checkpoint.setbacks import MOST_LEFT_OUT, NEXT_RUN
from pipeline.checkpoint.tables import BAD_ROW
from pipeline.model import Failure, Transcript, Utterance

FAILED = (State.FAILED_PASSING, State.FAILED_ITEM)
NEVER_SEEN = "-"
_INSERT = """INSERT OR IGNORE INTO utterances
    (id, row, state, vanished, expected_s, size, mtime_ns, config_hash, attempts, tries, tried, setbacks, due, manifest)
    VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,(SELECT n FROM manifests WHERE n = ?))"""
_NO_TRIES = 0, "", 0, 0, None


def unknown(utterance: Utterance) -> Known:
    """An utterance of which no more is known than that there is work for it."""
    return Known(
        utterance=utterance,
        state=State.NEW,
        vanished=0,
        expected_s=0.0,
        size=None,
        mtime_ns=None,
        config_hash=NEVER_SEEN,
        attempts=0,
    )


def adopt_manifests(db: sqlite3.Connection, manifests: Iterable[tuple[int, str, bool]]) -> None:
    """The manifests of the old checkpoint, before the utterances that came from them."""
    db.executemany("INSERT OR IGNORE INTO manifests (n, name, by_path) VALUES (?, ?, ?)", manifests)


def adopt_known(db: sqlite3.Connection, rows: Iterable[Known]) -> None:
    """Utterances as the old checkpoint knew them, but none as done: that is for who has its transcript to say."""
    for known in rows:
        utterance, state = known.utterance, known.state
        if state in FAILED:
            seen = known.size, known.mtime_ns, known.config_hash
        else:
            state, seen = State.NEW if state == State.DONE else state, (None, None, NEVER_SEEN)
        encoded = msgspec.msgpack.encode(utterance)
        tries = known.attempts, known.tries, known.tried, known.setbacks, known.due, known.manifest
        db.execute(_INSERT, (utterance.id, encoded, state, known.vanished, known.expected_s, *seen, *tries))


def adopt_transcribed(db: sqlite3.Connection, rows: Sequence[Transcript]) -> list[tuple[int, bool]]:
    """Utterances that a transcript was found for, as it names them: (n, whether it had one already)."""
    return [_transcribed(db, row) for row in rows]


def adopt_move(db: sqlite3.Connection, was: str, now: str) -> None:
    """The row of the utterance `now` stands under the id `was` in its part, and is still to be published under its own.
    Where another utterance has that id by now, its own result takes the row's place."""
    found = db.execute(
        "SELECT n, part FROM utterances WHERE id = ? AND n NOT IN (SELECT n FROM results)", (was,)
    ).fetchone()
    if found is not None:
        old, part = found
        db.execute("DELETE FROM utterances WHERE n = ?", (old,))
        db.execute("UPDATE utterances SET part = ? WHERE id = ?", (part, now))
        db.execute("UPDATE results SET was = ? WHERE n = (SELECT n FROM utterances WHERE id = ?)", (was, now))


def adopt_failed(db: sqlite3.Connection, rows: Iterable[Known]) -> None:
    """Utterances that kept a transcript when they failed, with which they were taken in: they have failed as before."""
    for known in rows:
        found = db.execute(
            "SELECT n, row FROM utterances WHERE id = ? AND state = ?", (known.utterance.id, State.DONE)
        ).fetchone()
        if known.state not in FAILED or found is None:
            continue
        n, row = found
        db.execute(
            """UPDATE utterances SET row = ?, state = ?, size = ?, mtime_ns = ?, config_hash = ?, attempts = ?,
                   tries = ?, tried = ?, setbacks = ?, due = ?, other_path = ? WHERE n = ?""",
            (
                *(msgspec.msgpack.encode(known.utterance), known.state, known.size, known.mtime_ns, known.config_hash),
                *(known.attempts, known.tries, known.tried, known.setbacks, known.due),
                *(msgspec.msgpack.decode(row, type=Utterance).audio != known.utterance.audio, n),
            ),
        )


def adopt_failures(db: sqlite3.Connection, failures: Iterable[Failure]) -> None:
    """Why utterances have no transcript; the first that is told of an utterance stands, and none where it has one."""
    for failure in failures:
        state = State.FAILED_PASSING if failure.retryable else State.FAILED_ITEM
        utterance = Utterance(id=failure.id, audio=failure.audio, metadata=failure.metadata)
        config_hash = NEVER_SEEN if failure.audio else BAD_ROW
        db.execute(
            _INSERT,
            (
                *(failure.id, msgspec.msgpack.encode(utterance), state, 0, 0.0, None, None, config_hash),
                *(failure.attempts, *_NO_TRIES),
            ),
        )
        db.execute(
            "INSERT OR IGNORE INTO failures SELECT n, ?, ?, ? FROM utterances WHERE id = ? AND state <> ?",
            (
                msgspec.msgpack.encode(failure),
                failure.error,
                failure.first_seen.timestamp(),
                failure.id,
                State.DONE,
            ),
        )


def bound_waits(db: sqlite3.Connection) -> None:
    """The runs may not be counted as they were: nobody is left out of more of them than at most."""
    for table in ("utterances", "known_failures"):
        db.execute(f"UPDATE {table} SET due = min(due, {NEXT_RUN} + ?) WHERE due", (MOST_LEFT_OUT,))  # noqa: S608 fixed texts


def forget_unexplained(db: sqlite3.Connection) -> None:
    """Utterances that are said to have failed, while nobody can say why, are done anew."""
    db.execute("DELETE FROM utterances WHERE error IS NULL AND config_hash = ?", (BAD_ROW,))
    db.execute(
        """UPDATE utterances SET state = ?, size = NULL, mtime_ns = NULL, config_hash = ?
           WHERE error IS NULL AND state IN (?, ?)""",
        (State.NEW, NEVER_SEEN, *FAILED),
    )


def _transcribed(db: sqlite3.Connection, found: Transcript) -> tuple[int, bool]:
    utterance = Utterance(id=found.id, audio=found.audio, reference=found.reference, metadata=found.metadata)
    encoded = msgspec.msgpack.encode(utterance)
    added = db.execute(_INSERT, (utterance.id, encoded, State.NEW, 0, 0.0, None, None, NEVER_SEEN, 0, *_NO_TRIES))
    if added.rowcount:
        return int(added.lastrowid or 0), False
    n, row, state, had_one = db.execute(
        "SELECT n, row, state, done_audio IS NOT NULL FROM utterances WHERE id = ?", (utterance.id,)
    ).fetchone()
    before = msgspec.msgpack.decode(row, type=Utterance)
    if _told(before) == _told(utterance):
        encoded = row  # it says more than a transcript does: the row's language, its span
    db.execute("UPDATE utterances SET row = ? WHERE n = ?", (encoded, n))
    if not (is_partial(found) and state in FAILED):  # such a row has failed as before
        db.execute("UPDATE utterances SET size = NULL, mtime_ns = NULL, config_hash = ? WHERE n = ?", (NEVER_SEEN, n))
    return n, bool(had_one)


def _told(utterance: Utterance) -> tuple[object, ...]:
    """What a transcript says about its row; where that differs the transcript is written anew by the next run."""
    return utterance.audio, utterance.reference, utterance.metadata
