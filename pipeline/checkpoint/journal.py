"""Group commit of events: at most one transaction per commit window, in the checkpoint's one thread.

`add` never waits for the disk; `has_room` does while `MAX_PENDING` events or `MAX_PENDING_BYTES` are pending. While the
checkpoint cannot be written (`patience` limits how long) events stay in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import ParamSpec, TypeVar

from pipeline.checkpoint.applying import key_of
from pipeline.checkpoint.checkpoint import Checkpoint
from pipeline.checkpoint.events import ClipAnswered, Event, Finished, Moved, Partly, Sent, Started
from pipeline.checkpoint.failing import Failed, KnownFailure
from pipeline.checkpoint.identity import Identity
from pipeline.checkpoint.patience import Patience
from pipeline.errors import CheckpointError
from pipeline.model import Transcript
from pipeline.threads import DaemonThreads

WINDOW_S = 0.05
MAX_PENDING = 5_000
MAX_PENDING_BYTES = 8 << 20
"""Of the metadata and words of pending events."""
WORD_BYTES = 300
"""What a word takes in memory."""

P = ParamSpec("P")
T = TypeVar("T")


class Journal:
    """The one writer of a checkpoint during a run. Events become durable while `keep` is running.

    Methods raise CheckpointError where the checkpoint cannot be used and waiting does not help.
    """

    def __init__(
        self, checkpoint: Checkpoint, patience: Patience | None = None, check: Callable[[], None] = lambda: None
    ) -> None:
        """`check` runs before each call on the checkpoint; it may raise to prevent that."""
        self.checkpoint = checkpoint
        self.patience = patience or Patience()
        self._check = check
        self._thread = DaemonThreads(1, "checkpoint")
        self._pending: list[Event] = []
        self._pending_bytes = 0
        self._committing: list[Event] = []
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closing = False
        self._waiters: list[asyncio.Future[None]] = []
        """Callers of `committed` that wait for the pending events."""
        self.results_added = (0, 0)
        """The numbers of transcripts added so far, and of their words."""

    def add(self, *events: Event) -> None:
        """Adds events, which become durable one commit window later."""
        self._pending.extend(events)
        self._pending_bytes += sum(map(_bytes, events))
        for event in events:
            if isinstance(event, Finished | Partly | Moved):
                rows, words = self.results_added
                self.results_added = rows + 1, words + len(event.transcript.words)
        self._something.set()
        if len(self._pending) >= MAX_PENDING or self._pending_bytes >= MAX_PENDING_BYTES:
            self._room.clear()

    def pending_transcripts(self, identities: Collection[Identity]) -> dict[Identity, Transcript]:
        """The transcripts of these identities that are not committed yet."""
        found: dict[Identity, Transcript] = {}
        for event in (*self._committing, *self._pending):
            if isinstance(event, Finished | Moved):
                identity = Identity.of(event.transcript)
                if identity in identities:
                    found[identity] = event.transcript
        return found

    def pending_failures(self, identities: Collection[Identity]) -> dict[Identity, KnownFailure]:
        """The failures of these identities that are not committed yet."""
        return {
            event.identity: KnownFailure(identity=event.identity, failure=event.failure)
            for event in (*self._committing, *self._pending)
            if isinstance(event, Failed)
            and event.is_remembered
            and event.identity is not None
            and event.identity in identities
        }

    async def committed(self) -> None:
        """Waits until all events added so far are durable; whoever waits is to be cancelled when `keep` fails."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiting)
        self._something.set()  # it may be so already
        await waiting

    async def has_room(self) -> None:
        """Waits while too many events are pending."""
        await self._room.wait()

    async def keep(self) -> None:
        """Commits until `close`. Raises CheckpointError when a commit fails for good: then the run must end."""
        loop = asyncio.get_running_loop()
        while not (self._closing and not self._pending):
            await self._something.wait()
            self._something.clear()
            next_window = loop.time() + WINDOW_S
            await self._commit()
            if not self._closing:
                await asyncio.sleep(max(0.0, next_window - loop.time()))

    async def last_try(self) -> str:
        """After `keep` has failed: tries to commit the rest once more. Returns a sentence about what is lost."""
        with suppress(CheckpointError):
            await self._commit()
            await self._commit()
        lost = [event.attempt for event in (*self._committing, *self._pending) if isinstance(event, Sent)]
        answers = [attempt.credits for attempt in lost if attempt.outcome == "ok"]
        others = [attempt.credits for attempt in lost if attempt.outcome != "ok" and attempt.credits]
        message = "no answer that came is lost"
        if answers:
            message = f"answers that are lost and will be paid again: {len(answers):,} ({sum(answers):,.0f} credits)"
        if others:
            message += f"; unanswered, may have been billed: {len(others):,} ({sum(others):,.0f} credits)"
        return message

    async def _commit(self) -> None:
        waiting: list[asyncio.Future[None]] = []
        if not self._committing:  # else a commit failed, and its events come first
            self._committing, self._pending, self._pending_bytes = _without_ended(self._pending), [], 0
            waiting, self._waiters = self._waiters, []
        if self._committing:
            # unchecked: written to the open file even where its folder was moved or removed
            with self.patience.watching():
                await self._repeated(self.call_unchecked, self.checkpoint.apply, self._committing)
        self._committing = []
        for one in waiting:
            if not one.done():
                one.set_result(None)
        if len(self._pending) < MAX_PENDING and self._pending_bytes < MAX_PENDING_BYTES:
            self._room.set()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a blocking call in the checkpoint's thread, and again while the checkpoint cannot be written: it has to
        be one that can be repeated."""
        return await self._repeated(self.call_once, lambda: function(*args, **kwargs))

    async def _repeated(self, call: Callable[..., Awaitable[T]], *args: object) -> T:
        with self.patience.trying() as pause_s:
            while True:
                try:
                    return await call(*args)
                except CheckpointError as error:
                    pause = pause_s(error)
                if self.patience.is_stopped():
                    self._room.set()  # few events come now, and a stopping run should not wait to add them
                await asyncio.sleep(pause)

    async def call_once(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call` without a second try."""
        loop = asyncio.get_running_loop()

        def checked() -> T:
            self._check()
            return function(*args, **kwargs)

        return await loop.run_in_executor(self._thread, checked)

    async def call_unchecked(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call_once` without `check`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Ends `keep` once everything added is committed."""
        self._closing = self.patience.hurries = True
        self._something.set()

    def release(self) -> None:
        """Ends the thread; nothing may be called afterwards."""
        self._thread.shutdown()


def _without_ended(events: list[Event]) -> list[Event]:
    """Drops the start of requests that ended before it was written, so that a fast request costs one row."""
    started = {key_of(event.attempt) for event in events if isinstance(event, Started)}
    ended = {key_of(event.attempt) for event in events if isinstance(event, Sent)} & started
    return [
        Sent(attempt=event.attempt, is_noted=False)
        if isinstance(event, Sent) and key_of(event.attempt) in ended
        else event
        for event in events
        if not (isinstance(event, Started) and key_of(event.attempt) in ended)
    ]


def _bytes(event: Event) -> int:
    """The bytes of what may be large in an event."""
    match event:
        case Finished(transcript=row) | Partly(transcript=row) | Moved(transcript=row):
            return WORD_BYTES * len(row.words) + sum(map(len, row.metadata.values()))
        case ClipAnswered(result=result):
            return WORD_BYTES * len(result.words)
        case Failed(failure=failure):
            return sum(map(len, failure.metadata.values()))
    return 0
