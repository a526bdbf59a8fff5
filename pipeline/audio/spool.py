"""Decoded recordings on disk: each is decoded once while somebody needs it, within a bound on the bytes they take.

Owns one folder, which is made when the first recording is decoded and goes when the run ends. What is in it is worth
nothing to anybody else: after a crash the next run removes it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from copy import copy
from pathlib import Path

from pipeline.audio.tracks import SAMPLE_BYTES, Decoded, OutOfRoom
from pipeline.errors import AttemptError, AudioUnavailable, OutputError, RecordingTooLong

FAILURES_KEPT = 1_000
"""Recordings that do not decode are remembered, for the other rows that are spans of them."""
MIN_BYTES = 16 << 20
"""What a recording is given at first however short it is by its header, which may be wrong; half as much again as that
says where it is longer."""

Decode = Callable[[str, int], Awaitable[Decoded]]
"""Given the stem of the files and the most bytes that they may take; raises OutOfRoom where that is not enough."""


class _Entry:
    """A recording that is being decoded, or that is there."""

    def __init__(self) -> None:
        self.bytes = 0
        self.holders = 0
        self.decoding: asyncio.Task[Decoded] | None = None

    @property
    def has_failed(self) -> bool:
        task = self.decoding
        return task is not None and task.done() and (task.cancelled() or task.exception() is not None)


class Spool:
    """The folder of decoded recordings of one run."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._entries: dict[Hashable, _Entry] = {}
        """In the order in which they were last released."""
        self._changed = asyncio.Event()
        self._made = 0

    async def hold(self, key: Hashable, expected_bytes: int, decode: Decode) -> Decoded:
        """The decoded recording `key`; `decode` is called where nobody holds it yet.

        Each `hold` that returns is to be followed by a `release`. Raises what `decode` raises, RecordingTooLong where
        it takes more than the whole folder may, and OutputError.
        """
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
            entry.decoding = asyncio.create_task(self._decoded(entry, expected_bytes, decode))
        assert entry.decoding is not None  # noqa: S101 for the type checker
        entry.holders += 1
        try:
            return await asyncio.shield(entry.decoding)
        except BaseException as error:
            self.release(key)
            if isinstance(error, AudioUnavailable):
                self._entries.pop(key, None)  # it may be there for the next one
            if isinstance(error, AttemptError):  # what is remembered keeps no frames of the callers
                raise copy(error.bare()) from None
            raise

    def release(self, key: Hashable, *, keep: bool = False) -> None:
        """One holder less. Without holders the files go: with `keep` only when their room is needed."""
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.holders -= 1
        if not entry.holders:
            if keep or entry.has_failed:
                self._entries[key] = self._entries.pop(key)  # the last one to be dropped
                failed = [key for key, entry in self._entries.items() if not entry.holders and entry.has_failed]
                for oldest in failed[:-FAILURES_KEPT]:
                    del self._entries[oldest]
            else:
                self._drop(key)
        self._changed.set()

    def file(self, name: str) -> Path:
        """The path of another temporary file of the run; whoever asks for it removes it. Raises OutputError."""
        try:
            self._folder.mkdir(exist_ok=True)  # never the output folder, which may have been removed meanwhile
        except OSError as error:
            raise OutputError(f"the folder {self._folder} cannot be made: {error.strerror}") from error
        return self._folder / name

    async def close(self) -> None:
        """Ends what is being decoded and removes the folder."""
        tasks = [entry.decoding for entry in self._entries.values() if entry.decoding is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._entries.clear()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _decoded(self, entry: _Entry, expected_bytes: int, decode: Decode) -> Decoded:
        """With room for what its header says, and where that was too little once more, with all the room there is."""
        at_first = max(min(MIN_BYTES, self._most_bytes // 8), expected_bytes + expected_bytes // 2)
        try:
            if at_first < self._most_bytes:
                with suppress(OutOfRoom):
                    return await self._decoded_within(entry, at_first, decode)
            return await self._decoded_within(entry, self._most_bytes, decode)
        except OutOfRoom:
            raise RecordingTooLong(
                f"the recording takes more disk while it is decoded than the {self._most_bytes >> 20} MiB of "
                "audio.spool_mb; cut it, or raise that and run with --only failed"
            ) from None

    async def _decoded_within(self, entry: _Entry, most_bytes: int, decode: Decode) -> Decoded:
        await self._wait_for_room(most_bytes)
        entry.bytes = most_bytes
        self._made += 1
        taken = 0
        try:
            done = await decode(str(self.file(f"{self._made:07d}")), most_bytes)
            taken = sum(track.samples for track in done.tracks) * SAMPLE_BYTES
            return done
        finally:
            entry.bytes = taken
            self._changed.set()

    async def _wait_for_room(self, wanted: int) -> None:
        while sum(entry.bytes for entry in self._entries.values()) + wanted > self._most_bytes:
            idle = next((key for key, other in self._entries.items() if not other.holders and other.bytes), None)
            if idle is not None:
                self._drop(idle)
            else:
                self._changed.clear()
                await self._changed.wait()

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key)
        if entry.decoding is None or entry.has_failed:
            return
        if not entry.decoding.done():
            entry.decoding.cancel()  # whoever wanted it has gone
            return
        for track in entry.decoding.result().tracks:
            Path(track.path).unlink(missing_ok=True)
