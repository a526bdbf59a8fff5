"""What the utterances that a run does would cost: the one account of that, for `check` and for the run's own look at
the balance.

Reads headers; and whole files where only their content says whether they are sent: a file is as long as another one, or
as it was when it was transcribed. Works in tables beside a scan, so that memory does not grow with rows.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

import msgspec

from pipeline.audio.probe import length_of, look, may_be_truncated_copy, probe, refuse_truncated_copy
from pipeline.audio.wanted import Estimate, estimate, is_one_channel
from pipeline.checkpoint import Identity
from pipeline.checkpoint.alike import Todo, has_transcript, known_failure, rows_to_do
from pipeline.config import Settings
from pipeline.errors import AttemptError, Stopped
from pipeline.run.answers import Answers
from pipeline.run.fitting import Bill, Bounds, Kind, Priced, in_turn, keep, make_table
from pipeline.run.settings_hash import SettingsHash

AT_ONCE = 100


def bill_of(
    connection: sqlite3.Connection,
    selected: str,
    settings: Settings,
    hashed: SettingsHash,
    *,
    run: int,
    bounds: Bounds,
    asked: bool,
    stopped: threading.Event,
) -> Bill:
    """Prices what the query `selected` of the plan names, as far as the run of the number `run` does it within
    `bounds`; `asked`: what failed before is sent at once. Raises Stopped, and what SQLite raises."""
    # what is passed over takes no place of the limit, so with a budget nobody knows before which rows have one
    at_most = None if bounds.budget is not None else bounds.limit
    rows = rows_to_do(connection, selected, at_most, run, length_of, partial(hashed.names, one_channel=True))
    make_table(connection)
    answers = Answers(connection, hashed)
    keep(
        connection,
        (
            _priced(connection, *measured, run=run, asked=asked)
            for measured in _measured(rows, settings, hashed, answers, stopped)
        ),
    )
    return in_turn(connection, bounds)


Found = Estimate | AttemptError | None


def _priced(
    connection: sqlite3.Connection, todo: Todo, names: Sequence[Identity], found: Found, *, run: int, asked: bool
) -> Priced:
    """What a run does with an utterance; `names` are what its transcript may answer to where the file was read, `found`
    is what it takes where that was looked at."""
    priced = Priced(place=todo.place, id=todo.utterance.id, kind=Kind.SENT)
    if names:
        if todo.done in names:
            return msgspec.structs.replace(priced, kind=Kind.UNCHANGED)
        if any(has_transcript(connection, name) for name in names):
            return msgspec.structs.replace(priced, kind=Kind.COPY)
        all_answered = isinstance(found, Estimate) and not found.requests
        if not asked and not all_answered and (known := known_failure(connection, names, run)) is not None:
            failure, runs = known
            if failure.retryable:
                return msgspec.structs.replace(priced, kind=Kind.WAITS, runs=runs)
            return msgspec.structs.replace(priced, kind=Kind.FAILS, error=failure.error, message=failure.message)
    if isinstance(found, AttemptError):
        return msgspec.structs.replace(priced, kind=Kind.FAILS, error=type(found).__name__, message=found.message)
    assert found is not None  # noqa: S101 for the type checker
    key = names[0].key if names else None
    return msgspec.structs.replace(priced, key=key, takes=found)


def _measured(
    rows: Iterator[Todo], settings: Settings, hashed: SettingsHash, answers: Answers, stopped: threading.Event
) -> Iterator[tuple[Todo, Sequence[Identity], Found]]:
    """Each row with what its transcript may answer to where that decides, and with what it would take, or why it cannot
    be sent."""

    def measured(todo: Todo) -> tuple[Todo, Sequence[Identity], Found]:
        names: Sequence[Identity] = ()
        keys: set[str] = set()
        try:
            shorter = todo.size is not None and todo.marks is not None and may_be_truncated_copy(todo.size, todo.marks)
            may_be_known = todo.may_be_known or shorter
            if not may_be_known and todo.is_known_if_one_channel:
                may_be_known = is_one_channel(todo.utterance, probe(todo.utterance.audio))
            if may_be_known or answers.may_be_of(todo):
                found = look(todo.utterance.audio, stopped)
                identities = hashed.identities(todo.utterance, found)
                keys = answers.to(todo, identities)
                if may_be_known:
                    if not settings.audio.allow_truncated:
                        refuse_truncated_copy(found.marks, todo.marks)
                    names = identities
                    if todo.done in names:
                        return todo, names, None
            return todo, names, estimate(todo.utterance, settings.audio, keys)
        except AttemptError as error:
            return todo, names, error

    threads = ThreadPoolExecutor(4)
    try:
        while batch := list(islice(rows, AT_ONCE)):
            if stopped.is_set():
                raise Stopped
            yield from threads.map(measured, batch)
    finally:  # on Ctrl-C nobody waits for a huge file, or for a disk that hangs
        threads.shutdown(wait=False, cancel_futures=True)
