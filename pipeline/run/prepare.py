"""From selected utterances to clips, a few ahead of the pool: several are looked up and prepared side by side."""

from __future__ import annotations

import asyncio
import threading

from pipeline.audio.prepare import Preparation
from pipeline.checkpoint import State, Store
from pipeline.errors import AttemptError, Stopped
from pipeline.exchange import Clip
from pipeline.model import ClipResult
from pipeline.pool import Put
from pipeline.run.lookup import Lookup, Sendable
from pipeline.run.record import Recorder
from pipeline.run.select import Selection
from pipeline.run.settlement import Settlement

SIDE_BY_SIDE = 8
"""Utterances that are prepared at a time: one that takes long to decode keeps no other waiting."""


class Preparer:
    """Prepares what a run has selected."""

    def __init__(
        self,
        lookup: Lookup,
        preparation: Preparation,
        settlement: Settlement,
        recorder: Recorder,
        store: Store,
    ) -> None:
        self._lookup = lookup
        self._preparation = preparation
        self._settlement = settlement
        self._recorder = recorder
        self._store = store

    async def fill(self, put: Put, selection: Selection, stopped: threading.Event) -> None:
        """Puts the requests for what is selected, longest utterances first; nothing more is looked at once `stopped` is
        set. Raises what ended it early."""
        failed: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(SIDE_BY_SIDE):
                    group.create_task(self._fill_in_turn(put, selection, stopped))
        except* Exception as errors:
            failed = errors.exceptions[0]
        if failed is not None:
            raise failed

    async def _fill_in_turn(self, put: Put, selection: Selection, stopped: threading.Event) -> None:
        while batch := await selection.next():
            await self._store.has_room()
            try:
                sendable = await self._lookup.sendable(batch, stopped)
            except Stopped:
                return
            keys = [key for one in sendable for key in one.answer_keys]
            answered = await self._store.answered_keys(keys) if keys else set()
            for one in sendable:
                for clip in await self._clips_of(one, answered):
                    await put(clip.request)

    async def _clips_of(self, one: Sendable, answered_keys: set[str]) -> list[Clip]:
        """What is to be sent for an utterance: nothing, where it cannot be."""
        in_flight, selected = one.in_flight, one.in_flight.selected
        answered: list[ClipResult] = []
        keys = [key for key in one.answer_keys if key in answered_keys]
        if in_flight.is_postponed and not keys:
            self._settlement.is_postponed(in_flight)
            return []
        if keys:
            # of a done one, which is to be sent again, only what this was begun with
            only = in_flight.identity.config_hash if selected.state == State.DONE else None
            answered = await self._store.answered_clips(keys, only)
        try:
            known = {result.key for result in answered}
            prepared = await self._preparation.prepare(selected.utterance, one.look, known)
        except AttemptError as error:
            self._settlement.cannot_be_prepared(in_flight, error)
            return []
        missing = in_flight.expect(prepared, answered)
        if in_flight.is_postponed and missing:
            self._settlement.is_postponed(in_flight)
            return []
        if missing:
            self._recorder.expect(in_flight)
        self._settlement.prepared(in_flight, missing)
        return missing
