"""Reads the rows of an output as its files have them. Only reads, also while a run is at work."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from pipeline.checkpoint.connection import holds_something
from pipeline.checkpoint.schema import CHECKPOINT
from pipeline.errors import UsageError
from pipeline.model import Transcript
from pipeline.sink import FolderStore, Sink
from pipeline.sink.rows import Which, in_batches

LISTS = ("words", "segments", "request_ids")
"""The columns that take most of the time to read."""


class OutputRows:
    """The rows of one output folder, file by file: its parts by number, or its JSONL (0) where there are none. Methods
    raise OutputError."""

    def __init__(self, out: Path) -> None:
        """Raises UsageError where the folder is no output."""
        self.out = out
        self._store = FolderStore(out)
        self.sink = Sink(self._store)
        self.files()

    def files(self) -> list[int]:
        """The files that there are."""
        if parts := self.sink.parts.numbers():
            return parts
        if self.sink.lines.size() is not None:
            return [0]
        if holds_something(self.out / CHECKPOINT):
            return []
        hint = ": name the folder that it is in" if self.out.name == "transcripts" else ""
        there = "there is no transcript and no checkpoint in it" if self.out.is_dir() else "there is no such folder"
        raise UsageError(f"{self.out} is no output of gradium-batch: {there}{hint}")

    def versions(self) -> dict[int, str]:
        """The files, each with a text that is another one where its content may have changed."""
        return {file: self._store.version(self.sink.parts.name(file) if file else self.sink.lines.name)
                for file in self.files()}  # fmt: skip

    def count(self, files: Collection[int]) -> int:
        """The rows of parts; a JSONL, which would have to be read for that, counts as none."""
        return sum(self.sink.parts.table(file).count() for file in files if file)

    def batches(self, file: int, which: Which | None = None, *, words: bool = True) -> Iterator[list[Transcript]]:
        """The rows of a file, or those that `which` selects, a few hundred at a time. Without `words` their words,
        segments and request_ids may be empty, which is many times as fast."""
        if file and not words and not self.sink.is_format_1(file):
            yield from in_batches(self.sink.parts.table(file).rows(which, without=LISTS))
        else:
            yield from in_batches(self.sink.rows(file, which))

    def recordings(self, file: int) -> Iterator[list[tuple[str, str]]]:
        """The id of each row of a file, and where its recording lies."""
        if file:
            for table in self.sink.parts.table(file).tables(["id", "audio"]):
                yield [*zip(table["id"].to_pylist(), table["audio"].to_pylist(), strict=True)]
        else:
            yield from ([(row.id, row.audio) for row in batch] for batch in self.batches(file))
