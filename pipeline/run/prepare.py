"""Prepares selected utterances, a few ahead of the pool: looks them up and makes the missing clips."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from pipeline.audio.prepare import Preparation
from pipeline.audio.probe import Recording, read_recording
from pipeline.checkpoint import Selected, State, Store
from pipeline.clips import ClipResult
from pipeline.errors import AttemptError, AudioUnavailable, Stopped
from pipeline.exchange import Clip
from pipeline.pool import Put
from pipeline.run.copies import Copies
from pipeline.run.in_flight import InFlight
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
        copies: Copies,
    ) -> None:
        self._lookup = lookup
        self._preparation = preparation
        self._settlement = settlement
        self._recorder = recorder
        self._store = store
        self._copies = copies

    async def fill(self, put: Put, selection: Selection, stopped: threading.Event) -> None:
        """Puts the requests for what is selected, longest utterances first; no more are begun once `stopped` is
        set. Raises what ended it early."""
        failed: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(SIDE_BY_SIDE):
                    group.create_task(self._fill_one_by_one(put, selection, stopped))
        except* Exception as errors:
            failed = errors.exceptions[0]
        if failed is not None:
            raise failed

    async def _fill_one_by_one(self, put: Put, selection: Selection, stopped: threading.Event) -> None:
        while True:
            while self._recorder.again:
                for clip in await self._shorter_clips_of(self._recorder.again.popleft(), stopped):
                    await put(clip.request)
            if not (batch := await selection.next()):
                return
            await self._store.has_room()
            try:
                for rows in self._copies.split(batch):
                    await self._fill(put, rows, stopped)
            except Stopped:
                return

    async def _fill(self, put: Put, rows: Sequence[Selected], stopped: threading.Event) -> None:
        """Puts the requests for rows that are looked up together. Raises Stopped."""
        files = await self._copies.hold(rows)
        try:
            there = [row for row in rows if row.utterance.audio in files]
            sendable = await self._lookup.sendable(there, files, stopped)
            keys = [key for one in sendable for key in one.answer_keys]
            answered = await self._store.answered_keys(keys) if keys else set()
            for one in sendable:
                for clip in await self._clips_of(one, answered):
                    await put(clip.request)
        finally:
            self._copies.release(files)
        for row in rows:
            if row.utterance.audio not in files:
                await self._fill(put, [self._copies.with_all_space(row)], stopped)

    async def _clips_of(self, one: Sendable, answered_keys: set[str]) -> list[Clip]:
        """The clips to send for an utterance; none where it needs or gets no request."""
        in_flight, selected = one.in_flight, one.in_flight.selected
        answered: list[ClipResult] = []
        keys = [key for key in one.answer_keys if key in answered_keys]
        if in_flight.is_postponed and not keys:
            self._settlement.postpone(in_flight)
            return []
        if keys:
            # a done row is sent again: only answers of the current settings count
            only = in_flight.identity.config_hash if selected.state == State.DONE else None
            answered = await self._store.answered_clips(keys, only)
        try:
            known = {result.key for result in answered}
            prepared = await self._preparation.prepare(selected.utterance, one.recording, known)
        except AttemptError as error:
            self._settlement.fail(in_flight, error)
            return []
        in_flight.recording = one.recording
        missing = in_flight.expect(prepared, answered)
        if in_flight.is_postponed and missing:
            self._settlement.postpone(in_flight)
            return []
        return self._expected(in_flight, missing)

    async def _shorter_clips_of(self, in_flight: InFlight, stopped: threading.Event) -> list[Clip]:
        """The clips to send for an utterance some of whose clips were too long, around those that were answered."""
        answered, selected = [*in_flight.results.values()], in_flight.selected
        files = await self._copies.hold([selected])
        while not files:
            files = await self._copies.hold([self._copies.with_all_space(selected)])
        try:
            recording = await self._again(in_flight, files[selected.utterance.audio], stopped)
            known = {result.key for result in answered}
            prepared = await self._preparation.prepare(selected.utterance, recording, known)
            in_flight.recording = recording
            return self._expected(in_flight, in_flight.expect(prepared, answered))
        except AttemptError as error:
            self._settlement.fail(in_flight, error)
            return []
        finally:
            self._copies.release(files)

    async def _again(self, in_flight: InFlight, path: str | AttemptError, stopped: threading.Event) -> Recording:
        """Its recording, which may have been fetched anew meanwhile."""
        if isinstance(path, AttemptError):
            raise path
        recording = in_flight.recording
        assert recording is not None  # noqa: S101 for the type checker
        if path != recording.path:
            recording = await asyncio.to_thread(read_recording, path, stopped)
            if recording.audio_hash != in_flight.identity.audio_hash:
                raise AudioUnavailable("the recording was replaced meanwhile; the next run tries again")
        return recording

    def _expected(self, in_flight: InFlight, missing: list[Clip]) -> list[Clip]:
        if missing:
            in_flight.has_copy = self._copies.keep(in_flight.selected.utterance.audio)
            self._recorder.expect(in_flight)
        self._settlement.prepared(in_flight, missing)
        return missing
