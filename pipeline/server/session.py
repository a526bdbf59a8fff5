"""One session of the WebSocket: what was asked for, the audio so far, and the messages that follow from it."""

from __future__ import annotations

import asyncio
import hashlib
import uuid

from pipeline.gradium import wire
from pipeline.server import answer, frames
from pipeline.server.activity import Activity
from pipeline.server.audio import Sound, check_length
from pipeline.server.body import Memory, too_slow
from pipeline.server.faults.fault import Fault
from pipeline.server.incoming import incoming
from pipeline.server.ledger import Entry
from pipeline.server.request import delay_in_frames, input_format, json_config
from pipeline.server.service import Service

INLINE_BYTES = 1 << 18
"""Pieces up to this size are decoded in the event loop."""


class Session:
    """From `setup` to `end_of_stream`."""

    def __init__(self, setup: frames.Setup, entry: Entry, service: Service, memory: Memory) -> None:
        """Raises RefusalError: 1008 for too many sessions, credits, format, values; 1011 for a `json_config` that does
        not parse or has to name a language."""
        service.admit_early(entry)
        service.check_credits()
        self.query = setup.query()
        sent_as = input_format(self.query, None)
        self._config = json_config(self.query, language_required=service.options.websocket_language_required)
        self._entry = entry
        self._service = service
        self._memory = memory
        self._incoming = incoming(sent_as, service.options.max_audio_s)
        self._is_opus = sent_as == "opus"
        self._activity = Activity()
        self._digest = hashlib.sha256()
        self._new = bytearray()
        """Samples that are not recognized yet, …"""
        self._rate = 0
        """… and their rate."""
        self.audio_s = 0.0
        """Of all that came."""
        self._recognized_s = 0.0
        self._is_billed = False
        delay = delay_in_frames(self._config)
        self._late_s = answer.lateness_s(service.options.times, delay)
        entry.request_id = str(uuid.uuid4())
        self.ready = answer.ready(entry.request_id, service.model, delay)

    async def feed(self, piece: bytes) -> list[wire.Message]:
        """Takes audio and returns the steps that are complete with it. Raises RefusalError: 1008 when it is no such
        audio or too much; 413, 408 as a body's memory."""
        try:
            # sessions that hold some may wait for each other
            async with asyncio.timeout(self._service.options.body_s):
                await self._memory.take(len(piece))
        except TimeoutError:
            raise too_slow() from None
        self._entry.body_bytes += len(piece)
        self._digest.update(piece)
        if len(piece) > INLINE_BYTES:
            sound = await asyncio.to_thread(self._incoming.feed, piece)
        else:
            sound = self._incoming.feed(piece)
        return self._add(sound)

    async def rest(self, *, at_end: bool) -> list[wire.Message]:
        """Decodes what has waited; returns its steps. Raises as `feed`, at the end also where no audio has begun."""
        if self._is_opus:
            return self._add(await asyncio.to_thread(self._incoming.rest, at_end=at_end))
        return self._add(self._incoming.rest(at_end=at_end))

    async def words(self) -> list[wire.Message]:
        """Recognizes the audio since the last call; times are on the clock of all audio. Raises RefusalError (1011)."""
        if not self._new:
            return []
        sound = Sound(bytes(self._new), self._rate)
        self._new.clear()
        words = await self._service.recognize(sound, self._config)
        begin_s, self._recognized_s = self._recognized_s, self._recognized_s + sound.duration_s
        shifted = [word._replace(start_s=word.start_s + begin_s, stop_s=word.stop_s + begin_s) for word in words]
        words_per_text = self._service.options.words_per_text
        return list(answer.texts(shifted, late_s=self._late_s, words_per_text=words_per_text))

    def fault(self) -> Fault | None:
        """Returns the fault to inject into the answer, now that the audio is whole."""
        self._entry.digest = self._digest.hexdigest()
        return self._service.fault_of(self._entry, self._entry.body_bytes, self.query)

    def bill(self) -> None:
        """Bills what was recognized, once."""
        if not self._is_billed:
            self._is_billed = True
            self._service.charge(self._entry, self._recognized_s, self.query)

    def leave(self) -> None:
        """Ends it where it did not come to its answer: what was flushed is paid for."""
        if self._recognized_s:
            self.bill()

    def _add(self, sound: Sound | None) -> list[wire.Message]:
        if sound is None:
            return []
        self.audio_s += sound.duration_s
        check_length(self.audio_s, self._service.options.max_audio_s)
        self._new += sound.samples
        self._rate = sound.rate
        return list(self._activity.steps(sound.samples, sound.rate))
