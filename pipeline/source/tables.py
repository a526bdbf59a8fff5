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
from pipeline.source.local import local_version, open_recording, read_error
from pipeline.source.protocol import FileInfo
from pipeline.source.ranged import RangedFile
from pipeline.source.row_group import Content

if TYPE_CHECKING:
    from pipeline.source.sources import Sources

BLOCK_BYTES = 4 << 20
"""What is read at a time of contents."""
FOOTER_BYTES = 64 << 10


class Table:
    """A version of a file. Immutable; for several threads."""

    def __init__(self, sources: Sources, name: str, info: FileInfo, metadata: Any, column: str) -> None:
        """`metadata` is the footer, `column` has the recordings."""
        self.name = name
        self.version = info.version
        self._sources = sources
        self._info = info
        self._metadata = metadata
        self._leaf = f"{column}.bytes"
        counts = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        self._starts = list(accumulate(counts, initial=0))

    def group_of(self, row: int) -> tuple[int, int]:
        """The number of a row's group, and its place there. Raises AudioUnreadable for a row that there is not."""
        if row >= self._starts[-1]:
            raise AudioUnreadable(f"{self.name}: there is no row {row}; its {self._starts[-1]:,} rows count from 0")
        number = bisect_right(self._starts, row) - 1
        return number, row - self._starts[number]

    def mean_bytes(self, number: int) -> int:
        """Of the recordings of a row group."""
        group = self._metadata.row_group(number)
        for at in range(group.num_columns):
            column = group.column(at)
            if column.path_in_schema == self._leaf:
                return max(0, int(column.total_compressed_size)) // max(1, int(group.num_rows))
        return 0

    def contents(self, number: int) -> Generator[Content]:
        """The recordings of a row group, in their order. Raises as `Sources.fetch`, and SourceChanged."""
        import pyarrow.parquet as pq

        row = self._starts[number]
        with open_at(self._sources, self.name, self._info, BLOCK_BYTES) as stream:
            batches = None
            try:
                while True:
                    with explained(f"{self.name}: row {row}"):
                        if batches is None:
                            # without pre_buffer, and with a buffer_size, a group is not read as a whole
                            file = pq.ParquetFile(
                                stream, metadata=self._metadata, pre_buffer=False, buffer_size=BLOCK_BYTES
                            )
                            batches = file.iter_batches(1, row_groups=[number], columns=[self._leaf], use_threads=False)
                        batch = next(batches, None)
                        content = None if batch is None else _content(batch)
                    if isinstance(stream, io.FileIO) and local_version(os.fstat(stream.fileno())) != self.version:
                        raise SourceChanged(f"{self.name} was changed while it was read")
                    if batch is None:
                        return
                    yield content
                    row += 1
            finally:
                del batches


def open_table(sources: Sources, name: str, info: FileInfo) -> Table:
    """Reads the footer of a file that is as `info` says. Raises as `Sources.fetch`; AudioUnreadable for a file that is
    damaged or has no recordings."""
    import pyarrow.parquet as pq

    with open_at(sources, name, info, FOOTER_BYTES) as stream, explained(name):
        metadata = pq.read_metadata(stream)
        column = audio_column(metadata.schema.to_arrow_schema())
    if column is None:
        raise AudioUnreadable(f"{name} has no column of recordings: a struct of `bytes` and `path` named `audio`")
    return Table(sources, name, info, metadata, column)


@contextmanager
def open_at(sources: Sources, name: str, info: FileInfo, block_bytes: int) -> Iterator[io.RawIOBase]:
    """The file at a path or an address. Raises as `Sources.fetch`."""
    if is_address(name):
        yield RangedFile(sources, name, info, block_bytes)
        return
    if not info.is_regular:
        raise AudioUnreadable(f"{name} is no regular file")
    with open_recording(name) as file:
        yield file


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Raises AudioUnreadable where a file is damaged, or the error of a disk that fails."""
    import pyarrow as pa

    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise read_error(what, error) from error
        raise _damaged(what, error) from error
    except (pa.ArrowException, ValueError, OverflowError, TypeError, EOFError, MemoryError, RuntimeError) as error:
        raise _damaged(what, error) from error


def _damaged(what: str, error: BaseException) -> AudioUnreadable:
    return AudioUnreadable(f"{what}: the Parquet file is damaged: {error}; write or upload it again")


def _content(batch: Any) -> Content:
    held = batch.column(0).field(0)
    if batch.column(0).null_count or held.null_count:
        return None
    return held[0].as_buffer()
