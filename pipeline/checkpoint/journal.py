"""Groups what happens into durable commits: at most one transaction per commit window, all in one thread.

The event loop adds events and never waits for the disk, except when the disk falls behind by `MAX_PENDING` events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from pipeline.checkpoint.events import Event, Sent, Started, key_of
from pipeline.checkpoint.failed import Failed
from pipeline.checkpoint.identity import Identity
from pipeline.checkpoint.known_failures import KnownFailure
from pipeline.checkpoint.results import Finished
from pipeline.checkpoint.store import Checkpoint
from pipeline.model import Transcript

WINDOW_S = 0.05
MAX_PENDING = 5_000

P = ParamSpec("P")
T = TypeVar("T")


class Journal:
    """The one writer of a checkpoint while a run is going on. `keep` must be running for `add` to become durable."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: list[Event] = []
        self._committing: list[Event] = []
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closing = False

    def add(self, *events: Event) -> None:
        """Takes events in; they are durable one commit window later."""
        self._pending.extend(events)
        self._something.set()
        if len(self._pending) >= MAX_PENDING:
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

    def failed(self, identities: Collection[Identity]) -> dict[Identity, KnownFailure]:
        """How these very audios failed with these settings, as far as that is still on its way into the checkpoint."""
        return {
            event.identity: KnownFailure(identity=event.identity, failure=event.failure)
            for event in (*self._committing, *self._pending)
            if isinstance(event, Failed)
            and event.is_paid
            and event.identity is not None
            and event.identity in identities
        }

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
        self._committing, self._pending = _without_short_notes(self._pending), []
        if self._committing:
            await self.call(self.checkpoint.apply, self._committing)
        self._committing = []
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
