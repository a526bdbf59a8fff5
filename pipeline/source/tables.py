"""Parquet files with an Audio column: what their footer says, and the contents of a row group one by one."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pipeline.errors import AudioUnreadable, SourceChanged
from pipeline.source.addresses import is_address
from pipeline.source.audio_column import audio_column
from pipeline.source.footer import Chunk, chunks_of
from pipeline.source.local import local_version, open_recording, read_error
from pipeline.source.protocol import FileInfo
from pipeline.source.ranged import RangedFile
from pipeline.source.row_group import Content
from pipeline.texts import presentable

if TYPE_CHECKING:
    from pipeline.source.sources import Sources

BLOCK_BYTES = 4 << 20
"""What is read at a time of contents."""
FOOTER_BYTES = 64 << 10


class Table:
    """A version of a file. Immutable; for several threads."""

    def __init__(
        self, sources: Sources, name: str, info: FileInfo, metadata: Any, leaf: str, chunks: list[Chunk]
    ) -> None:
        """`metadata` is the footer, `leaf` the column of bytes, which in each row group is one of the `chunks`."""
        self.name = name
        self.version = info.version
        self._sources = sources
        self._info = info
        self._metadata = metadata
        self._leaf = leaf
        self._starts: list[int] = list(accumulate((chunk.rows for chunk in chunks), initial=0))
        self._bytes = [chunk.bytes for chunk in chunks]

    def group_of(self, row: int) -> tuple[int, int]:
        """The number of a row's group, and its place there. Raises AudioUnreadable for a row that there is not."""
        if row >= self._starts[-1]:
            raise AudioUnreadable(f"{self.name}: there is no row {row}; its {self._starts[-1]:,} rows count from 0")
        number = bisect_right(self._starts, row) - 1
        return number, row - self._starts[number]

    def count(self, number: int) -> int:
        """The rows of a row group."""
        return self._starts[number + 1] - self._starts[number]

    def mean_bytes(self, number: int) -> int:
        """Of the recordings of a row group."""
        return self._bytes[number] // max(1, self.count(number))

    def contents(self, number: int) -> Generator[Content]:
        """The recordings of a row group, in their order. Raises as `Sources.fetch`, and SourceChanged."""
        import pyarrow.parquet as pq

        row, at_once = self._starts[number], max(1, min(BLOCK_BYTES, self._bytes[number]))
        with open_at(self._sources, self.name, self._info, at_once) as stream:
            batches = None
            try:
                while True:
                    with explained(f"{self.name}: row {row}", stream, self.version):
                        if batches is None:
                            # without pre_buffer, and with a buffer_size, a group is not read as a whole
                            file = pq.ParquetFile(
                                stream, metadata=self._metadata, pre_buffer=False, buffer_size=at_once
                            )
                            batches = file.iter_batches(1, row_groups=[number], columns=[self._leaf], use_threads=False)
                        batch = next(batches, None)
                        content = None if batch is None else _content(batch)
                    if batch is None:
                        if row < self._starts[number + 1]:
                            raise _damaged(f"{self.name}: row {row}", "its row group ends before it")
                        return
                    yield content
                    row += 1
            finally:
                del batches


def open_table(sources: Sources, name: str, info: FileInfo) -> Table:
    """Reads the footer of a file that is as `info` says. Raises as `Sources.fetch`; AudioUnreadable for a file that is
    damaged or has no recordings."""
    import pyarrow.parquet as pq

    with open_at(sources, name, info, FOOTER_BYTES) as stream, explained(name, stream, info.version):
        metadata = pq.read_metadata(stream)
        column = audio_column(metadata.schema.to_arrow_schema())
        if column is not None:
            leaf = f"{column}.bytes"
            return Table(sources, name, info, metadata, leaf, chunks_of(stream, leaf))
    raise AudioUnreadable(f"{name} has no column of recordings: a struct of `bytes` and `path` named `audio`")


@contextmanager
def open_at(sources: Sources, name: str, info: FileInfo, block_bytes: int) -> Iterator[io.RawIOBase]:
    """The file at a path or an address. Raises as `Sources.fetch`."""
    if is_address(name):
        yield RangedFile(sources, name, info, block_bytes)
        return
    if not info.is_regular:
        raise AudioUnreadable(f"{name} is no regular file")
    with open_recording(name) as file:
        _refuse_changed(name, file, info.version)
        yield file


@contextmanager
def explained(what: str, stream: io.RawIOBase, version: str) -> Iterator[None]:
    """Raises AudioUnreadable where a file is damaged, SourceChanged where it has another version by now, or the error
    of a disk that fails."""
    import pyarrow as pa

    try:
        yield
    except OSError as error:
        _refuse_changed(what, stream, version)
        if error.errno is not None:
            raise read_error(what, error) from error
        raise _damaged(what, error) from error
    except (pa.ArrowException, ValueError, TypeError, ArithmeticError, LookupError, EOFError, MemoryError) as error:
        _refuse_changed(what, stream, version)
        raise _damaged(what, error) from error
    _refuse_changed(what, stream, version)


def _refuse_changed(what: str, stream: io.RawIOBase, version: str) -> None:
    # parts of remote files are asked for by their version
    if isinstance(stream, io.FileIO) and local_version(os.fstat(stream.fileno())) != version:
        raise SourceChanged(f"{what}: the file was changed while it was read")


def _damaged(what: str, error: object) -> AudioUnreadable:
    return AudioUnreadable(f"{what}: the Parquet file is damaged: {presentable(str(error))}; write or upload it again")


def _content(batch: Any) -> Content:
    held = batch.column(0).field(0)
    if batch.column(0).null_count or held.null_count:
        return None
    return held[0].as_buffer()
