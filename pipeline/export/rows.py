"""Reads the rows of an output as its files have them. Only reads, also while a run is at work."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline.checkpoint.connection import holds_something
from pipeline.checkpoint.schema import CHECKPOINT
from pipeline.errors import UsageError
from pipeline.export.state import digest_of
from pipeline.model import Transcript
from pipeline.sink import FolderStore, Sink
from pipeline.sink.rows import in_batches

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.sink.parquet import Table

LISTS = ("words", "segments", "request_ids")
"""The columns that take most of the time to read."""
_encode = msgspec.msgpack.Encoder().encode


class Batch:
    """Some neighbouring rows of a file, which become records only when they are asked for."""

    def __init__(self, ids: Sequence[str], digests: Sequence[bytes]) -> None:
        self.ids = ids
        self.digests = digests
        """Of all that was read of each row: equal for equal rows, of one file or another version of it."""

    def rows(self, numbers: Sequence[int]) -> list[Transcript]:
        """The rows of these numbers, from 0."""
        raise NotImplementedError


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
        if self.out.is_file():
            there = "it is a file; name the folder that a run wrote, by default runs/NAME"
        raise UsageError(f"{self.out} is no output of gradium-batch: {there}{hint}")

    def versions(self) -> dict[int, str]:
        """The files, each with a text that is another one where its content may have changed."""
        names = {file: self.sink.parts.name(file) if file else self.sink.lines.name for file in self.files()}
        return {file: self._store.version(name) for file, name in names.items()}

    def count(self, files: Collection[int]) -> int:
        """The rows of parts; a JSONL, which would have to be read for that, counts as none."""
        return sum(self.sink.parts.table(file).count() for file in files if file)

    def batches(self, file: int, *, words: bool = True) -> Iterator[Batch]:
        """The rows of a file, a few hundred at a time. Without `words` their words, segments and request_ids may be
        empty, which is many times as fast. Raises UsageError for an output of a version before 0.2, whose rows do not
        say of which part of their recording they are."""
        if self.sink.is_format_1(file):
            raise UsageError(
                f"{self.out} was written by a version before 0.2; run its manifest into it once, which converts it and "
                "sends nothing for that, then export it"
            )
        if file:
            table = self.sink.parts.table(file)
            left_out = () if words else LISTS
            for columns in table.batches(without=left_out):
                yield _Columns(table, columns, left_out)
        else:
            yield from (_Records(batch) for batch in in_batches(self.sink.rows(file)))

    def recordings(self, file: int) -> Iterator[list[tuple[str, str]]]:
        """The id of each row of a file, and where its recording lies."""
        if file:
            for table in self.sink.parts.table(file).tables(["id", "audio"]):
                yield [*zip(table["id"].to_pylist(), table["audio"].to_pylist(), strict=True)]
        else:
            yield from ([(row.id, row.audio) for row in batch] for batch in in_batches(self.sink.rows(0)))


class _Columns(Batch):
    def __init__(self, table: Table[Transcript], columns: pa.RecordBatch, without: Collection[str]) -> None:
        self._table = table
        self._columns = columns
        self._without = without
        values = [column.to_pylist() for column in columns.columns]
        audio = columns["audio_hash"].to_pylist()
        rows = zip(zip(*values, strict=True), audio, strict=True)
        super().__init__(columns["id"].to_pylist(), [digest_of(_encode(row), hash_) for row, hash_ in rows])

    def rows(self, numbers: Sequence[int]) -> list[Transcript]:
        return self._table.records(self._columns, numbers, without=self._without)


class _Records(Batch):
    def __init__(self, rows: Sequence[Transcript]) -> None:
        self._rows = rows
        super().__init__([row.id for row in rows], [digest_of(_encode(row), row.audio_hash) for row in rows])

    def rows(self, numbers: Sequence[int]) -> list[Transcript]:
        return [self._rows[number] for number in numbers]
