"""A row gets no transcript: why, and when it is tried again. What was paid for in vain is remembered by what was sent.

Each run that sends requests for a row in vain is a setback: the next run takes it after the first, then it is left out
of 1, 3, 7 and at last 15 runs at a time. Counted in runs, so that a nightly job counts nights, and no clock holds up
who runs it again by hand. `--only failed` takes it at once. The failure is remembered by its audio and settings, too: a
row whose recording has failed under another id, or was only touched, takes it over instead of paying for it again.

Functions run inside a transaction that the checkpoint opened.
"""

from __future__ import annotations

import sqlite3

import msgspec

from pipeline.checkpoint.codec import decode_failure, encode
from pipeline.checkpoint.identity import Identity
from pipeline.checkpoint.schema import State
from pipeline.failures import by_name
from pipeline.model import Failure

MOST_KNOWN = 100_000
"""So many failures are remembered by what was sent, the newest."""
MOST_LEFT_OUT = 15
"""Runs at a time."""
NEXT_RUN = "(SELECT count(*) + 1 FROM runs)"
"""The number of the run that is planned: its row comes when it begins."""
POSTPONED_NOW = f"state = {State.FAILED_PASSING:d} AND due > (SELECT count(*) FROM runs)"  # noqa: S608 fixed texts
"""Failed rows that the run that is going on has left out, and …"""
POSTPONED = f"state = {State.FAILED_PASSING:d} AND due > {NEXT_RUN}"
"""… those that the next one leaves out."""


def state_after(failure: Failure) -> State:
    """What a row is after a failure."""
    return State.FAILED_PASSING if failure.retryable else State.FAILED_ITEM


def stays_final(before: str, now: str) -> bool:
    """Whether a final failure of class `before` holds after a try on request that failed in a way that may pass, `now`.

    The service's refusal does; what was wrong with a file does not, once its audio could be sent.
    """
    return by_name(before).outlasts(by_name(now))


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


class KnownFailure(msgspec.Struct, frozen=True, kw_only=True):
    """How an audio failed under its settings, whichever rows it was sent for."""

    identity: Identity
    failure: Failure
    """Of the row that it was sent for; its `attempts` are the requests of all runs."""
    setbacks: int = 0
    due: int = 0
    """As those of a row."""

    def holds(self, run: int) -> bool:
        """Whether the run of this number sends nothing for it, unless it is asked for."""
        return not self.failure.retryable or self.due > run


def known_failure(db: sqlite3.Connection, identity: Identity) -> KnownFailure | None:
    """The failure of this very audio and these settings."""
    found = db.execute("SELECT row, setbacks, due FROM known_failures WHERE audio = ? AND config = ?", identity.hashes)
    for row, setbacks, due in found:
        return KnownFailure(identity=identity, failure=decode_failure(row), setbacks=setbacks, due=due)
    return None


def remember(db: sqlite3.Connection, known: KnownFailure, marks: bytes | None) -> None:
    """Remembers a failure, and forgets the oldest where there are too many."""
    number = db.execute(
        "INSERT OR REPLACE INTO known_failures (audio, config, marks, setbacks, due, row) VALUES (?, ?, ?, ?, ?, ?)",
        (*known.identity.hashes, marks, known.setbacks, known.due, encode(known.failure)),
    ).lastrowid
    db.execute("DELETE FROM known_failures WHERE number <= ?", ((number or 0) - MOST_KNOWN,))


def forget_known(db: sqlite3.Connection, identity: Identity) -> None:
    """It has a transcript."""
    db.execute("DELETE FROM known_failures WHERE audio = ? AND config = ?", identity.hashes)


def apply_failed(db: sqlite3.Connection, event: Failed) -> None:
    [state] = db.execute("SELECT state FROM utterances WHERE n = ?", (event.n,)).fetchone()
    db.execute(
        "UPDATE utterances SET selected = 0, tries = tries + 1, tried = ?, sent = '' WHERE n = ?",
        (event.failure.run_id, event.n),
    )
    if state == State.DONE:
        # redone on request and failed: the transcript it has still answers to the row
        return
    known = None if event.identity is None else known_failure(db, event.identity)
    failure = event.failure
    if known is not None and event.is_known:
        setbacks, due = known.setbacks, known.due
    else:
        failure = _with_what_was_known(db, event, known, state)
        setbacks, due = _next_try(db, event, known, was_changed=state == State.CHANGED, passing=failure.retryable)
        if event.identity is not None and event.is_paid:
            paid = KnownFailure(identity=event.identity, failure=failure, setbacks=setbacks, due=due)
            remember(db, paid, event.marks)
    db.execute(
        "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)",
        (event.n, encode(failure), failure.error, failure.first_seen.timestamp()),
    )
    db.execute(
        "UPDATE utterances SET state = ?, setbacks = ?, due = ? WHERE n = ?",
        (state_after(failure), setbacks, due, event.n),
    )


def _next_try(
    db: sqlite3.Connection, event: Failed, known: KnownFailure | None, *, was_changed: bool, passing: bool
) -> tuple[int, int]:
    """The setbacks of a row that has failed in the run that is going on, and the run from which on it is tried again.

    `known` is how its very audio failed before, under whatever id; `was_changed`: as another content, or with other
    settings, than when the row failed before.
    """
    setbacks, due, run = db.execute(
        "SELECT setbacks, due, (SELECT count(*) FROM runs) FROM utterances WHERE n = ?", (event.n,)
    ).fetchone()
    if was_changed or not passing:
        setbacks = due = 0
    if not (passing and event.was_sent):
        return setbacks, due
    if known is not None:
        if known.due and known.due == run + _distance(known.setbacks):
            return known.setbacks, known.due  # a duplicate has failed in this run: for both that is one setback
        setbacks = max(setbacks, known.setbacks)
    return setbacks + 1, run + _distance(setbacks + 1)


def _distance(setbacks: int) -> int:
    """Of the next try from the last one, in runs."""
    return min(1 << (setbacks - 1), MOST_LEFT_OUT + 1)


def _with_what_was_known(db: sqlite3.Connection, event: Failed, known: KnownFailure | None, state: State) -> Failure:
    """The failure of a row, with what it and its audio failed of before."""
    failure = event.failure
    found = db.execute("SELECT row FROM failures WHERE n = ?", (event.n,)).fetchone()
    of_row = None if found is None else decode_failure(found[0])
    of_audio = None if known is None else known.failure
    if (before := of_audio or of_row) is not None:
        failure = msgspec.structs.replace(failure, first_seen=before.first_seen)
    for final in (of_audio, of_row if state == State.FAILED_ITEM else None):
        if final is not None and not final.retryable and failure.retryable and stays_final(final.error, failure.error):
            what = {name: getattr(final, name) for name in ("error", "message", "http_status", "code", "clip")}
            failure = msgspec.structs.replace(failure, retryable=False, **what)
    return failure
