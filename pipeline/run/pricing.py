"""Forecasts what the utterances of a run would cost, for `check` and for comparing with the account's balance.

Works in tables beside a scan, so that memory does not grow with rows.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice

from pipeline.audio.probe import length_of
from pipeline.audio.upload import Estimate
from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.alike import Todo, TodoList
from pipeline.config import Settings
from pipeline.errors import AttemptError, Stopped
from pipeline.run.cost_table import CostTable
from pipeline.run.costs import Bounds, Costs, Kind, Priced
from pipeline.run.measuring import Measured, Measuring
from pipeline.run.settings_hash import SettingsHash
from pipeline.source import Sources
from pipeline.source.addresses import is_address
from pipeline.threads import DaemonThreads, is_done

AHEAD = 100
"""Rows that are measured before it is their turn."""
AT_ONCE_LOCAL = 4
AT_ONCE_REMOTE = 32


def costs_of(
    checkpoint: Checkpoint,
    only: Sequence[str] | None,
    settings: Settings,
    hashed: SettingsHash,
    *,
    bounds: Bounds,
    resends_failed: bool,
    sources: Sources | None,
    stopped: threading.Event,
) -> Costs:
    """Prices what a run of these `only` does after a scan (None: what the run that is going on has selected), within
    `bounds`; `resends_failed`: what failed before is sent at once. Without `sources` nothing is read of
    remote recordings. Raises Stopped, CheckpointError, SourceOut, SourceRefusesAll and NoCloud."""
    # rows that do not fit a budget do not count for the limit: with one, any row may be reached
    at_most = None if bounds.budget is not None else bounds.limit
    rows = TodoList(checkpoint, only, at_most, length_of, partial(hashed.names, one_channel=True))
    measuring = Measuring(settings, hashed, checkpoint.answer_index(), sources, stopped)
    measured = _measured(iter(rows), measuring.measure, stopped)
    with CostTable(settings.request_price) as table:
        table.keep(_priced(rows, one, resends_failed=resends_failed) for one in measured)
        return table.sum_up(bounds)


def _priced(rows: TodoList, measured: Measured, *, resends_failed: bool) -> Priced:
    """What a run does with a measured utterance."""
    todo, identities, takes = measured.todo, measured.identities, measured.takes
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
    return priced(kind=Kind.SENT, key=measured.key, takes=takes, is_uncompared=measured.is_uncompared)


def _measured(
    rows: Iterator[Todo], measure: Callable[[Todo], Measured], stopped: threading.Event
) -> Iterator[Measured]:
    """Measures rows, some at a time, in their order. Raises Stopped."""
    local, remote = DaemonThreads(AT_ONCE_LOCAL, "pricing"), DaemonThreads(AT_ONCE_REMOTE, "pricing-remote")
    ahead = deque[Future[Measured]]()
    try:
        while True:
            for todo in islice(rows, AHEAD - len(ahead)):
                ahead.append((remote if is_address(todo.utterance.audio) else local).submit(measure, todo))
            if not ahead:
                return
            if stopped.is_set():
                raise Stopped
            is_done(ahead[0])  # in steps, which Ctrl-C ends
            yield ahead.popleft().result()
    finally:  # Ctrl-C does not wait for a huge file, or for a disk that hangs
        for threads in (local, remote):
            threads.shutdown(wait=False, cancel_futures=True)
