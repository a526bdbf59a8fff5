"""Decoded recordings on disk: each is decoded once while it has holders, and together they stay within a size limit.

Owns one folder, which is created for the first recording and removed when the run ends; after a crash by the next run.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import suppress
from copy import copy
from pathlib import Path

from pipeline.audio.tracks import SAMPLE_BYTES, Decoded, OutOfSpace
from pipeline.errors import AttemptError, AudioUnavailable, OutputError, RecordingTooLong

FAILURES_KEPT = 1_000
"""Recordings that failed are remembered, for other rows that are spans of them."""
MIN_BYTES = 16 << 20
"""Reserved at first for a recording, or one and a half times its size by the header if that is more: the header may be
wrong."""

Decode = Callable[[str, int], Awaitable[Decoded]]
"""Takes the prefix of the files' paths and the most bytes that they may take; raises OutOfSpace above that."""


class _Entry:
    """A recording that is being decoded, or was."""

    def __init__(self, decode: Callable[[_Entry], Coroutine[None, None, Decoded]]) -> None:
        self.bytes = 0
        self.holders = 0
        self.decoding = asyncio.create_task(decode(self))

    @property
    def has_failed(self) -> bool:
        task = self.decoding
        return task.done() and (task.cancelled() or task.exception() is not None)


class Spool:
    """The folder of decoded recordings of one run."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._entries: dict[Hashable, _Entry] = {}
        """In the order in which they were last released."""
        self._changed = asyncio.Event()
        self._count = 0

    def keep_to(self, max_bytes: int) -> None:
        """Takes at most so much disk from now on."""
        self._max_bytes = max_bytes

    async def acquire(self, key: Hashable, expected_bytes: int, decode: Decode) -> Decoded:
        """The decoded recording `key`; calls `decode` unless it is there already.

        Each `acquire` that returns needs a `release`. Raises what `decode` raises, RecordingTooLong where the recording
        takes more than the whole folder may, and OutputError.
        """
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(lambda entry: self._decoded(entry, expected_bytes, decode))
        entry.holders += 1
        try:
            return await asyncio.shield(entry.decoding)
        except BaseException as error:
            self.release(key)
            if isinstance(error, AudioUnavailable):
                self._entries.pop(key, None)  # the next row may find it
            if isinstance(error, AttemptError):  # without the callers' frames, which would stay in memory
                raise copy(error.bare()) from None
            raise

    def release(self, key: Hashable, *, keep: bool = False) -> None:
        """Gives up one hold. Without holders the files are removed, with `keep` only when their space is needed."""
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.holders -= 1
        if not entry.holders:
            if keep or entry.has_failed:
                self._entries[key] = self._entries.pop(key)  # to the end: dropped last
                failed = [key for key, entry in self._entries.items() if not entry.holders and entry.has_failed]
                for oldest in failed[:-FAILURES_KEPT]:
                    del self._entries[oldest]
            else:
                self._drop(key)
        self._changed.set()

    def file(self, name: str) -> Path:
        """The path for another temporary file of the run, which the caller removes. Raises OutputError."""
        try:
            self._folder.mkdir(exist_ok=True)  # without parents: a removed output folder stays removed
        except OSError as error:
            raise OutputError(f"the folder {self._folder} cannot be created: {error.strerror}") from error
        return self._folder / name

    async def close(self) -> None:
        """Cancels the decoding and removes the folder."""
        tasks = [entry.decoding for entry in self._entries.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._entries.clear()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _decoded(self, entry: _Entry, expected_bytes: int, decode: Decode) -> Decoded:
        """Decodes within the space expected by the header, and where that is not enough again within the whole."""
        at_first = max(min(MIN_BYTES, self._max_bytes // 8), expected_bytes + expected_bytes // 2)
        try:
            if at_first < self._max_bytes:
                with suppress(OutOfSpace):
                    return await self._decoded_within(entry, at_first, decode)
            return await self._decoded_within(entry, self._max_bytes, decode)
        except OutOfSpace:
            raise RecordingTooLong(
                f"the recording takes more disk while it is decoded than the {self._max_bytes / (1 << 20):,.4g} MiB "
                "that audio.spool_mb leaves for it; cut it, or raise that and run with --only failed"
            ) from None

    async def _decoded_within(self, entry: _Entry, max_bytes: int, decode: Decode) -> Decoded:
        await self._wait_for_space(max_bytes)
        entry.bytes = max_bytes
        self._count += 1
        used = 0
        try:
            done = await decode(str(self.file(f"{self._count:07d}")), max_bytes)
            used = sum(track.samples for track in done.tracks) * SAMPLE_BYTES
            return done
        finally:
            entry.bytes = used
            self._changed.set()

    async def _wait_for_space(self, wanted: int) -> None:
        while sum(entry.bytes for entry in self._entries.values()) + wanted > self._max_bytes:
            idle = next((key for key, other in self._entries.items() if not other.holders and other.bytes), None)
            if idle is not None:
                self._drop(idle)
            else:
                self._changed.clear()
                await self._changed.wait()

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key)
        if entry.has_failed:
            return
        if not entry.decoding.done():
            entry.decoding.cancel()
            return
        for track in entry.decoding.result().tracks:
            Path(track.path).unlink(missing_ok=True)
