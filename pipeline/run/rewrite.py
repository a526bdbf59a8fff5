"""Rewrites published rows, a part at a time, or the JSONL where it stands alone: new transcripts take the place of old
rows, others get the fields of their current manifest row, or times with or without the decoder's delay, and rows of an
earlier format are converted. An old transcript that is nowhere else is copied into the checkpoint first.

Reads and writes the output folder and the checkpoint, in the checkpoint's thread; in memory is a batch of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain

import msgspec

from pipeline.checkpoint import Checkpoint, Identity
from pipeline.checkpoint.publishing import Refreshed
from pipeline.checkpoint.schema import CLOSED_JSONL, JSONL_BYTES, OWNER
from pipeline.checkpoint.subtracted import Timed
from pipeline.earlier import with_span
from pipeline.errors import OutputError
from pipeline.model import ClipTimes, Transcript, Utterance
from pipeline.run.delay import Clock
from pipeline.run.join import for_row, with_service, with_word_error_rate, word_errors
from pipeline.run.settings_hash import SettingsHash
from pipeline.segments import has_turns
from pipeline.sink import Sink
from pipeline.sink.rows import AT_ONCE_BYTES, ROWS_AT_ONCE, in_batches

COPIED_BYTES = 64 << 20
"""Copied bytes after which the copies in the checkpoint are trimmed."""


class Rewriter:
    """Rewrites parts of one output. Methods block, and raise OutputError or CheckpointError."""

    def __init__(
        self, checkpoint: Checkpoint, sink: Sink, hashed: SettingsHash | None, clock: Clock, *, retimes: bool = False
    ) -> None:
        """New transcripts take the place of rows, with times by `clock`. With `hashed` others are refreshed; where it
        `retimes`, those that follow the verdict get other times."""
        self._checkpoint = checkpoint
        self._sink = sink
        self._hashed = hashed
        self._clock = clock
        self._wanted = clock.applied if retimes else None
        """Whether the delay should be taken off; None: whatever rows have, they keep."""
        self.retimed = 0
        """Rows that got other times."""
        self._owner = checkpoint.fact(OWNER, str)
        self._had: dict[int, int] = {}
        self._copied_bytes = 0

    def list_parts(self) -> dict[int, bool]:
        """The parts in which rows do not stay as they are, and whether new transcripts take the place of some."""
        self._had = self._checkpoint.parts("transcripts")
        found = self._checkpoint.list_replacing()
        stale = [] if self._wanted is None else self._checkpoint.stale_parts(self._wanted)
        return {part: found.get(part, False) for part in sorted({*found, *stale})}

    def list_format_1(self) -> list[int]:
        """The parts of format 1 (0: the JSONL, which stands alone)."""
        parts = self._checkpoint.parts("transcripts") if self._sink.has_parts else [0]
        return [part for part in parts if self._sink.is_format_1(part)]

    def convert(self, part: int) -> None:
        """Rewrites a part (0: the JSONL, which stands alone) of format 1 in today's format, with what the checkpoint
        knows about its rows; the JSONL beside parts follows in `finish`. Repeated, it does the same."""
        checkpoint = self._checkpoint
        had, committed = checkpoint.parts("transcripts").get(part, 0), checkpoint.fact(JSONL_BYTES, int) or 0
        if not part and committed != CLOSED_JSONL:
            self._sink.lines.append((), committed)  # without what a crash left behind them
        checkpoint.set_fact(JSONL_BYTES, CLOSED_JSONL)
        converted = chain.from_iterable(self._converted(part, batch) for batch in in_batches(self._sink.rows(part)))
        if part:
            self._sink.replace(part, lambda ids: ids, converted, had, checkpoint.places_of)
        else:
            checkpoint.set_fact(JSONL_BYTES, self._sink.lines.write(converted))

    def rewrite(self, part: int) -> None:
        """Rewrites a part (0: the JSONL, which stands alone); the JSONL beside parts follows in `finish`."""
        checkpoint = self._checkpoint
        checkpoint.set_fact(JSONL_BYTES, CLOSED_JSONL)
        had = self._had.get(part, 0)
        self._copy_replaced(part, had)
        checkpoint.begin_rewriting()
        superseded = partial(checkpoint.superseded, part, refresh=self._hashed is not None, wanted=self._wanted)
        rows = chain(self._new(part), self._changed(part))
        written = self._sink.replace(part, superseded, rows, had, checkpoint.places_of)
        checkpoint.rewritten(part, written if part else 0, CLOSED_JSONL if part else written)

    def finish(self) -> None:
        """Bounds what was copied into the checkpoint, and rewrites the JSONL from the parts where it waits for that."""
        checkpoint = self._checkpoint
        self._trim_copied()
        if self._sink.has_parts and checkpoint.fact(JSONL_BYTES, int) == CLOSED_JSONL:
            checkpoint.set_fact(JSONL_BYTES, self._sink.rewrite_lines(checkpoint.parts("transcripts")))

    def _converted(self, part: int, rows: list[Transcript]) -> list[Transcript]:
        asked = self._checkpoint.rows_of([row.id for row in rows])
        known = [with_span(row, asked[row.id]) if row.id in asked else row for row in rows]
        converted = [
            with_service(with_word_error_rate(row) if has_turns(row.words) else row, self._owner) for row in known
        ]
        # their text reads otherwise now
        turns = [row for row in converted if row.reference is not None and has_turns(row.words)]
        counts = [(row.id, word_errors(row)) for row in turns]
        self._checkpoint.recount(part, [(id_, count["ref_words"], count["ref_errors"]) for id_, count in counts])
        return converted

    def _copy_replaced(self, part: int, had: int) -> None:
        checkpoint = self._checkpoint
        if not checkpoint.has_replaced_in(part):
            return
        # raises where rows are missing or cannot be read: nothing is forgotten then
        for batch in in_batches(self._sink.rows(part, partial(checkpoint.replaced_in, part), had)):
            self._copied_bytes += checkpoint.take_over(part, batch)
            if self._copied_bytes > COPIED_BYTES:
                self._trim_copied()
        checkpoint.forget_replaced_in(part)

    def _trim_copied(self) -> None:
        if self._copied_bytes:
            self._checkpoint.trim_taken_over()
            self._copied_bytes = 0

    def _new(self, part: int) -> Iterator[Transcript]:
        """The transcripts that take the place of rows, with the fields of their current manifest rows."""
        done = 0
        while batch := self._checkpoint.replacing(part, done, ROWS_AT_ONCE, AT_ONCE_BYTES):
            done = batch[-1].number
            changed = [(one.n, one.transcript, one.row) for one in batch if one.row is not None]
            refreshed = {} if self._hashed is None else self._refresh(self._hashed, changed)
            rows = [(one.n, with_service(refreshed.get(one.n, one.transcript), self._owner)) for one in batch]
            yield from self._timed(rows)[0]

    def _changed(self, part: int) -> Iterator[Transcript]:
        """The transcripts that stay, with the new fields of their manifest rows, or with other times."""
        checkpoint, hashed, wanted = self._checkpoint, self._hashed, self._wanted

        def refreshing(ids: list[str]) -> dict[str, tuple[int, Utterance]]:
            return {} if hashed is None else checkpoint.refreshing(part, ids)

        def stale(ids: list[str]) -> dict[str, tuple[int, tuple[ClipTimes, ...]]]:
            return {} if wanted is None else checkpoint.stale(part, ids, wanted)

        if hashed is None and wanted is None:
            return
        for batch in in_batches(self._sink.rows(part, lambda ids: {*refreshing(ids), *stale(ids)})):
            ids = [old.id for old in batch]
            rows, times = refreshing(ids), stale(ids)
            changed = [(rows[old.id][0], old, rows[old.id][1]) for old in batch if old.id in rows]
            renewed = {} if hashed is None else self._refresh(hashed, changed)
            others = []
            for old in batch:
                n = (times if old.id in times else rows)[old.id][0]
                row = renewed.get(n, old)
                if old.id in times:
                    others.append((n, msgspec.structs.replace(row, clip_times=times[old.id][1])))
                else:
                    yield row
            published, timed = self._timed(others)
            self.retimed += sum(one.times is not None for one in timed)
            yield from published
        missing = None if hashed is None else checkpoint.not_refreshed(part)
        if missing is None and wanted is not None:
            missing = checkpoint.not_retimed(part, wanted)
        if missing is not None:
            raise OutputError(f"the transcript of {missing!r} is no longer in the output folder; restore it")

    def _timed(self, rows: list[tuple[int, Transcript]]) -> tuple[list[Transcript], list[Timed]]:
        """The rows as they are published, and what is noted for the checkpoint."""
        published, timed = self._clock.published(rows)
        self._checkpoint.note_timed(timed)
        return published, timed

    def _refresh(self, hashed: SettingsHash, changed: list[tuple[int, Transcript, Utterance]]) -> dict[int, Transcript]:
        """The transcripts by number, with the fields of their manifest rows."""
        renewed = {n: with_service(_renewed(hashed, old, row), self._owner) for n, old, row in changed}
        self._checkpoint.note_refreshed(
            [Refreshed(n=n, config_hash=Identity.of(row).config_hash, **word_errors(row)) for n, row in renewed.items()]
        )
        return renewed


def _renewed(hashed: SettingsHash, old: Transcript, row: Utterance) -> Transcript:
    """The transcript with the fields of its manifest row; but its span stays, which the row may no longer ask for."""
    own = {"offset_s": old.offset_s, "span_s": old.span_s, "channel": old.channel}
    return for_row(old, row, config_hash=hashed.canonical(row, old.config_hash), **own)
