"""Published rows are written anew, a part at a time, or the JSONL where it stands alone: results take the place of old
rows, and transcripts get what is said of their recording by now. What nobody else holds of what goes is copied into the
checkpoint first.

Reads and writes the output folder and the checkpoint, in the checkpoint's thread; in memory is a batch of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain

from pipeline.checkpoint import Checkpoint, Identity
from pipeline.checkpoint.publishing import Refreshed as Retold
from pipeline.errors import OutputError
from pipeline.model import Transcript, Utterance
from pipeline.run.joining import retold, word_errors
from pipeline.run.settings_hash import SettingsHash
from pipeline.sink import Sink
from pipeline.sink.batches import in_batches

AT_ONCE, AT_ONCE_BYTES = 500, 4 << 20
TAKEN_OVER_BYTES = 64 << 20
"""Of what is copied into the checkpoint, after which it is looked whether that is too much."""


class Replacing:
    """Writes parts of one output anew."""

    def __init__(self, checkpoint: Checkpoint, sink: Sink, hashed: SettingsHash | None) -> None:
        """Without `hashed` only results take the place of rows, and none is refreshed."""
        self._checkpoint = checkpoint
        self._sink = sink
        self._hashed = hashed
        self._taken_over = 0

    def part(self, part: int, had: int, jsonl_bytes: int) -> None:
        """Writes a part anew that `had` so many rows (0: the JSONL, which stands alone). `jsonl_bytes` is what is to be
        noted of the JSONL, where it does not."""
        checkpoint = self._checkpoint
        self._copy_leaving(part, had)
        checkpoint.forget_retold()
        leaving = partial(checkpoint.leaving, part, refresh=self._hashed is not None)
        rows = chain(self._replacing(part), self._refreshed(part))
        if part:
            checkpoint.rewritten(part, self._sink.replace(part, leaving, rows, had), jsonl_bytes)
        else:
            checkpoint.rewritten(0, 0, self._sink.replace_lines(leaving, rows))

    def trim(self) -> None:
        """Bounds what was copied into the checkpoint."""
        if self._taken_over:
            self._checkpoint.trim_taken_over()
            self._taken_over = 0

    def _copy_leaving(self, part: int, had: int) -> None:
        checkpoint = self._checkpoint
        if not checkpoint.has_replaced_in(part):
            return
        # raises where rows are missing or cannot be read: nothing is forgotten then
        for batch in in_batches(self._sink.read(partial(checkpoint.replaced_in, part), part, had), AT_ONCE):
            self._taken_over += checkpoint.take_over(part, batch)
            if self._taken_over > TAKEN_OVER_BYTES:
                self.trim()
        checkpoint.forget_replaced_in(part)

    def _replacing(self, part: int) -> Iterator[Transcript]:
        """The results that take the place of rows, as their rows are by now."""
        done = 0
        while batch := self._checkpoint.replacing(part, done, AT_ONCE, AT_ONCE_BYTES):
            done = batch[-1].number
            told = [(one.n, one.transcript, one.told) for one in batch if one.told is not None]
            anew = self._retold(told) if self._hashed is not None else {}
            yield from (anew.get(one.n, one.transcript) for one in batch)

    def _refreshed(self, part: int) -> Iterator[Transcript]:
        """The transcripts that stand, as their rows are by now."""
        if self._hashed is None:
            return
        checkpoint, meant = self._checkpoint, partial(self._checkpoint.refreshing, part)
        for batch in in_batches(self._sink.read(meant, part), AT_ONCE):
            said = meant([row.id for row in batch])
            yield from self._retold([(said[row.id][0], row, said[row.id][1]) for row in batch]).values()
        if (lost := checkpoint.unretold(part)) is not None:
            raise OutputError(f"the transcript of {lost!r} is no longer in the output folder; restore it")

    def _retold(self, rows: list[tuple[int, Transcript, Utterance]]) -> dict[int, Transcript]:
        hashed = self._hashed
        assert hashed is not None  # noqa: S101 for the type checker
        anew = {n: retold(row, told, config_hash=hashed.canonical(told, row.config_hash)) for n, row, told in rows}
        self._checkpoint.note_retold(
            [Retold(n=n, config_hash=Identity.of(row).config_hash, **word_errors(row)) for n, row in anew.items()]
        )
        return anew
