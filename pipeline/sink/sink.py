"""Writes and reads the output in its formats: transcripts in parts and JSONL, attempts, errors, clips.

Files are always written first, durably; then the caller records them in the checkpoint. After a crash in between, the
same rows are published again and replace the earlier ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from pipeline.clips import KeptClip
from pipeline.errors import OutputError
from pipeline.model import Failure, Transcript
from pipeline.sink.describe import CARD, STATE, VIEWS, describe
from pipeline.sink.forgotten import NAME as FORGOTTEN
from pipeline.sink.lines import Lines
from pipeline.sink.parts import AttemptParts, Parts
from pipeline.sink.rows import Order, Which, in_batches
from pipeline.sink.store import Store

if TYPE_CHECKING:
    from pipeline.sink.parquet import Table

JSONL, CLIPS, ERRORS_JSONL, ERRORS_TABLE = "transcripts.jsonl", "clips.jsonl", "errors.jsonl", "errors.parquet"
ERRORS_AT_ONCE = 10_000


class Sink:
    """An output in the configured formats. Methods block and raise OutputError."""

    def __init__(self, store: Store, formats: Collection[str] = ("parquet", "jsonl")) -> None:
        """`formats` may be left out where an output is only read: whatever it holds is found."""
        self.has_parts = "parquet" in formats
        """Whether there are Parquet parts, from which the JSONL can be rewritten."""
        self.attempts = AttemptParts(store)
        self._jsonl = "jsonl" in formats
        self._store = store
        self.parts = Parts(store, "transcripts", Transcript)
        self.lines = Lines(store, JSONL, Transcript)
        self.clips = Lines(store, CLIPS, KeptClip)
        self.errors = Lines(store, ERRORS_JSONL, Failure)

    def holds_transcripts(self) -> bool:
        """Whether the folder has transcripts."""
        return bool(self.parts.numbers() or self.lines.size())

    # -- reading ----------------------------------------------------------------------------------------------------

    def rows(self, part: int, which: Which | None = None, had: int | None = None) -> Iterator[Transcript]:
        """The rows of a part, or of the JSONL (0): those that `which` selects, or all. Raises OutputError where it
        cannot be read, or at the end where a part does not have `had` rows."""
        if part:
            yield from self.parts.table(part).rows(which, had)
        else:
            yield from self.lines.rows() if which is None else self.lines.rows_of(which)

    def check(self, transcripts: Mapping[int, int], attempts: Mapping[int, int], committed: int) -> None:
        """Reads all files. Raises OutputError where one cannot be read or differs from what was recorded: the parts
        with their rows, and the `committed` bytes of the JSONL (-1: all of it)."""
        self.parts.check(transcripts)
        self.attempts.check(attempts)
        if self._jsonl and committed:
            if not self._lines_are_there(committed):
                raise OutputError(f"{self._store.location(JSONL)} is missing, or shorter than what was written")
            if self.lines.size() is not None:
                deque(self.lines.rows(None if committed < 0 else committed), 0)
        for lines in (self.errors, self.clips):
            if lines.size() is not None:
                deque(lines.rows(), 0)
        if self._store.size(ERRORS_TABLE) is not None:
            deque(self._errors_table().rows(), 0)

    # -- writing ----------------------------------------------------------------------------------------------------

    def tidy(self, transcripts: Collection[int], attempts: Collection[int], committed: int) -> bool:
        """Removes what a crash left: the part that was not recorded, and temporary files. Returns whether the JSONL has
        the `committed` bytes; else it has to be rewritten from the parts.

        Raises OutputError where recorded rows are lost, or where there are files that no crash can leave.
        """
        self.parts.remove_unrecorded(transcripts)
        self.attempts.remove_unrecorded(attempts)
        self._store.remove_unfinished(JSONL, CLIPS, ERRORS_TABLE, ERRORS_JSONL, CARD, VIEWS, STATE)
        self._store.remove_unfinished("summary.json", "runs/*", FORGOTTEN)
        if self._lines_are_there(committed):
            return True
        if not self.has_parts:
            raise OutputError(
                f"{self._store.location(JSONL)} is missing, or shorter than what was written; restore it, "
                f"or run gradium-batch rebuild {self._store.location()} to go on with what is there"
            )
        return False

    def cut_lines(self, committed: int) -> None:
        """Cuts off what a crash left behind the `committed` bytes of the JSONL."""
        if self._jsonl and self.lines.size() is not None:
            self.lines.append((), committed)

    def drop_lines(self, which: Which) -> int:
        """Rewrites the JSONL without the rows that `which` selects; returns its bytes."""
        return self.lines.replace(which, ()) if self._jsonl and self.lines.size() is not None else 0

    def publish(self, rows: Sequence[Transcript], next_part: int, jsonl_bytes: int | None) -> tuple[int, int | None]:
        """Writes new rows as the part `next_part`, and after the first `jsonl_bytes` of the JSONL (None: rewritten
        later). Returns the part (0 without parts) and the bytes of the JSONL, None where it has to be rewritten."""
        if self.has_parts:
            self.parts.table(next_part).write([rows])
        elif jsonl_bytes is None:  # nothing would hold the rows
            raise OutputError(f"{self._store.location(JSONL)} was not brought into order; run the same command again")
        part = next_part if self.has_parts else 0
        if not self._jsonl:
            return part, 0
        return part, None if jsonl_bytes is None else self.lines.append(rows, jsonl_bytes)

    def replace(self, part: int, which: Which, rows: Iterable[Transcript], had: int, order: Order) -> int:
        """Rewrites a part, which has `had` rows, without those that `which` selects and with `rows`, sorted by the
        places that `order` gives them; returns its new number of rows, before `rewrite_lines` for the JSONL. Part 0
        is a JSONL without parts, whose new rows come last: returns its bytes."""
        return self.parts.table(part).replace(which, rows, had, order) if part else self.lines.replace(which, rows)

    def is_format_1(self, part: int) -> bool:
        """Whether a version before 0.2 wrote a part (0: a JSONL without parts)."""
        return self.parts.table(part).is_format_1() if part else self.lines.is_format_1()

    def rewrite_lines(self, parts: Mapping[int, int]) -> int:
        """Rewrites the JSONL from the parts, with their numbers of rows; returns its bytes."""
        if not self._jsonl:
            return 0
        return self.lines.write(row for part, had in sorted(parts.items()) for row in self.rows(part, had=had))

    def write_clips(self, clips: Callable[[], Iterator[KeptClip]]) -> None:
        """Rewrites clips.jsonl; removes it where there are no clips."""
        found = clips()
        if (first := next(found, None)) is None:
            self._store.remove(CLIPS)
        else:
            self.clips.write(chain([first], found))

    def write_errors(self, failures: Callable[[], Iterator[Failure]]) -> None:
        """Rewrites errors.parquet and errors.jsonl; iterates `failures()` once for each."""
        if self.has_parts:
            self._errors_table().write(in_batches(failures(), ERRORS_AT_ONCE))
        if self._jsonl:
            self.errors.write(failures())

    def describe(self) -> None:
        """Writes the files that tell readers how to load the output, where they are missing or differ."""
        describe(self._store, has_parts=self.has_parts)

    def _lines_are_there(self, committed: int) -> bool:
        return not self._jsonl or committed <= 0 or self.lines.ends_line_at(committed)

    def _errors_table(self) -> Table[Failure]:
        from pipeline.sink.parquet import Table

        return Table(self._store, ERRORS_TABLE, Failure)
