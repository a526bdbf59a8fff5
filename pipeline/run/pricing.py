"""Forecasts what the utterances of a run would cost, for `check` and for comparing with the account's balance.

Reads headers; and whole files where only their content decides whether they are sent: one is as long as another, or as
it was when it was transcribed. Works in tables beside a scan, so that memory does not grow with rows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

from pipeline.audio.probe import length_of, probe, read_recording, refuse_truncated_copy
from pipeline.audio.upload import Estimate, estimate, is_one_channel
from pipeline.checkpoint import Checkpoint, Identity
from pipeline.checkpoint.alike import Todo, TodoList
from pipeline.checkpoint.lookup import AnswerIndex
from pipeline.config import Settings
from pipeline.errors import AttemptError, Stopped
from pipeline.run.cost_table import CostTable
from pipeline.run.costs import Bounds, Costs, Kind, Priced
from pipeline.run.settings_hash import SettingsHash
from pipeline.threads import DaemonThreads, is_done

AT_ONCE = 100


def costs_of(
    checkpoint: Checkpoint,
    only: Sequence[str] | None,
    settings: Settings,
    hashed: SettingsHash,
    *,
    bounds: Bounds,
    resends_failed: bool,
    stopped: threading.Event,
) -> Costs:
    """Prices what a run of these `only` does after a scan (None: what the run that is going on has selected), within
    `bounds`; `resends_failed`: what failed before is sent at once. Raises Stopped and CheckpointError."""
    # rows that do not fit a budget do not count for the limit: with one, any row may be reached
    at_most = None if bounds.budget is not None else bounds.limit
    rows = TodoList(checkpoint, only, at_most, length_of, partial(hashed.names, one_channel=True))
    answers = _Answers(checkpoint.answer_index(), hashed)
    measured = _measured(iter(rows), partial(_measure, settings, hashed, answers, stopped), stopped)
    with CostTable(settings.request_price) as table:
        table.keep(_priced(rows, *one, resends_failed=resends_failed) for one in measured)
        return table.sum_up(bounds)


Measured = tuple[Todo, Sequence[Identity], Estimate | AttemptError | None]
"""A row, the identities that its transcript may have where its content decides what a run does, and what it would
take, or why it cannot be sent; None where it is unchanged."""


def _priced(
    rows: TodoList,
    todo: Todo,
    identities: Sequence[Identity],
    takes: Estimate | AttemptError | None,
    *,
    resends_failed: bool,
) -> Priced:
    """What a run does with a measured utterance."""
    priced = partial(Priced, place=todo.place, id=todo.utterance.id)
    if todo.done in identities:
        return priced(kind=Kind.UNCHANGED)
    if any(rows.has_transcript(identity) for identity in identities):
        return priced(kind=Kind.COPY)
    all_answered = isinstance(takes, Estimate) and not takes.requests
    if identities and not resends_failed and not all_answered:
        failure, runs = rows.known_failure(identities) or (None, 0)
        if failure is not None and failure.retryable:
            return priced(kind=Kind.WAITS, runs=runs)
        if failure is not None:
            return priced(kind=Kind.FAILS, error=failure.error, message=failure.message)
    if isinstance(takes, AttemptError):
        return priced(kind=Kind.FAILS, error=type(takes).__name__, message=takes.message)
    return priced(kind=Kind.SENT, key=identities[0].key if identities else None, takes=takes)


def _measured(
    rows: Iterator[Todo], measure: Callable[[Todo], Measured], stopped: threading.Event
) -> Iterator[Measured]:
    """Measures rows, some at a time. Raises Stopped."""
    threads = DaemonThreads(4, "pricing")
    try:
        while batch := list(islice(rows, AT_ONCE)):
            if stopped.is_set():
                raise Stopped
            for measuring in [threads.submit(measure, todo) for todo in batch]:
                is_done(measuring)  # in steps, which Ctrl-C ends
                yield measuring.result()
    finally:  # Ctrl-C does not wait for a huge file, or for a disk that hangs
        threads.shutdown(wait=False, cancel_futures=True)


def _measure(
    settings: Settings, hashed: SettingsHash, answers: _Answers, stopped: threading.Event, todo: Todo
) -> Measured:
    identities: Sequence[Identity] = ()
    keys: set[str] = set()
    try:
        shorter = todo.size is not None and todo.prefix_hashes is not None and todo.size < length_of(todo.prefix_hashes)
        may_be_known = todo.may_be_known or shorter
        if not may_be_known and todo.is_known_if_one_channel:
            may_be_known = is_one_channel(todo.utterance, probe(todo.utterance.audio))
        if may_be_known or answers.may_be_of(todo):
            found = read_recording(todo.utterance.audio, stopped)
            all_identities = hashed.identities(todo.utterance, found)
            keys = answers.to(todo, all_identities)
            if may_be_known:
                if not settings.audio.allow_truncated:
                    refuse_truncated_copy(found.prefix_hashes, todo.prefix_hashes)
                identities = all_identities
                if todo.done in identities:
                    return todo, identities, None
        return todo, identities, estimate(todo.utterance, settings.audio, settings.request_price, keys)
    except AttemptError as error:
        return todo, identities, error


class _Answers:
    """The answered clips of a checkpoint, by recording and settings."""

    def __init__(self, index: AnswerIndex, settings: SettingsHash) -> None:
        self._index = index
        self._settings = settings

    def may_be_of(self, todo: Todo) -> bool:
        """Whether some may be of this recording; only its content decides."""
        return todo.utterance.id in self._index.ids or todo.size in self._index.sizes

    def to(self, todo: Todo, names: Sequence[Identity]) -> set[str]:
        """The keys of those of the recording with these names, under settings that give the same answers."""
        by_samples = names[0].with_settings(self._settings.of_answers(todo.utterance))
        found = [one for name in (by_samples, *names) for one in self._index.spans.get(name.key, ())]
        # a done row that is sent again uses only answers of the current settings
        return {span for span, config_hash in found if todo.done not in names or config_hash == names[0].config_hash}
