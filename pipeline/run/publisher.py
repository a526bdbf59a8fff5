"""Moves finished rows from the checkpoint into the output files: full parts while a run goes on, the rest at its end.

Files first, durably, then the note in the checkpoint; a crash in between is mended by doing it again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from pipeline.checkpoint import Journal
from pipeline.checkpoint.connection import unusable
from pipeline.checkpoint.publishing import Unpublished
from pipeline.checkpoint.schema import CLIPS_STALE, CLOSED_JSONL, ERRORS_STALE, JSONL_BYTES
from pipeline.errors import OutputError
from pipeline.model import Transcript
from pipeline.run.replacing import Replacing
from pipeline.run.settings_hash import SettingsHash
from pipeline.sink import Sink

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
PART_BYTES = 16 << 20
"""A part ends before it is full where its rows are this long: all of it is in memory while it is written."""
PART_WORDS = 400_000
_decode = msgspec.msgpack.Decoder(Transcript).decode
log = logging.getLogger(__name__)


class Publisher:
    """The one that publishes. `keep` runs beside the pool; `finish` after it."""

    def __init__(self, journal: Journal, sink: Sink, rows_per_part: int) -> None:
        self._journal = journal
        self._checkpoint = journal.checkpoint
        self._sink = sink
        self._rows_per_part = rows_per_part
        self._new = self._new_words = 0
        self._enough = asyncio.Event()
        self._closing = False

    async def tidy(self) -> None:
        """Brings the folder back to what the checkpoint knows, after whatever ended the last run. What has to be
        written anew waits for the end of the run, so that it is written once."""
        call = self._journal.call
        transcripts = await call(self._checkpoint.parts, "transcripts")
        attempts = await call(self._checkpoint.parts, "attempts")
        await asyncio.to_thread(self._sink.tidy, transcripts, attempts)
        committed = await call(self._checkpoint.fact, JSONL_BYTES, int) or 0
        if not self._sink.lines_are_there(committed):
            self._sink.refuse_lost_lines()
            log.warning("transcripts.jsonl is gone or cut short; the end of the run writes it anew from the parts")
            await call(self._checkpoint.set_fact, JSONL_BYTES, CLOSED_JSONL)
        elif committed == CLOSED_JSONL and not self._sink.has_parts:
            # the lines may hold rows already that are still to be appended
            size = await call(self._sink.drop_lines, self._checkpoint.never_published)
            await call(self._checkpoint.set_fact, JSONL_BYTES, size)
        if await call(self._checkpoint.has_moved):  # else a row of this run may get the id that such a row leaves
            await self.finish()

    def result_added(self, words: int) -> None:
        """A result of so many words was handed to the journal."""
        self._new += 1
        self._new_words += words
        if self._new >= self._rows_per_part or self._new_words >= PART_WORDS:
            self._enough.set()

    async def keep(self) -> None:
        """Publishes whenever a part is full, until `close`. Where the disk is full all is left for `finish`."""
        try:
            await self._keep()
        except OutputError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in DISK_FULL:
                raise
            log.warning("the disk of the output folder is full: what is answered is published at the end of the run")

    async def _keep(self) -> None:
        while True:
            await self._enough.wait()
            self._enough.clear()
            if self._closing:
                return
            full = self._new_words >= PART_WORDS
            self._new = self._new_words = 0
            while full or await self._journal.call(self._checkpoint.pending_results) >= self._rows_per_part:
                await self._publish_new()
                full = False
            while await self._journal.call(self._checkpoint.pending_attempts) >= self._rows_per_part:
                await self._publish_attempts()

    def close(self) -> None:
        """Lets `keep` end after what it is publishing: two that publish at once would write the same part."""
        self._closing = True
        self._enough.set()

    async def finish(self, hashed: SettingsHash | None = None, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Publishes everything that is committed and unpublished.

        With `hashed`, transcripts are written anew, too, whose row has another reference or other metadata by now, or
        whose settings have another hash in their canonical form. Once it `is_stopped` that is left to the next run,
        but for parts that are written anyway.
        """
        while await self._publish_new():
            pass
        await self._replace(hashed, is_stopped)
        while await self._publish_attempts():
            pass

    async def write_errors(self) -> None:
        """Rewrites errors.* where they may differ from what lies there."""
        call = self._journal.call
        if await call(self._checkpoint.fact, ERRORS_STALE, int) != 0:
            await call(self._sink.write_errors, self._checkpoint.failures)
            await call(self._checkpoint.set_fact, ERRORS_STALE, 0)

    async def write_clips(self) -> None:
        """Rewrites clips.jsonl where it may differ from what the checkpoint holds."""
        call = self._journal.call
        await call(self._checkpoint.trim_clips)
        if await call(self._checkpoint.fact, CLIPS_STALE, int) != 0:
            await call(self._sink.write_clips, self._checkpoint.kept_clips)
            await call(self._checkpoint.set_fact, CLIPS_STALE, 0)

    async def _publish_new(self) -> int:
        """Publishes results that no part holds a row of as the next part."""
        call = self._journal.call
        found = await call(self._checkpoint.new_results, self._rows_per_part, PART_BYTES)
        if not found:
            return 0
        rows = await asyncio.to_thread(_decoded, found, self._checkpoint.path)
        known = await call(self._checkpoint.parts, "transcripts")
        jsonl = await call(self._checkpoint.fact, JSONL_BYTES, int) or 0
        place = max(known, default=0) + 1, None if jsonl == CLOSED_JSONL else jsonl
        part, size = await asyncio.to_thread(self._sink.publish, rows, *place)
        placed = [(n, part) for n, _ in found]
        noted = {part: len(rows)} if part else {}
        await call(self._checkpoint.results_published, placed, noted, CLOSED_JSONL if size is None else size)
        return len(rows)

    async def _replace(self, hashed: SettingsHash | None, is_stopped: Callable[[], bool]) -> None:
        """Writes each part anew that holds rows which do not stay as they are, and then the JSONL as a whole."""
        call = self._journal.call
        found = await call(self._checkpoint.list_replacing)
        rows = await call(self._checkpoint.parts, "transcripts")
        replacing = Replacing(self._checkpoint, self._sink, hashed)
        for part, is_waited_for in found.items():
            if not is_waited_for and (hashed is None or is_stopped()):
                continue
            await call(self._checkpoint.set_fact, JSONL_BYTES, CLOSED_JSONL)
            await call(replacing.part, part, rows.get(part, 0), CLOSED_JSONL)
        await call(replacing.trim)
        if await call(self._checkpoint.fact, JSONL_BYTES, int) == CLOSED_JSONL:
            await self._write_lines_anew()

    async def _write_lines_anew(self) -> None:
        parts = await self._journal.call(self._checkpoint.parts, "transcripts")
        size = await asyncio.to_thread(self._sink.rewrite_lines, parts)
        await self._journal.call(self._checkpoint.set_fact, JSONL_BYTES, size)

    async def _publish_attempts(self) -> int:
        call = self._journal.call
        found = await call(self._checkpoint.attempts, self._rows_per_part)
        if not found:
            return 0
        part = max(await call(self._checkpoint.parts, "attempts"), default=0) + 1
        await asyncio.to_thread(self._sink.publish_attempts, [attempt for _, attempt in found], part)
        await call(self._checkpoint.attempts_published, found[-1][0], part, len(found))
        return len(found)


def _decoded(found: Sequence[Unpublished], path: Path) -> list[Transcript]:
    try:
        return [_decode(row) for _, row in found]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unusable(path, error) from error
