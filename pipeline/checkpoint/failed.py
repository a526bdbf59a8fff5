"""A row gets no transcript: why, and when it is tried again. What was paid for is remembered by what was sent, too.

Runs inside a transaction that the store opened.
"""

from __future__ import annotations

import sqlite3

import msgspec

from pipeline.checkpoint import known_failures
from pipeline.checkpoint.identity import Identity
from pipeline.checkpoint.known_failures import KnownFailure
from pipeline.checkpoint.schema import State
from pipeline.checkpoint.setbacks import after_failure
from pipeline.failures import by_name
from pipeline.model import Failure


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance was given up for this run. A transcript that it has stays."""

    n: int
    failure: Failure
    was_sent: bool = False
    """Requests were sent for its audio in this run, in vain."""
    identity: Identity | None = None
    """What was sent, or would have been: what is paid for is remembered by it."""
    marks: bytes | None = None
    """Of that audio."""
    is_known: bool = False
    """It had failed before, and nothing was sent: the row takes that failure over."""

    @property
    def is_paid(self) -> bool:
        """Whether it was paid for in vain, and is remembered."""
        paid = by_name(self.failure.error).is_of_the_audio or (self.failure.retryable and self.was_sent)
        return paid and self.identity is not None and not self.is_known


def apply_failed(db: sqlite3.Connection, event: Failed) -> None:
    [state] = db.execute("SELECT state FROM utterances WHERE n = ?", (event.n,)).fetchone()
    db.execute(
        "UPDATE utterances SET selected = 0, tries = tries + 1, tried = ?, sent = '' WHERE n = ?",
        (event.failure.run_id, event.n),
    )
    if state == State.DONE:
        # redone on request and failed: the transcript it has still answers to the row
        return
    known = None if event.identity is None else known_failures.find(db, event.identity)
    failure = event.failure
    if known is not None and event.is_known:
        setbacks, due = known.setbacks, known.due
    else:
        failure = _with_what_was_known(db, event, known, state)
        setbacks, due = after_failure(
            db,
            event.n,
            known,
            was_changed=state == State.CHANGED,
            passing=failure.retryable,
            was_sent=event.was_sent,
        )
        if event.identity is not None and event.is_paid:
            known_failures.note(db, event.identity, failure, event.marks, setbacks=setbacks, due=due)
    db.execute(
        "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)",
        (event.n, msgspec.msgpack.encode(failure), failure.error, failure.first_seen.timestamp()),
    )
    db.execute(
        "UPDATE utterances SET state = ?, setbacks = ?, due = ? WHERE n = ?",
        (State.FAILED_PASSING if failure.retryable else State.FAILED_ITEM, setbacks, due, event.n),
    )


def _with_what_was_known(db: sqlite3.Connection, event: Failed, known: KnownFailure | None, state: State) -> Failure:
    """The failure of a row, with what it and its audio failed of before."""
    failure = event.failure
    found = db.execute("SELECT row FROM failures WHERE n = ?", (event.n,)).fetchone()
    of_row = None if found is None else msgspec.msgpack.decode(found[0], type=Failure)
    of_audio = None if known is None else known.failure
    if (before := of_audio or of_row) is not None:
        failure = msgspec.structs.replace(failure, first_seen=before.first_seen)
    for final in (of_audio, of_row if state == State.FAILED_ITEM else None):
        if final is None or final.retryable or not failure.retryable:
            continue
        if by_name(final.error).outlasts(by_name(failure.error)):
            failure = _still(final, failure)
    return failure


def _still(before: Failure, now: Failure) -> Failure:
    """The final failure of before, after a try on request that could not tell otherwise."""
    return msgspec.structs.replace(
        now,
        error=before.error,
        message=before.message,
        http_status=before.http_status,
        code=before.code,
        retryable=False,
        clip=before.clip,
    )
