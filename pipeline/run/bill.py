"""What the utterances that a run does would cost: the one account of that, for `check` and for the run's own look at
the balance.

Reads headers; and whole files where only their content says whether they are sent: a file is as long as another one, or
as it was when it was transcribed. Works in tables beside a scan, so that memory does not grow with rows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

import msgspec

from pipeline.audio.estimate import Estimate, estimate
from pipeline.audio.look import length_of, look, may_be_beginning, refuse_beginning
from pipeline.audio.probe import probe
from pipeline.audio.wanted import is_one_channel
from pipeline.checkpoint import Checkpoint, Identity
from pipeline.checkpoint.alike import Todo, TodoList
from pipeline.config import Settings
from pipeline.errors import AttemptError, Stopped
from pipeline.run.answers import Answers
from pipeline.run.fitting import Bill, Bounds, Kind, Priced, PricedInTurn
from pipeline.run.settings_hash import SettingsHash

AT_ONCE = 100


def bill_of(
    checkpoint: Checkpoint,
    only: Sequence[str] | None,
    settings: Settings,
    hashed: SettingsHash,
    *,
    bounds: Bounds,
    asked: bool,
    stopped: threading.Event,
) -> Bill:
    """Prices what a run of these `only` does after a scan (None: what the run that is going on has selected), within
    `bounds`; `asked`: what failed before is sent at once. Raises Stopped and CheckpointError."""
    # what is passed over takes no place of the limit, so with a budget nobody knows before which rows have one
    at_most = None if bounds.budget is not None else bounds.limit
    rows = TodoList(checkpoint, only, at_most, length_of, partial(hashed.names, one_channel=True))
    answers = Answers(checkpoint.answer_index(), hashed)
    with PricedInTurn() as priced:
        measured = _measured(iter(rows), settings, hashed, answers, stopped)
        priced.keep(_priced(rows, *one, asked=asked) for one in measured)
        return priced.sum(bounds)


Found = Estimate | AttemptError | None


def _priced(rows: TodoList, todo: Todo, names: Sequence[Identity], found: Found, *, asked: bool) -> Priced:
    """What a run does with an utterance; `names` are what its transcript may answer to where the file was read, `found`
    is what it takes where that was looked at."""
    priced = Priced(place=todo.place, id=todo.utterance.id, kind=Kind.SENT)
    if names:
        if todo.done in names:
            return msgspec.structs.replace(priced, kind=Kind.UNCHANGED)
        if any(rows.has_transcript(name) for name in names):
            return msgspec.structs.replace(priced, kind=Kind.COPY)
        all_answered = isinstance(found, Estimate) and not found.requests
        if not asked and not all_answered and (known := rows.known_failure(names)) is not None:
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
            shorter = todo.size is not None and todo.marks is not None and may_be_beginning(todo.size, todo.marks)
            may_be_known = todo.may_be_known or shorter
            if not may_be_known and todo.is_known_if_one_channel:
                may_be_known = is_one_channel(todo.utterance, probe(todo.utterance.audio))
            if may_be_known or answers.may_be_of(todo):
                found = look(todo.utterance.audio, stopped)
                identities = hashed.identities(todo.utterance, found)
                keys = answers.to(todo, identities)
                if may_be_known:
                    if not settings.audio.allow_truncated:
                        refuse_beginning(found, todo.marks)
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
