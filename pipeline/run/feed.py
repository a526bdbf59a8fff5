"""From selected utterances to clips, a few ahead of the pool: preparation runs in threads beside the event loop.

An utterance whose audio cannot be sent is given up here, and one whose very audio has a transcript already gets that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator

from pipeline.audio.prepare import Prepared, prepare
from pipeline.checkpoint import Identity, Journal, Selected, State
from pipeline.config import Settings
from pipeline.errors import AttemptError
from pipeline.exits import ExitStatus
from pipeline.model import Clip, Transcript
from pipeline.run.control import Control
from pipeline.run.recorder import Recorder
from pipeline.sink import Sink

BATCH = 200
LOOK_AHEAD = 8
"""Utterances being prepared while the pool is busy."""


async def clips(
    journal: Journal, recorder: Recorder, sink: Sink, settings: Settings, control: Control, limit: int | None
) -> AsyncGenerator[Clip, None]:
    """The clips of what is selected, longest first; at most `limit` utterances."""
    preparing: deque[tuple[Selected, asyncio.Task[Prepared]]] = deque()
    try:
        async for selected in _selected(journal, control, limit):
            task = asyncio.create_task(asyncio.to_thread(prepare, selected.utterance, settings.audio))
            preparing.append((selected, task))
            if len(preparing) >= LOOK_AHEAD:
                for clip in await _settled(*preparing.popleft(), journal, recorder, sink):
                    yield clip
        while preparing:
            for clip in await _settled(*preparing.popleft(), journal, recorder, sink):
                yield clip
    finally:
        for _, task in preparing:
            task.cancel()


async def _selected(journal: Journal, control: Control, limit: int | None) -> AsyncIterator[Selected]:
    after: tuple[float, int] | None = None
    handed_out = 0
    while batch := await journal.call(journal.checkpoint.selected, after, BATCH):
        for selected in batch:
            if limit is not None and handed_out >= limit:
                # not a stop of the pool: what was handed out is finished
                control.note_limit(ExitStatus.LIMIT_REACHED, f"--limit {limit}")
                return
            handed_out += 1
            yield selected
        after = (batch[-1].expected_s, batch[-1].n)


async def _settled(
    selected: Selected, task: asyncio.Task[Prepared], journal: Journal, recorder: Recorder, sink: Sink
) -> tuple[Clip, ...]:
    """What is to be sent for the utterance: nothing, where it cannot be, or where its transcript exists already."""
    await recorder.room()
    try:
        prepared = await task
    except AttemptError as error:
        recorder.unsendable(selected, error)
        return ()
    now = Identity(audio_hash=prepared.audio_hash, config_hash=selected.config_hash)
    if recorder.follow(selected, now):
        return ()
    if selected.state != State.DONE:  # a done one was selected to be sent again
        if selected.done == now:
            recorder.reused(selected, prepared.duration_s)
            return ()
        twin = journal.finished(now) or await _twin(now, journal, sink)
        if twin is not None:
            recorder.copied(selected, twin)
            return ()
    recorder.expect(selected, prepared.duration_s, now)
    return prepared.clips


async def _twin(identity: Identity, journal: Journal, sink: Sink) -> Transcript | None:
    placed = await journal.call(journal.checkpoint.twin, identity)
    if placed is None or placed.transcript is not None:
        return None if placed is None else placed.transcript
    return (await asyncio.to_thread(sink.read, [placed.id], placed.part)).get(placed.id)
