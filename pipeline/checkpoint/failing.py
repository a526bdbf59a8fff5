"""Failed rows: why, and when they are tried again. Failures that cost requests are also stored by identity.

Each run that sends requests for a row and fails is a setback. After the first one the next run tries the row again;
then it is postponed for 1, 3, 7 and at most 15 runs: a backoff counted in runs, so that a nightly job counts nights and
a run by hand need not wait. `--only failed` tries it at once. The failure is also stored by audio and settings: a row
whose recording failed under another id, or was only touched, takes over that failure and is not sent again.

Functions run inside a transaction that the caller opened.
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
"""How many known failures are kept, the newest."""
MOST_LEFT_OUT = 15
"""How many runs in a row a row is postponed for at most."""
NEXT_RUN = "(SELECT count(*) + 1 FROM runs)"
"""The number of the run being planned, whose row in `runs` is inserted when it begins."""
POSTPONED_NOW = f"state = {State.FAILED_PASSING:d} AND due > (SELECT count(*) FROM runs)"  # noqa: S608 fixed texts
"""Failed rows that the current run has postponed, and …"""
POSTPONED = f"state = {State.FAILED_PASSING:d} AND due > {NEXT_RUN}"
"""… those that the next one will."""


def state_after(failure: Failure) -> State:
    """The state of a row after a failure."""
    return State.FAILED_PASSING if failure.retryable else State.FAILED_ITEM


def stays_final(before: str, now: str) -> bool:
    """Whether a final failure of class `before` stays in errors.* after a requested try failed with `now`, which may
    pass.

    A refusal of the service does; a fault of the file does not, once its audio could be sent.
    """
    return by_name(before).outlasts(by_name(now))


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance was given up for this run. A transcript that it has stays."""

    n: int
    failure: Failure
    was_sent: bool = False
    """Requests were sent for its audio in this run."""
    identity: Identity | None = None
    """Of what was sent, or would have been."""
    prefix_hashes: bytes | None = None
    """Of that content."""
    is_known: bool = False
    """Nothing was sent: the row takes over the known failure of this identity."""

    @property
    def is_remembered(self) -> bool:
        """Whether requests were spent on it, so that it becomes a known failure."""
        spent = by_name(self.failure.error).is_of_the_audio or (self.failure.retryable and self.was_sent)
        return spent and self.identity is not None and not self.is_known


class KnownFailure(msgspec.Struct, frozen=True, kw_only=True):
    """How an audio failed under its settings, for any row."""

    identity: Identity
    failure: Failure
    """Of the row that it was sent for; its `attempts` are the requests of all runs."""
    setbacks: int = 0
    due: int = 0
    """As those of a row."""

    def prevents(self, run: int) -> bool:
        """Whether the run of this number does not send the audio, unless it is asked for."""
        return not self.failure.retryable or self.due > run


def known_failure(db: sqlite3.Connection, identity: Identity) -> KnownFailure | None:
    """The known failure of an identity."""
    found = db.execute("SELECT row, setbacks, due FROM known_failures WHERE audio = ? AND config = ?", identity.hashes)
    for row, setbacks, due in found:
        return KnownFailure(identity=identity, failure=decode_failure(row), setbacks=setbacks, due=due)
    return None


def remember(db: sqlite3.Connection, known: KnownFailure, prefix_hashes: bytes | None) -> None:
    """Stores a known failure, and deletes the oldest where there are too many."""
    number = db.execute(
        "INSERT OR REPLACE INTO known_failures (audio, config, marks, setbacks, due, row) VALUES (?, ?, ?, ?, ?, ?)",
        (*known.identity.hashes, prefix_hashes, known.setbacks, known.due, encode(known.failure)),
    ).lastrowid
    db.execute("DELETE FROM known_failures WHERE number <= ?", ((number or 0) - MOST_KNOWN,))


def forget_known(db: sqlite3.Connection, identity: Identity) -> None:
    """Deletes the known failure of an identity, which has a transcript now."""
    db.execute("DELETE FROM known_failures WHERE audio = ? AND config = ?", identity.hashes)


def apply_failed(db: sqlite3.Connection, event: Failed) -> None:
    [state] = db.execute("SELECT state FROM utterances WHERE n = ?", (event.n,)).fetchone()
    db.execute(
        "UPDATE utterances SET selected = 0, tries = tries + 1, tried = ?, sent = '' WHERE n = ?",
        (event.failure.run_id, event.n),
    )
    if state == State.DONE:
        # a requested try failed: the transcript it has still answers to the row
        return
    known = None if event.identity is None else known_failure(db, event.identity)
    failure = event.failure
    if known is not None and event.is_known:
        setbacks, due = known.setbacks, known.due
    else:
        failure = _merged(db, event, known, state)
        setbacks, due = _next_try(db, event, known, was_changed=state == State.CHANGED, passing=failure.retryable)
        if event.identity is not None and event.is_remembered:
            paid = KnownFailure(identity=event.identity, failure=failure, setbacks=setbacks, due=due)
            remember(db, paid, event.prefix_hashes)
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
    """The setbacks of a row that failed in the current run, and the number of the run that tries it again.

    `known` is how its audio failed before, under any id; `was_changed`: the row has other content or settings than
    when it failed before; `passing`: this failure may pass.
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
            return known.setbacks, known.due  # a duplicate failed in this run: one setback for both
        setbacks = max(setbacks, known.setbacks)
    return setbacks + 1, run + _distance(setbacks + 1)


def _distance(setbacks: int) -> int:
    """Runs from one try to the next."""
    return min(1 << (setbacks - 1), MOST_LEFT_OUT + 1)


def _merged(db: sqlite3.Connection, event: Failed, known: KnownFailure | None, state: State) -> Failure:
    """The failure of a row, merged with the earlier ones of the row and its audio."""
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
