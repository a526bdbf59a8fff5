"""Moves finished rows from the checkpoint into the output files: full parts while a run goes on, the rest at its end.

Files first, durably, then the record in the checkpoint; after a crash in between the same is done again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from contextlib import suppress

from pipeline.checkpoint import Checkpoint, Store
from pipeline.checkpoint.schema import CLIPS_STALE, CLOSED_JSONL, ERRORS_STALE, JSONL_BYTES, OUTPUT_FORMAT, OWNER
from pipeline.earlier import FORMAT
from pipeline.errors import OutputError, OutputGone
from pipeline.run.delay import DelayCorrection
from pipeline.run.join import with_service
from pipeline.run.rewrite import Rewriter
from pipeline.run.settings_hash import SettingsHash
from pipeline.sink import Sink
from pipeline.texts import plural

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
PART_BYTES = 16 << 20
"""A part ends before it is full where its rows are this long: all of it is in memory while it is written."""
PART_WORDS = 400_000
"""So many words come to about as many bytes."""
CHECK_INTERVAL_S = 0.2
"""How often is checked whether a part is full."""
log = logging.getLogger(__name__)


class Publisher:
    """Publishes for one run: `keep` beside the pool, `finish` after it."""

    def __init__(self, store: Store, sink: Sink, rows_per_part: int, delay: DelayCorrection) -> None:
        self._store = store
        self._delay = delay
        self._sink = sink
        self._rows_per_part = rows_per_part
        self._closing = asyncio.Event()

    async def tidy(self, raise_if_stopped: Callable[[], None] = lambda: None) -> None:
        """Brings the folder back to what the checkpoint records, however the last run ended, and into today's format.
        Files that have to be rewritten wait for the end of the run, so that each is written once. Nothing may be
        published where this failed or was stopped."""
        await self._store.blocking(tidy, self._sink)
        await self._convert(raise_if_stopped)
        if await self._store.has_moved():  # else a row of this run may get the id it leaves
            await self.finish()

    async def _convert(self, raise_if_stopped: Callable[[], None]) -> None:
        """Rewrites what an earlier version published in today's format. Stopped, the next run goes on."""
        store = self._store
        if await store.fact(OUTPUT_FORMAT, int) == FORMAT:
            return
        rewriter = await store.blocking(Rewriter, self._sink, None, self._delay.clock)
        parts, attempts = await store.call(rewriter.list_format_1), await store.parts("attempts")
        ledger = await store.call(self._sink.attempts.of_earlier_versions, attempts)
        if count := len(parts) + len(ledger):
            log.warning("converting %s of an earlier version; nothing is sent for that", plural(count, "file"))
        for part in parts:
            raise_if_stopped()
            await store.call(rewriter.convert, part)
        for part in ledger:
            raise_if_stopped()
            await store.call(self._sink.attempts.convert, part, attempts[part])
        await store.call(rewriter.finish)
        await store.blocking(Checkpoint.convert_results)
        await store.set_fact(ERRORS_STALE, 1)
        await store.set_fact(OUTPUT_FORMAT, FORMAT)

    async def keep(self) -> None:
        """Publishes whenever a part is full, until `close`. Where the disk is full, `finish` does the rest."""
        try:
            await self._keep()
        except OutputError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in DISK_FULL:
                raise
            log.warning("the disk of the output folder is full: what is answered is published at the end of the run")

    async def _keep(self) -> None:
        store, seen_rows, seen_words = self._store, 0, 0
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), CHECK_INTERVAL_S)
                return
            rows, words = store.results_added
            is_long = words - seen_words >= PART_WORDS
            if is_long or rows - seen_rows >= self._rows_per_part:
                seen_rows, seen_words = rows, words
                # what was added may not be committed yet: then the part waits for more, unless its rows are long
                while is_long or await store.pending_results() >= self._rows_per_part:
                    await self._publish_new()
                    is_long = False
                while await store.pending_attempts() >= self._rows_per_part:
                    await self._publish_attempts()

    def close(self) -> None:
        """Ends `keep` after what it is publishing: two publishers at once would write the same part."""
        self._closing.set()

    async def finish(self, hashed: SettingsHash | None = None, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Publishes everything that is committed and unpublished.

        With `hashed`, transcripts are rewritten, too, whose manifest row has another reference or other metadata
        now, whose settings have another hash in their canonical form, or whose times are not as the verdict says by
        now. Once it `is_stopped` the next run does that, but for parts that are rewritten anyway.
        """
        while await self._publish_new():
            pass
        store = self._store
        retimes = hashed is not None and self._delay.retimes
        rewriter = await store.blocking(Rewriter, self._sink, hashed, self._delay.clock, retimes=retimes)
        for part, has_results in (await store.call(rewriter.list_parts)).items():
            if has_results or (hashed is not None and not is_stopped()):
                await store.call(rewriter.rewrite, part)
        await store.call(rewriter.finish)
        while await self._publish_attempts():
            pass

    async def write_errors_and_clips(self) -> None:
        """Rewrites errors.* and clips.jsonl where they may differ from what the checkpoint holds."""
        await self._store.blocking(write_stale, self._sink)

    async def describe(self) -> None:
        """Writes the dataset card and the views of the output where they are missing or differ. Where that fails, the
        output is as good without them."""
        try:
            await asyncio.to_thread(self._sink.describe)
        except OutputGone:
            raise
        except OutputError as error:
            log.warning("the files for readers were not written: %s", error)

    async def _publish_new(self) -> int:
        """Publishes transcripts that no part holds as the next part; returns how many."""
        store = self._store
        found = await store.new_results(self._rows_per_part, PART_BYTES)
        if found:
            next_part = max(await store.parts("transcripts"), default=0) + 1
            jsonl = await store.fact(JSONL_BYTES, int) or 0
            owner = await store.fact(OWNER, str)
            clock, append_at = self._delay.clock, None if jsonl == CLOSED_JSONL else jsonl
            rows, timed = await asyncio.to_thread(clock.published, [(n, with_service(row, owner)) for n, row in found])
            part, size = await asyncio.to_thread(self._sink.publish, rows, next_part, append_at)
            placed, counts = [(n, part) for n, _ in found], {part: len(found)} if part else {}
            await store.results_published(placed, counts, CLOSED_JSONL if size is None else size, timed)
        return len(found)

    async def _publish_attempts(self) -> int:
        store = self._store
        found = await store.attempts(self._rows_per_part)
        if found:
            part = max(await store.parts("attempts"), default=0) + 1
            await asyncio.to_thread(self._sink.attempts.publish, [attempt for _, attempt in found], part)
            await store.attempts_published(found[-1][0], part, len(found))
        return len(found)


def tidy(checkpoint: Checkpoint, sink: Sink) -> None:
    """Brings the folder back to what the checkpoint records. Raises OutputError."""
    committed = checkpoint.fact(JSONL_BYTES, int) or 0
    if not sink.tidy(checkpoint.parts("transcripts"), checkpoint.parts("attempts"), committed):
        log.warning("transcripts.jsonl is missing or truncated; it is rewritten from the parts at the end")
        checkpoint.set_fact(JSONL_BYTES, CLOSED_JSONL)
    elif committed == CLOSED_JSONL and not sink.has_parts:
        # the lines may hold rows already that are still to be appended
        checkpoint.set_fact(JSONL_BYTES, sink.drop_lines(checkpoint.never_published))


def write_stale(checkpoint: Checkpoint, sink: Sink) -> None:
    """Rewrites errors.* and clips.jsonl where they may differ from what the checkpoint holds. Raises OutputError."""
    checkpoint.trim_clips()
    if checkpoint.fact(ERRORS_STALE, int) != 0:
        sink.write_errors(checkpoint.failures)
        checkpoint.set_fact(ERRORS_STALE, 0)
    if checkpoint.fact(CLIPS_STALE, int) != 0:
        sink.write_clips(checkpoint.kept_clips)
        checkpoint.set_fact(CLIPS_STALE, 0)
