"""The output folder read past what is damaged in it: for a new checkpoint.

What cannot be read is kept under another name, and costs what is in it and no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from pipeline.durable import keep_as
from pipeline.model import Attempt, Failure, KeptClip, Transcript
from pipeline.sink.damage import DamagedFile, free_name, set_aside
from pipeline.sink.folder import set_damaged_aside
from pipeline.sink.publish import CLIPS_NAME, JSONL_NAME, OR_REBUILD, Sink, translated

ERRORS = ("errors.jsonl", "errors.parquet")
T = TypeVar("T", bound=msgspec.Struct)


class Salvage(Sink):
    """Reads the output folder, in whichever formats it is. Methods block and raise OutputError."""

    def __init__(self, out: Path) -> None:
        super().__init__(out, ("parquet", "jsonl"))
        self.damaged: list[Path] = []
        """Files that could not be read, or not to their end, as they are called now."""

    def set_damaged_aside(self) -> None:
        """Renames parts that nobody can read any more, and folders that lie where a file was."""
        from pipeline.sink.read import is_damaged

        with translated(self._out):
            for folder, row in (("transcripts", Transcript), ("attempts", Attempt)):
                self.damaged += set_damaged_aside(self._out / folder, partial(is_damaged, row))
            for name in (JSONL_NAME, CLIPS_NAME, *ERRORS):
                if (self._out / name).is_dir():
                    self.damaged.append(set_aside(self._out / name))

    def lines(self) -> Iterator[Transcript]:
        """All rows of the JSONL that can be read. A last line that a crash tore is no damage."""
        return self._readable(JSONL_NAME, Transcript, may_be_torn=True)

    def whole_lines(self) -> int:
        """Takes what cannot be read out of a JSONL that stands alone; returns its bytes. Where that is more than a torn
        last line, the file is kept as it was."""
        from pipeline.sink.lines import cut_torn_line, without
        from pipeline.sink.read import rows_in_lines

        path, harmed = self._out / JSONL_NAME, set[bytes]()
        with translated(self._out):
            size = cut_torn_line(path)
            deque(rows_in_lines(path, Transcript, harmed=harmed.add), 0)
            if harmed:
                self.damaged.append(free_name(path))
                size = without(path, harmed, self.damaged[-1])
        return size

    def attempts_in(self, part: int) -> tuple[int, dict[str, float], float]:
        """Rows of a part of the ledger, their credits by calendar month, and what of those may have been billed."""
        from pipeline.sink.read import attempts_in_part

        with translated(self._out):
            return attempts_in_part(self._out / "attempts", part)

    def attempts_of(self, id_: str, parts: Collection[int]) -> list[Attempt]:
        """The attempts of one utterance in these parts of the ledger."""
        from pipeline.sink.read import attempts_of

        with translated(self._out, OR_REBUILD):
            return [attempt for part in parts for attempt in attempts_of(self._out / "attempts", part, id_)]

    def keys_of_attempts(self, part: int) -> Collection[object]:
        """What `key_of` says of each attempt in a part of the ledger."""
        from pipeline.sink.read import keys_of_attempts

        with translated(self._out):
            return keys_of_attempts(self._out / "attempts", part)

    def errors(self) -> Iterator[Failure]:
        """What errors.jsonl says, and where it is damaged or not there errors.parquet as well."""
        from pipeline.sink.read import rows_in

        known = len(self.damaged)
        lines, table = (self._out / name for name in ERRORS)
        if lines.exists():
            yield from self._readable(lines.name, Failure)
        if table.exists() and (not lines.exists() or len(self.damaged) > known):
            with translated(self._out):
                try:
                    yield from rows_in(table, Failure)
                except DamagedFile:
                    self._keep(table)

    def clips(self) -> Iterator[KeptClip]:
        """What clips.jsonl says, where it can be read."""
        return self._readable(CLIPS_NAME, KeptClip) if self.holds_clips() else iter(())

    def _readable(self, name: str, row: type[T], *, may_be_torn: bool = False) -> Iterator[T]:
        from pipeline.sink.read import rows_in_lines

        harmed = deque[bytes](maxlen=1)

        def tell(line: bytes) -> None:
            if line.endswith(b"\n") or not may_be_torn:
                harmed.append(line)

        with translated(self._out, OR_REBUILD):
            yield from rows_in_lines(self._out / name, row, harmed=tell)
            if harmed:
                self._keep(self._out / name)

    def _keep(self, path: Path) -> None:
        """It is going to be written anew; as it is now it stays under another name."""
        self.damaged.append(free_name(path))
        keep_as(path, self.damaged[-1])
