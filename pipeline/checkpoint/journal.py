"""Groups what happens into durable commits: at most one transaction per commit window, all in one thread.

The event loop adds events and never waits for the disk, except when the disk falls behind by `MAX_PENDING` events, or
by `MAX_PENDING_BYTES`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from pipeline.checkpoint.events import Event, Failed, Sent, Started, key_of
from pipeline.checkpoint.identity import Identity
from pipeline.checkpoint.results import Finished, Partly
from pipeline.checkpoint.store import Checkpoint
from pipeline.model import Transcript

WINDOW_S = 0.05
MAX_PENDING = 5_000
MAX_PENDING_BYTES = 8 << 20
"""Of metadata and words, which may be large: …"""
WORD_BYTES = 300
"""… what a word takes in memory."""

P = ParamSpec("P")
T = TypeVar("T")


class Journal:
    """The one writer of a checkpoint while a run is going on. `keep` must be running for `add` to become durable."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: list[Event] = []
        self._pending_bytes = 0
        self._committing: list[Event] = []
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closing = False

    def add(self, *events: Event) -> None:
        """Takes events in; they are durable one commit window later."""
        self._pending.extend(events)
        self._pending_bytes += sum(map(_bytes, events))
        self._something.set()
        if len(self._pending) >= MAX_PENDING or self._pending_bytes >= MAX_PENDING_BYTES:
            self._room.clear()

    def finished(self, identities: Collection[Identity]) -> dict[Identity, Transcript]:
        """Transcripts of these very audios and settings that are still on their way into the checkpoint."""
        found: dict[Identity, Transcript] = {}
        for event in (*self._committing, *self._pending):
            if isinstance(event, Finished):
                identity = Identity.of(event.transcript)
                if identity in identities:
                    found[identity] = event.transcript
        return found

    async def room(self) -> None:
        """Waits while the disk is far behind."""
        await self._room.wait()

    async def keep(self) -> None:
        """Commits until `close`. Raises CheckpointError when a commit fails: the run must end then."""
        loop = asyncio.get_running_loop()
        while not (self._closing and not self._pending):
            await self._something.wait()
            self._something.clear()
            next_window = loop.time() + WINDOW_S
            await self._commit()
            if not self._closing:
                await asyncio.sleep(max(0.0, next_window - loop.time()))

    async def _commit(self) -> None:
        self._committing, self._pending, self._pending_bytes = _without_short_notes(self._pending), [], 0
        if self._committing:
            await self.call(self.checkpoint.apply, self._committing)
        self._committing = []
        if len(self._pending) < MAX_PENDING and self._pending_bytes < MAX_PENDING_BYTES:
            self._room.set()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a blocking call on the checkpoint in the checkpoint's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Lets `keep` end once everything added is committed."""
        self._closing = True
        self._something.set()

    def release(self) -> None:
        """Gives the thread back; nothing may be called afterwards."""
        self._thread.shutdown()


def _without_short_notes(events: list[Event]) -> list[Event]:
    """Leaves the notes of requests out that ended before they were written: a fast request costs one row, as ever."""
    noted = {key_of(event.attempt) for event in events if isinstance(event, Started)}
    short = {key_of(event.attempt) for event in events if isinstance(event, Sent)} & noted
    if not short:
        return events
    left: list[Event] = []
    for event in events:
        match event:
            case Started() if key_of(event.attempt) in short:
                pass
            case Sent() if key_of(event.attempt) in short:
                left.append(Sent(attempt=event.attempt, is_noted=False))
            case _:
                left.append(event)
    return left


def _bytes(event: Event) -> int:
    """What of an event may be large."""
    match event:
        case Finished(transcript=row) | Partly(transcript=row):
            return WORD_BYTES * len(row.words) + sum(map(len, row.metadata.values()))
        case Failed(failure=failure):
            return sum(map(len, failure.metadata.values()))
    return 0
