"""Moves finished rows from the checkpoint into the output files: full parts while a run goes on, the rest at its end.

Files first, durably, then the note in the checkpoint; a crash in between is mended by doing it again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pipeline.checkpoint import Journal, Refreshed
from pipeline.checkpoint.schema import CLIPS_STALE, ERRORS_STALE, unusable
from pipeline.checkpoint.store import CLOSED_JSONL, JSONL_BYTES, Unpublished
from pipeline.errors import OutputError
from pipeline.model import Transcript
from pipeline.run.joining import retold, word_errors
from pipeline.run.published import Published
from pipeline.run.replacing import copies_of, replace_lines
from pipeline.run.settings_hash import SettingsHash
from pipeline.sink import Sink
from pipeline.sink.publish import Result

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
REFRESHED_AT_ONCE = 1_000
PART_BYTES = 16 << 20
"""A part ends before it is full where its rows are this long: all of it is in memory while it is written."""
PART_WORDS = 400_000
REPLACED_BYTES = 8 << 20
"""Of rows that are replaced at a time, beside which the old ones are in memory."""
REPLACED_SHARE = 8
"""Rows that are replaced are published during a run when they come to this fraction of all rows, and at its end."""
_decode = msgspec.msgpack.Decoder(Transcript).decode
log = logging.getLogger(__name__)


class Publisher:
    """The one that publishes. `keep` runs beside the pool; `finish` after it."""

    def __init__(self, journal: Journal, sink: Sink, published: Published, rows_per_part: int) -> None:
        self._journal = journal
        self._checkpoint = journal.checkpoint
        self._sink = sink
        self._published = published
        self._rows_per_part = rows_per_part
        self._new = self._new_words = 0
        self._enough = asyncio.Event()
        self._closing = False

    async def tidy(self) -> None:
        """Brings the folder back to what the checkpoint knows, after whatever ended the last run."""
        call = self._journal.call
        transcripts = await call(self._checkpoint.parts, "transcripts")
        attempts = await call(self._checkpoint.parts, "attempts")
        await asyncio.to_thread(self._sink.tidy, transcripts, attempts)
        committed = await call(self._checkpoint.fact, JSONL_BYTES, int) or 0
        if not self._sink.lines_are_there(committed):
            log.warning("transcripts.jsonl is gone or cut short; it is written anew from the parts")
            size = await asyncio.to_thread(self._sink.mend_lines, transcripts)
            await call(self._checkpoint.set_fact, JSONL_BYTES, size)
        await self.finish()

    async def refresh(self, stopped: threading.Event, hashed: SettingsHash) -> None:
        """Writes transcripts anew whose row has another reference or other metadata by now, or whose settings have
        another hash in their canonical form; nothing is sent.

        Ends early when `stopped` is set; the next run does the rest.
        """
        call, count = self._journal.call, 0
        while not stopped.is_set() and (placed := await call(self._checkpoint.to_refresh, REFRESHED_AT_ONCE)):
            count += len(placed)
            known = await self._published.read(placed)
            told = []
            for one, transcript in zip(placed, known, strict=True):
                if transcript is None:
                    raise OutputError(f"the transcript of {one.id!r} is no longer in the output folder; restore it")
                row = retold(
                    transcript, one.utterance, config_hash=hashed.canonical(one.utterance, transcript.config_hash)
                )
                told.append(Refreshed(n=one.n, transcript=row, **word_errors(row)))
            await call(self._checkpoint.apply, told)
            await self._publish_replacing_if_many()
        if count:
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
            while full or (await self._journal.call(self._checkpoint.pending_results))[0] >= self._rows_per_part:
                await self._publish_new()
                full = False
            await self._publish_replacing_if_many()
            while await self._journal.call(self._checkpoint.pending_attempts) >= self._rows_per_part:
                await self._publish_attempts()

    def close(self) -> None:
        """Lets `keep` end after what it is publishing: two that publish at once would write the same part."""
        self._closing = True
        self._enough.set()

    async def finish(self) -> None:
        """Publishes everything that is committed and unpublished, and the errors."""
        await self._settle_lines()
        while await self._publish_new():
            pass
        await self._publish_replacing()
        while await self._publish_attempts():
            pass

    async def _settle_lines(self) -> None:
        """Finishes a replacing of the JSONL that did not reach its end, in this run or in one that was ended."""
        call = self._journal.call
        if await call(self._checkpoint.fact, JSONL_BYTES, int) != CLOSED_JSONL:
            return
        if self._sink.has_parts:
            await self._write_lines_anew()
            return
        # the lines may hold rows already that are still to be appended
        unpublished = await call(self._checkpoint.never_published)
        size = await asyncio.to_thread(self._sink.drop_lines, unpublished)
        await call(self._checkpoint.set_fact, JSONL_BYTES, size)

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
        results = await asyncio.to_thread(_decoded, found, self._checkpoint.path)
        known = await call(self._checkpoint.parts, "transcripts")
        jsonl_bytes = await call(self._checkpoint.fact, JSONL_BYTES, int) or 0
        published = await asyncio.to_thread(self._sink.publish, results, max(known, default=0) + 1, jsonl_bytes)
        await call(self._checkpoint.results_published, published.placed, published.parts, published.jsonl_bytes)
        return len(results)

    async def _publish_replacing_if_many(self) -> None:
        """Every part and the JSONL are written anew for them, so they wait until they are a share of all rows: the cost
        stays linear however many they are."""
        if self._sink.has_parts:
            _, waiting = await self._journal.call(self._checkpoint.pending_results)
            if waiting >= max(
                self._rows_per_part, await self._journal.call(self._checkpoint.known_rows) // REPLACED_SHARE
            ):
                await self._publish_replacing()

    async def _publish_replacing(self) -> None:
        """Publishes results that take the place of published rows, part by part, and then the JSONL as a whole."""
        call = self._journal.call
        if not await call(self._checkpoint.list_replacing):
            return
        if not self._sink.has_parts:
            await call(replace_lines, self._checkpoint, self._sink)
            self._published.rewritten([0])
            return
        await call(self._checkpoint.set_fact, JSONL_BYTES, CLOSED_JSONL)
        done, rows = 0, await call(self._checkpoint.parts, "transcripts")
        while found := await call(self._checkpoint.replacing, done, self._rows_per_part, REPLACED_BYTES):
            done += len(found)
            results = await asyncio.to_thread(_decoded, found, self._checkpoint.path)
            leaving = await call(self._checkpoint.leaving, [(one.part or 0, one.was) for one in results])
            if leaving:  # nobody else holds these transcripts
                copied = await asyncio.to_thread(copies_of, leaving, self._sink, rows)
                await call(self._checkpoint.take_over, copied)
            published = await asyncio.to_thread(self._sink.replace, results, rows)
            rows |= published.parts
            self._published.rewritten(published.parts)
            await call(self._checkpoint.results_published, published.placed, published.parts, CLOSED_JSONL)
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


def _decoded(found: Sequence[Unpublished], path: Path) -> list[Result]:
    try:
        return [Result(n=n, was=was, part=part, transcript=_decode(row)) for n, was, part, row in found]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unusable(path, error) from error
