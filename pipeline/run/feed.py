"""From selected utterances to clips, a few ahead of the pool: several are looked at and prepared side by side.

An utterance whose audio cannot be sent is given up here, and one whose very audio has a transcript already gets that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence

from pipeline.audio.look import Look, look
from pipeline.audio.prepare import Preparation
from pipeline.checkpoint import Identity, Journal, Selected, State
from pipeline.errors import AttemptError
from pipeline.model import Clip, Transcript
from pipeline.run.joining import Leader
from pipeline.run.published import transcripts_of
from pipeline.run.recorder import Recorder
from pipeline.sink import Sink

BATCH = 200
SIDE_BY_SIDE = 8
"""Utterances that are prepared at a time: one that takes long to decode keeps no other waiting."""
LOOKED_AT = 16
LOOKED_AT_S = 120.0
"""Recordings that are read and hashed in one go, and their audio."""


class Feed:
    """Feeds one run."""

    def __init__(
        self,
        journal: Journal,
        recorder: Recorder,
        sink: Sink,
        preparation: Preparation,
        limit: int | None,
    ) -> None:
        """At most `limit` utterances are handed out."""
        self._journal = journal
        self._recorder = recorder
        self._sink = sink
        self._preparation = preparation
        self._selection = _Selection(journal, limit)

    @property
    def limit_reached(self) -> bool:
        """Whether more was selected than `limit` lets through; what was handed out is finished all the same."""
        return self._selection.limit_reached

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
        while batch := await self._selection.next():
            await self._recorder.room()
            for leader, found in await self._to_send(batch):
                for clip in await self._clips_of(leader, found):
                    await made.put(clip)

    async def _to_send(self, batch: Sequence[Selected]) -> list[tuple[Leader, Look]]:
        """Those that need a request: not what cannot be read, and not what has its transcript already."""
        looks = await asyncio.to_thread(_look_at, [selected.utterance.audio for selected in batch])
        leaders = [
            (leader, found)
            for selected, found in zip(batch, looks, strict=True)
            if (leader := self._leader(selected, found)) is not None and isinstance(found, Look)
        ]
        # a done one was selected to be sent again
        asked = [leader for leader, _ in leaders if leader.selected.state != State.DONE]
        twins = await self._twins([leader.identity for leader in asked])
        for leader in asked:
            if (twin := twins.get(leader.identity)) is not None:
                self._recorder.has_twin(leader, twin)
        return [(leader, found) for leader, found in leaders if leader.identity not in twins]

    def _leader(self, selected: Selected, found: Look | AttemptError) -> Leader | None:
        """The utterance, where it is for it to find out what its audio and settings give."""
        recorder = self._recorder
        if isinstance(found, AttemptError):
            recorder.unsendable(selected, found)
            return None
        now = Identity(audio_hash=found.audio_hash, config_hash=selected.config_hash)
        if selected.done == now and selected.state != State.DONE:
            recorder.reused(selected)
            return None
        return recorder.lead(selected, now)

    async def _clips_of(self, leader: Leader, found: Look) -> list[Clip]:
        """What is to be sent for an utterance: nothing, where it cannot be."""
        recorder, utterance = self._recorder, leader.selected.utterance
        try:
            prepared = await self._preparation.prepare(utterance, found)
        except AttemptError as error:
            recorder.unprepared(leader, error)
            return []
        answered = []
        if len(prepared.clips) > 1:
            answered = await self._journal.call(self._journal.checkpoint.answered_clips, leader.identity)
        missing = leader.expect(
            prepared.clips,
            duration_s=prepared.duration_s,
            flags=prepared.flags,
            answered=answered,
            release=lambda: self._preparation.release(utterance, prepared),
        )
        recorder.expect(leader, missing)
        return missing

    async def _twins(self, identities: Sequence[Identity]) -> dict[Identity, Transcript]:
        """Transcripts that answer to these very audios and settings, of whichever utterance."""
        twins = self._journal.finished(identities)
        unknown = [identity for identity in identities if identity not in twins]
        if not unknown:
            return twins
        placed = await self._journal.call(self._journal.checkpoint.twins, unknown)
        known = await transcripts_of(placed.values(), self._sink)
        twins |= {identity: known[one.id] for identity, one in placed.items() if one.id in known}
        return twins


def _look_at(paths: Sequence[str]) -> list[Look | AttemptError]:
    """Each recording looked at, or why it cannot be; many in one go, for each hop between threads costs as much as a
    short file."""
    looks: list[Look | AttemptError] = []
    for path in paths:
        try:
            looks.append(look(path))
        except AttemptError as error:
            looks.append(error)
    return looks


class _Selection:
    """What is selected, handed out a few at a time to whoever asks."""

    def __init__(self, journal: Journal, limit: int | None) -> None:
        self.limit_reached = False
        self._journal = journal
        self._limit = limit
        self._handed_out = 0
        self._batch: deque[Selected] = deque()
        self._after: tuple[float, int] | None = None
        self._reading = asyncio.Lock()

    async def next(self) -> list[Selected]:
        """The next few, no more audio than LOOKED_AT_S unless one is longer; none when no more are to be done."""
        async with self._reading:
            if not self._batch:
                checkpoint = self._journal.checkpoint
                self._batch.extend(await self._journal.call(checkpoint.selected, self._after, BATCH))
            taken: list[Selected] = []
            seconds = 0.0
            while self._batch and len(taken) < LOOKED_AT and seconds < LOOKED_AT_S:
                if self._limit is not None and self._handed_out >= self._limit:
                    self.limit_reached = True
                    break
                taken.append(self._batch.popleft())
                seconds += taken[-1].expected_s
                self._handed_out += 1
            if taken:
                self._after = (taken[-1].expected_s, taken[-1].n)
            return taken
