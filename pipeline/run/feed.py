"""From selected utterances to clips, a few ahead of the pool: several are looked at and prepared side by side.

An utterance whose audio cannot be sent is given up here, and one whose very audio has a transcript already gets that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from pipeline.audio.look import look
from pipeline.audio.prepare import Preparation
from pipeline.checkpoint import Identity, Journal, Selected, State
from pipeline.errors import AttemptError
from pipeline.exits import ExitStatus
from pipeline.model import Clip, Transcript
from pipeline.run.control import Control
from pipeline.run.recorder import Recorder
from pipeline.sink import Sink

BATCH = 200
SIDE_BY_SIDE = 8
"""Utterances that are looked at and prepared at a time: one that takes long to decode keeps no other waiting."""


class Feed:
    """Feeds one run."""

    def __init__(
        self,
        journal: Journal,
        recorder: Recorder,
        sink: Sink,
        preparation: Preparation,
        control: Control,
        limit: int | None,
    ) -> None:
        """At most `limit` utterances are handed out."""
        self._journal = journal
        self._recorder = recorder
        self._sink = sink
        self._preparation = preparation
        self._selection = _Selection(journal, control, limit)

    async def clips(self) -> AsyncGenerator[Clip, None]:
        """The clips of what is selected, longest utterances first."""
        made: asyncio.Queue[Clip | None] = asyncio.Queue(SIDE_BY_SIDE)
        at_work = asyncio.create_task(self._make(made))
        try:
            while (clip := await made.get()) is not None:
                yield clip
            await at_work
        finally:
            at_work.cancel()
            await asyncio.gather(at_work, return_exceptions=True)

    async def _make(self, made: asyncio.Queue[Clip | None]) -> None:
        """Puts every clip into `made`, and None behind the last one. Raises what ended it early."""
        failed: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(SIDE_BY_SIDE):
                    group.create_task(self._make_in_turn(made))
        except* Exception as errors:
            failed = errors.exceptions[0]
        await made.put(None)
        if failed is not None:
            raise failed

    async def _make_in_turn(self, made: asyncio.Queue[Clip | None]) -> None:
        while (selected := await self._selection.next()) is not None:
            await self._recorder.room()
            for clip in await self._clips_of(selected):
                await made.put(clip)

    async def _clips_of(self, selected: Selected) -> list[Clip]:
        """What is to be sent for an utterance: nothing, where it cannot be, or where its transcript exists already."""
        recorder, utterance = self._recorder, selected.utterance
        try:
            found = await asyncio.to_thread(look, utterance.audio)
        except AttemptError as error:
            recorder.unsendable(selected, error)
            return []
        now = Identity(audio_hash=found.audio_hash, config_hash=selected.config_hash)
        is_redone = selected.state == State.DONE  # it was selected to be sent again
        if selected.done == now and not is_redone:
            recorder.reused(selected)
            return []
        leader = recorder.lead(selected, now)
        if leader is None:
            return []
        if not is_redone and (twin := self._journal.finished(now) or await self._twin(now)) is not None:
            recorder.has_twin(leader, twin)
            return []
        try:
            prepared = await self._preparation.prepare(utterance, found)
        except AttemptError as error:
            recorder.unprepared(leader, error)
            return []
        answered = []
        if len(prepared.clips) > 1:
            answered = await self._journal.call(self._journal.checkpoint.answered_clips, selected.n, now.key)
        missing = leader.expect(
            prepared.clips,
            duration_s=prepared.duration_s,
            flags=prepared.flags,
            answered=answered,
            release=lambda: self._preparation.release(utterance, prepared),
        )
        recorder.expect(leader, missing)
        return missing

    async def _twin(self, identity: Identity) -> Transcript | None:
        placed = await self._journal.call(self._journal.checkpoint.twin, identity)
        if placed is None or placed.transcript is not None:
            return None if placed is None else placed.transcript
        return (await asyncio.to_thread(self._sink.read, [placed.id], placed.part)).get(placed.id)


class _Selection:
    """What is selected, handed out one by one to whoever asks."""

    def __init__(self, journal: Journal, control: Control, limit: int | None) -> None:
        self._journal = journal
        self._control = control
        self._limit = limit
        self._handed_out = 0
        self._batch: deque[Selected] = deque()
        self._after: tuple[float, int] | None = None
        self._reading = asyncio.Lock()

    async def next(self) -> Selected | None:
        """The next one; None when there are no more, or no more are to be done."""
        async with self._reading:
            if not self._batch:
                checkpoint = self._journal.checkpoint
                self._batch.extend(await self._journal.call(checkpoint.selected, self._after, BATCH))
            if not self._batch:
                return None
            if self._limit is not None and self._handed_out >= self._limit:
                # not a stop of the pool: what was handed out is finished
                self._control.note_limit(ExitStatus.LIMIT_REACHED, f"--limit {self._limit}")
                return None
            selected = self._batch.popleft()
            self._after = (selected.expected_s, selected.n)
            self._handed_out += 1
            return selected
