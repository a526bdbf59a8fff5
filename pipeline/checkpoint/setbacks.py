"""When an utterance is tried again that failed in a way that may pass, though requests were sent for it.

Each run that sends for it in vain is a setback: the next run takes it after the first, then it is left out of 1, 3, 7
and at last 15 runs at a time, under whatever id it comes (see `known_failures`). Counted in runs, so that a nightly
job counts nights, and no clock holds up who runs it again by hand. `--only failed` takes it at once. Runs inside a
transaction that the store opened.
"""

from __future__ import annotations

import sqlite3

from pipeline.checkpoint.known_failures import KnownFailure
from pipeline.checkpoint.schema import State

MOST_LEFT_OUT = 15
"""Runs at a time."""
NEXT_RUN = "(SELECT count(*) + 1 FROM runs)"
"""The number of the run that is planned: its row comes when it begins."""
POSTPONED = f"state = {State.FAILED_PASSING:d} AND due > {NEXT_RUN}"


def after_failure(
    db: sqlite3.Connection, n: int, known: KnownFailure | None, *, was_changed: bool, passing: bool, was_sent: bool
) -> tuple[int, int]:
    """The setbacks of a row that has failed in the run that is going on, and the run from which on it is tried again.

    `known` is how its very audio failed before, under whatever id; `was_changed`: as another content, or with other
    settings, than when the row failed before.
    """
    setbacks, due, run = db.execute(
        "SELECT setbacks, due, (SELECT count(*) FROM runs) FROM utterances WHERE n = ?", (n,)
    ).fetchone()
    if was_changed or not passing:
        setbacks = due = 0
    if not (passing and was_sent):
        return setbacks, due
    if known is not None:
        if known.due and known.due == run + _distance(known.setbacks):
            return known.setbacks, known.due  # a copy has failed in this run: for both that is one setback
        setbacks = max(setbacks, known.setbacks)
    return setbacks + 1, run + _distance(setbacks + 1)


def _distance(setbacks: int) -> int:
    """Of the next try from the last one, in runs."""
    return min(1 << (setbacks - 1), MOST_LEFT_OUT + 1)


def postponed(db: sqlite3.Connection, seen: str) -> tuple[int, int]:
    """Failed utterances that the next run leaves out, and how many runs leave out the first of them; `seen` is the list
    of values of `vanished` that count."""
    count, runs = db.execute(
        f"""SELECT count(*), coalesce(min(u.due), {NEXT_RUN}) - {NEXT_RUN} FROM failures CROSS JOIN utterances u
            USING (n)
            WHERE {POSTPONED} AND u.vanished IN {seen} AND NOT u.gone"""  # noqa: S608 fixed texts
    ).fetchone()
    return int(count), int(runs)
