"""Local copies of remote recordings: fetched ahead of their preparation, within a limit on their disk.

A copy is there once for all that hold it. Without holders that of a recording with rows for parts of it stays until its
space is needed; of the others the last few do. Used in the event loop; owns its folder, and the threads that fetch.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from pipeline.audio.upload import is_span
from pipeline.checkpoint import Selected
from pipeline.errors import AttemptError, OutputError
from pipeline.run.space import Copy, CopyFile, Space, make_folder
from pipeline.source import Sources
from pipeline.source.addresses import ending_of, is_address, is_row
from pipeline.source.copying import too_large
from pipeline.threads import DaemonThreads

FETCHED_AT_ONCE = 8, 64
"""Recordings at least and at most; in between a quarter of the requests in flight, which take longer. More threads
cost more processor time."""
UNKNOWN_BYTES = 1 << 20
"""Reserved at first for a recording whose size is not known."""
LAST = 64
"""So many copies of whole recordings stay for a while at most: one may be in several rows."""
REUSED_BYTES = 256 << 10
"""A new copy is written over the file of one that is not needed and no larger: on some file systems it costs more to
make and remove small files than to fetch them. Nor is it larger than …"""
REUSED_SHARE = 1000
"""… such a share of the space, which it takes longer than is counted."""
SHARES = 8
"""Rows that are looked up together take no more than this share of the space, unless a single one does."""


class Copies:
    """The copies of one run."""

    def __init__(self, sources: Sources, folder: Path, max_bytes: int, in_flight: int = 32) -> None:
        """`folder` is made when it is needed, in one that exists. `in_flight`: most requests at a time."""
        self._sources = sources
        self._folder = folder
        self._space = Space(max_bytes)
        self._copies: dict[str, Copy] = {}
        self._idle: dict[str, None] = {}
        """Those without holders that stay, in the order in which they were released, and …"""
        self._last: dict[str, None] = {}
        """… the last others."""
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._threads = DaemonThreads(min(max(in_flight // 4, FETCHED_AT_ONCE[0]), FETCHED_AT_ONCE[1]), "fetch")
        self._count = 0

    def split(self, rows: Sequence[Selected]) -> Iterator[list[Selected]]:
        """The rows in groups whose copies fit beside those of others, in their order."""
        group, taken = list[Selected](), 0
        for row in rows:
            size = self._expected_bytes(row) if is_address(row.utterance.audio) else 0
            if group and taken + size > self._space.max_bytes // SHARES:
                yield group
                group, taken = [], 0
            group.append(row)
            taken += size
        if group:
            yield group

    async def hold(self, rows: Sequence[Selected]) -> dict[str, str | AttemptError]:
        """For the recording of each row the path of a local file with its content, or why there is none. One that is
        larger than was known, and for which there was no room, is left out: ask again for its row `with_all_space`.

        `release` the result. Who waits here must hold no other copy, except those by `keep`. Raises Stopped,
        SourceOut, SourceRefusesAll or OutputError.
        """
        wanted = {row.utterance.audio: self._expected_bytes(row) for row in rows if is_address(row.utterance.audio)}
        if not wanted:
            return {row.utterance.audio: row.utterance.audio for row in rows}
        held: dict[str, str | AttemptError | None] = {row.utterance.audio: row.utterance.audio for row in rows}
        for audio, size in wanted.items():
            if size > self._space.max_bytes:
                held[audio] = too_large(size, self._space.max_bytes)
        wanted = {audio: size for audio, size in wanted.items() if held[audio] == audio}
        await self._reserve_for(wanted)
        parts = {row.utterance.audio for row in rows if is_span(row.utterance)}
        tried = {row.utterance.audio for row in rows if row.tries}
        copies: dict[str, Copy] = {}
        try:
            for audio in sorted(wanted, key=lambda one: one not in self._copies):  # so that no other takes its file
                copy = self._copies[audio] = self._copies.get(audio) or self._begin(
                    audio, wanted[audio], failed_before=audio in tried
                )
                copy.stays |= audio in parts
                self._idle.pop(audio, self._last.pop(audio, None))
                copy.holders += 1
                copies[audio] = copy
            if copies:
                await asyncio.wait([copy.fetching for copy in copies.values()])
            for audio, copy in copies.items():
                held[audio] = copy.outcome()
        except BaseException:
            self.release(dict.fromkeys(copies, ""))
            raise
        for audio, outcome in [*held.items()]:
            if audio in copies and not isinstance(outcome, str):
                self._let_go(audio)
        return {audio: outcome for audio, outcome in held.items() if outcome is not None}

    def with_all_space(self, row: Selected) -> Selected:
        """The row, so that its copy gets all of the space."""
        return msgspec.structs.replace(row, size_bytes=self._space.max_bytes)

    def keep(self, audio: str) -> bool:
        """One more hold on the copy of a recording that is held; returns whether it has a copy."""
        if (copy := self._copies.get(audio)) is None:
            return False
        copy.holders += 1
        return True

    def release(self, held: Mapping[str, str | AttemptError]) -> None:
        """Gives up a hold on each that has a copy."""
        for audio, found in held.items():
            if is_address(audio) and not isinstance(found, AttemptError):
                self._let_go(audio)

    async def close(self) -> None:
        """Removes the folder; fetching that still goes on is left behind."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for copy in self._copies.values():
            copy.fetching.cancel()
        self._copies.clear()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _expected_bytes(self, row: Selected) -> int:
        unknown = min(UNKNOWN_BYTES, self._space.max_bytes // SHARES)
        return unknown if row.size_bytes is None else row.size_bytes

    def _begin(self, audio: str, size: int, *, failed_before: bool) -> Copy:
        if not self._count:
            make_folder(self._folder)
        self._count += 1
        copy = Copy(str(self._folder / f"{self._count:07d}{ending_of(audio)}"), size, self._no_longer_needed())
        copy.fetching = asyncio.wrap_future(self._threads.submit(self._fetch, audio, copy, failed_before))
        copy.fetching.add_done_callback(self._fetched)
        return copy

    def _no_longer_needed(self) -> str | None:
        """The path of the oldest of the last copies, which is one no longer."""
        if len(self._last) <= LAST // 2:
            return None
        oldest = next(iter(self._last))
        copy, most = self._copies[oldest], min(REUSED_BYTES, self._space.max_bytes // REUSED_SHARE)
        if not copy.fetching.done() or copy.taken > most:
            return None
        del self._copies[oldest], self._last[oldest]
        self._space.give_back(copy.taken)
        return copy.path

    def _fetch(self, audio: str, copy: Copy, failed_before: bool) -> None:
        try:
            if copy.over is not None:
                # no path is used again: where times of files are coarse, two recordings would look like one version
                # of one file
                with suppress(OSError):  # then a file is made
                    os.rename(copy.over, copy.path)  # noqa: PTH104  many times a second
            with CopyFile(copy.path, self._space, copy.taken) as file:
                try:
                    self._sources.fetch(audio, file, self._space.max_bytes, failed_before=failed_before)
                    file.cut()
                finally:
                    copy.taken = file.tell()
                    self._space.give_back(file.taken - copy.taken)
        except OSError as error:
            raise OutputError(f"{copy.path} cannot be written: {error.strerror}") from error

    def _fetched(self, fetching: asyncio.Future[None]) -> None:
        if not fetching.cancelled():
            fetching.exception()  # asyncio logs it where nobody asks any more
        self._grant()

    def _let_go(self, audio: str) -> None:
        copy = self._copies[audio]
        copy.holders -= 1
        if copy.holders:
            return
        if copy.fetching.done() and (is_row(audio) or copy.has_failed):  # no other row has it, or may succeed
            self._drop(audio)
        elif copy.stays:
            self._idle[audio] = None
        else:
            self._last[audio] = None
            if len(self._last) > LAST and self._copies[oldest := next(iter(self._last))].fetching.done():
                self._drop(oldest)
        self._grant()

    def _drop(self, audio: str) -> None:
        copy = self._copies.pop(audio)
        self._idle.pop(audio, self._last.pop(audio, None))
        Path(copy.path).unlink(missing_ok=True)
        self._space.give_back(copy.taken)

    async def _reserve_for(self, wanted: Mapping[str, int]) -> None:
        """Reserves space for those of the recordings that have no copy, by size in bytes."""
        while True:
            new = {audio: size for audio, size in wanted.items() if audio not in self._copies}
            for audio in wanted.keys() - new.keys():  # dropped last
                if audio in self._idle:
                    self._idle[audio] = self._idle.pop(audio)
            await self._reserve(sum(new.values()))
            # who waits holds none: meanwhile some were dropped, or fetched for other rows
            self._space.give_back(sum(size for audio, size in new.items() if audio in self._copies))
            if all(audio in self._copies or audio in new for audio in wanted):
                return
            self._space.give_back(sum(size for audio, size in new.items() if audio not in self._copies))

    async def _reserve(self, size: int) -> None:
        """Waits for so much space, in turn."""
        if not size:
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._space.give_back(size)
            self._grant()  # those behind it
            raise

    def _grant(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.cancelled():
                while not self._space.take(size):
                    some = (one for one in (*self._last, *self._idle) if self._copies[one].fetching.done())
                    if (idle := next(some, None)) is None:
                        return
                    self._drop(idle)
                turn.set_result(None)
            self._waiting.popleft()
