"""From selected utterances to clips, a few ahead of the pool: several are looked at and prepared side by side.

An utterance whose audio cannot be sent is given up here. One whose very audio has a transcript gets that; where it has
failed before and is not due yet, the utterance fails the same.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence

from pipeline.audio.prepare import Preparation
from pipeline.audio.probe import Look, look, refuse_truncated_copy, truncated_copy
from pipeline.checkpoint import Identity, Journal, Selected, State
from pipeline.errors import AttemptError, Stopped
from pipeline.model import Clip, ClipResult, Transcript
from pipeline.run.joining import Leader
from pipeline.run.published import Published
from pipeline.run.recorder import Recorder
from pipeline.run.renamed import Renamed
from pipeline.run.selection import Selection

SIDE_BY_SIDE = 8
"""Utterances that are prepared at a time: one that takes long to decode keeps no other waiting."""


class Feed:
    """Feeds one run."""

    def __init__(
        self,
        journal: Journal,
        recorder: Recorder,
        published: Published,
        preparation: Preparation,
        stopped: threading.Event,
        limit: int | None,
    ) -> None:
        """At most `limit` utterances are handed out, and nothing more is looked at once `stopped` is set."""
        self._journal = journal
        self._recorder = recorder
        self._published = published
        self._preparation = preparation
        self._stopped = stopped
        self._selection = Selection(journal, recorder.duplicates, recorder.left_out, limit)
        self._renamed = Renamed(journal, published, recorder.outcomes)

    @property
    def limit_reached(self) -> bool:
        """Whether more was selected than `limit` lets through; what was handed out is finished all the same."""
        return self._selection.limit_reached

    @property
    def has_room(self) -> bool:
        """Whether some that `limit` kept back have a place by now."""
        return self._selection.has_room

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
            try:
                to_send = await self._to_send(batch)
            except Stopped:
                return
            answered = await self._answered_keys(to_send)
            for leader, found in to_send:
                for clip in await self._clips_of(leader, found, answered):
                    await made.put(clip)

    async def _to_send(self, batch: Sequence[Selected]) -> list[tuple[Leader, Look]]:
        """Those that need a request: not what cannot be read, and not what has its transcript already."""
        looks = await asyncio.to_thread(_look_at, batch, self._stopped)
        found = list(zip(batch, looks, strict=True))
        new = {
            selected.n: (selected, self._names(selected, look))
            for selected, look in found
            if isinstance(look, Look) and selected.by_path and selected.done is None
        }
        moved = await self._renamed.move(new)
        leaders = [
            (leader, look)
            for selected, look in found
            if selected.n not in moved and (leader := self._leader(selected, look)) and isinstance(look, Look)
        ]
        # a done one was selected to be sent again
        twins = await self._twins_of([one for one in leaders if one[0].selected.state != State.DONE])
        for leader, _ in leaders:
            if (twin := twins.get(leader.identity)) is not None:
                self._recorder.has_twin(leader, twin)
        left = [(leader, look) for leader, look in leaders if leader.identity not in twins]
        await self._recorder.known_failures.tell(
            [(leader, self._names(leader.selected, look)) for leader, look in left]
        )
        return left

    def _leader(self, selected: Selected, found: Look | AttemptError) -> Leader | None:
        """The utterance, where it is for it to find out what its audio and settings give."""
        recorder = self._recorder
        if isinstance(found, AttemptError):
            recorder.unsendable(selected, found)
            return None
        names = self._names(selected, found)
        if selected.state != State.DONE and selected.done in names:
            recorder.outcomes.reused(selected, found.marks)
            return None
        if not self._preparation.allows_truncated:
            try:
                refuse_truncated_copy(found.marks, selected.marks)
            except AttemptError as error:
                recorder.unsendable(selected, error)
                return None
        return recorder.lead(selected, names[0], found.marks)

    def _names(self, selected: Selected, found: Look) -> list[Identity]:
        return self._recorder.settings_hash.identities(selected.utterance, found)

    def _keys(self, leader: Leader, found: Look) -> list[str]:
        """What answers to its clips are kept under; before version 6 it was its identity."""
        return [self._recorder.answers_key(leader), *(name.key for name in self._names(leader.selected, found))]

    async def _answered_keys(self, leaders: Sequence[tuple[Leader, Look]]) -> set[str]:
        """The keys that answers of earlier runs are kept under."""
        keys = [key for leader, found in leaders for key in self._keys(leader, found)]
        return await self._journal.call(self._journal.checkpoint.answered_keys, keys) if keys else set()

    async def _clips_of(self, leader: Leader, found: Look, answered_keys: set[str]) -> list[Clip]:
        """What is to be sent for an utterance: nothing, where it cannot be."""
        recorder, utterance = self._recorder, leader.selected.utterance
        answered: list[ClipResult] = []
        keys = [key for key in self._keys(leader, found) if key in answered_keys]
        if leader.takes_over and not keys:
            recorder.takes_over(leader)
            return []
        if keys:
            # of a done one, which is to be sent again, only what this was begun with
            only = leader.identity.config_hash if leader.selected.state == State.DONE else None
            answered = await self._journal.call(self._journal.checkpoint.answered_clips, keys, only)
        try:
            prepared = await self._preparation.prepare(utterance, found, {result.key for result in answered})
        except AttemptError as error:
            recorder.unprepared(leader, error)
            return []
        missing = leader.expect(
            prepared.clips,
            duration_s=prepared.duration_s,
            flags=prepared.flags,
            answered=answered,
            release=lambda: self._preparation.release(utterance, prepared),
        )
        if leader.takes_over and missing:
            recorder.takes_over(leader)
            return []
        recorder.expect(leader, missing)
        return missing

    async def _twins_of(self, leaders: Sequence[tuple[Leader, Look]]) -> dict[Identity, Transcript]:
        """Transcripts that answer to what these are, also under the other names that outputs have for it."""
        names = [self._names(leader.selected, look) for leader, look in leaders]
        # in one question: between two a row may have moved from another name to the one of now
        found = await self._twins([*{name: None for all_ in names for name in all_}])
        return {all_[0]: found[name] for all_ in names for name in reversed(all_) if name in found}

    async def _twins(self, identities: Sequence[Identity]) -> dict[Identity, Transcript]:
        """Transcripts that answer to these very audios and settings, of whichever utterance."""
        twins = self._journal.finished(identities)
        for _ in range(2):  # what is written to another place meanwhile is found there
            unknown = [identity for identity in identities if identity not in twins]
            if not unknown:
                return twins
            stored = await self._journal.call(self._journal.checkpoint.twins, unknown)
            known = await self._published.read_of(stored)
            twins |= known
            if len(known) == len(stored):
                return twins
        if left := [one.part for identity, one in stored.items() if identity not in twins and one.part]:
            rows = await self._journal.call(self._journal.checkpoint.parts, "transcripts")
            await self._published.check(left, rows)  # what a damaged part lacks would be paid again
        return twins


def _look_at(batch: Sequence[Selected], stopped: threading.Event) -> list[Look | AttemptError]:
    """Each recording looked at, or why it cannot be; many in one go, for each hop between threads costs as much as a
    short file."""
    looks: list[Look | AttemptError] = []
    for selected in batch:
        path = selected.utterance.audio
        try:
            looks.append(look(path, stopped))
        except AttemptError as error:
            looks.append(truncated_copy(path, selected.marks, stopped) or error)
    return looks
