"""Local copies of remote recordings, for the rows of an export: each is fetched once for neighbouring rows.

Used in one event loop, by tasks that begin in the order of their rows: the first of them always gets its copy.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from pipeline.audio.tracks import discard
from pipeline.errors import AttemptError, OutputError
from pipeline.source import Sources
from pipeline.source.addresses import ending_of, is_address
from pipeline.source.copying import too_large
from pipeline.threads import DaemonThreads

FETCHED_AT_ONCE = 16
IDLE_KEPT = 1_000
"""Copies for further rows of their recordings."""


class _Copy:
    """A copy. Mutable."""

    def __init__(self, fetching: asyncio.Task[str]) -> None:
        self.fetching = fetching
        self.holders = 0
        self.bytes = 0
        """Of the space, which are its own."""

    @property
    def is_idle(self) -> bool:
        return not self.holders and self.fetching.done()


class LocalCopies:
    """The copies of one export, in a folder that it shares."""

    def __init__(self, sources: Sources, folder: Path, most_bytes: int) -> None:
        """`most_bytes` of all copies together. The folder is made where it is needed."""
        self._sources = sources
        self._folder = folder
        self._most_bytes = most_bytes
        self._taken = self._count = 0
        self._copies: dict[str, _Copy] = {}
        """In the order in which they were last released."""
        self._last: asyncio.Event | None = None
        """Set once the last one that was asked for has its space."""
        self._room = asyncio.Event()
        self._threads = DaemonThreads(FETCHED_AT_ONCE, "export-fetch")

    async def hold(self, audio: str) -> str:
        """The path of a recording's copy, until `release`; of a local file its own.

        Raises what `Sources.fetch` does; then nothing is to be released.
        """
        if not is_address(audio):
            return audio
        if (copy := self._copies.get(audio)) is None:
            copy = _Copy(asyncio.create_task(self._fetched(audio)))
            self._copies[audio] = copy
        copy.holders += 1
        try:
            return await asyncio.shield(copy.fetching)
        except BaseException:
            self.release(audio)
            raise

    def release(self, audio: str) -> None:
        """Gives up a hold; a copy stays until its space is needed."""
        if (copy := self._copies.get(audio)) is None:
            return
        copy.holders -= 1
        self._copies[audio] = self._copies.pop(audio)  # to the end: dropped last
        if copy.is_idle and not copy.bytes:  # it may succeed for another row
            self._drop(audio)
        elif len(self._copies) > IDLE_KEPT:
            self._drop_idle()
        self._room.set()

    def close(self) -> None:
        """Ends fetching. The folder is not removed."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for copy in self._copies.values():
            copy.fetching.cancel()

    async def _fetched(self, audio: str) -> str:
        before, self._last = self._last, asyncio.Event()
        has_space, loop = self._last, asyncio.get_running_loop()
        try:
            info = await loop.run_in_executor(self._threads, self._sources.stat, audio)
            size = self._most_bytes if info.size_bytes is None else info.size_bytes
            if size > self._most_bytes:
                raise too_large(size, self._most_bytes)
            if before is not None:
                await before.wait()
            while not self._has_room(size):
                self._room.clear()
                await self._room.wait()
            self._taken += size
        finally:
            has_space.set()
        self._count += 1
        path = self._folder / f"fetched-{self._count:07d}{ending_of(audio)}"
        taken = 0
        try:
            taken = await loop.run_in_executor(self._threads, self._fetch, audio, path)
        finally:
            self._taken += taken - size
            self._copies[audio].bytes = taken
            self._room.set()
        return str(path)

    def _fetch(self, audio: str, path: Path) -> int:
        """Returns the size of the copy."""
        try:
            self._folder.mkdir(exist_ok=True)
            with path.open("wb", buffering=0) as file:
                try:
                    self._sources.fetch(audio, file, self._most_bytes)  # rows of Parquet files tell a mean size
                except AttemptError:
                    discard(str(path))
                    raise
                return file.tell()
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error

    def _has_room(self, size: int) -> bool:
        """Whether the space has so many bytes more, without the copies that nobody holds."""
        while self._taken + size > self._most_bytes:
            if not self._drop_idle():
                return False
        return True

    def _drop_idle(self) -> bool:
        """Drops the copy that has been idle for longest, if there is one."""
        idle = next((audio for audio, copy in self._copies.items() if copy.is_idle), None)
        if idle is not None:
            self._drop(idle)
        return idle is not None

    def _drop(self, audio: str) -> None:
        copy = self._copies.pop(audio)
        self._taken -= copy.bytes
        if copy.bytes:
            discard(copy.fetching.result())
