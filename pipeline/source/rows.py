"""Recordings inside of Parquet files, as Hugging Face data sets have them: `FILE.parquet#row=17`, from 0.

A file is local or remote; of the latter only parts are read. Its row groups are read from their beginning on,
because Parquet files have no index of their rows: it is fast to ask for the rows of a file in their order.
"""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.errors import AudioUnreadable, SourceChanged
from pipeline.source.addresses import ROW
from pipeline.source.copying import too_large, write
from pipeline.source.protocol import FileInfo
from pipeline.source.row_group import Passed, RowGroup
from pipeline.source.tables import Table, open_table

if TYPE_CHECKING:
    from pipeline.source.sources import Sources

STATUS_KEPT_S = 2.0
"""So long a file's version is not asked for again: a run asks for each of its rows."""
TABLES_KEPT = 8
GROUPS_KEPT = 2
"""Row groups that stay open though nobody waits for one of their rows: the last ones, and up to …"""
SMALL_GROUPS_KEPT, SMALL_GROUPS_BYTES = 16, 64 << 20
"""… so many, of so many bytes together: a run asks for the rows of several small ones at a time."""
PASSED_BYTES = 64 << 20
"""Of rows that were passed by, of all row groups."""
BYTES_PER_S = 16_000
"""Typical of FLAC, which most data sets have."""


class ParquetRows:
    """Reads them from files that are local or remote, by `sources`. For several threads."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._tables: OrderedDict[str, Table] = OrderedDict()
        self._asked_at: dict[str, float] = {}
        """When the version of a table was last asked for."""
        self._opening: dict[str, threading.Lock] = {}
        """So that several threads open a file once."""
        self._groups: OrderedDict[tuple[Table, int], _Used] = OrderedDict()
        self._passed = Passed(PASSED_BYTES)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Closes files, except those that are being read."""
        with self._lock:
            self._tables.clear()
            self._close_idle(0, 0)

    def stat(self, path: str) -> FileInfo:
        """The version is that of the file, size and length are those of an average row of its row group. Raises as
        `Sources.stat`, and AudioUnreadable where the file has no such row."""
        file, row = _file_and_row(path)
        table = self._table(file)
        return _info(table, table.group_of(row)[0])

    def fetch(self, path: str, file: io.FileIO, max_bytes: int) -> FileInfo:
        """Writes the recording into an empty file. Raises as `Sources.fetch`."""
        name, row = _file_and_row(path)
        try:
            return self._fetch(name, row, file, max_bytes)
        except SourceChanged:
            with self._lock:
                self._asked_at.pop(name, None)
            return self._fetch(name, row, file, max_bytes)  # from the new file

    def _fetch(self, name: str, row: int, file: io.FileIO, max_bytes: int) -> FileInfo:
        table = self._table(name)
        number, at = table.group_of(row)
        with self._group(table, number) as group:
            content = group.take(at)
            if content is None:
                raise AudioUnreadable(f"{name}: row {row} has no audio: its `bytes` are null")
            if content.size > max_bytes:
                raise too_large(content.size, max_bytes)
            try:
                write(file, memoryview(content))
            except BaseException:
                group.put_back(at, content)  # it is asked for again
                raise
        return _info(table, number)._replace(size_bytes=content.size)

    def _table(self, name: str) -> Table:
        """The current table of that name. Raises as `stat`."""
        with self._lock:
            opening = self._opening.setdefault(name, threading.Lock())
        with opening:
            with self._lock:
                table = self._tables.get(name)
                if table is not None:
                    self._tables.move_to_end(name)
                    if time.monotonic() < self._asked_at.get(name, 0.0) + STATUS_KEPT_S:
                        return table
            info = self._sources.stat(name)
            if table is None or table.version != info.version:
                table = open_table(self._sources, name, info)
            with self._lock:
                self._tables[name] = table
                self._asked_at[name] = time.monotonic()
                while len(self._tables) > TABLES_KEPT:
                    self._asked_at.pop(self._tables.popitem(last=False)[0], None)
            return table

    @contextmanager
    def _group(self, table: Table, number: int) -> Iterator[RowGroup]:
        with self._lock:
            used = self._groups.get((table, number))
            if used is None:
                count = table.count(number)
                used = _Used(
                    RowGroup(count, lambda: table.contents(number), self._passed), count * table.mean_bytes(number)
                )
                self._groups[table, number] = used
            self._groups.move_to_end((table, number))
            used.count += 1
        try:
            yield used.group
        finally:
            with self._lock:
                used.count -= 1
                self._close_idle(GROUPS_KEPT, SMALL_GROUPS_KEPT)

    def _close_idle(self, kept: int, small_kept: int) -> None:
        idle = [(key, used) for key, used in reversed(self._groups.items()) if not used.count]
        taken = 0
        for number, (key, used) in enumerate(idle):
            taken += used.size_bytes
            if number >= kept and (number >= small_kept or taken > SMALL_GROUPS_BYTES):
                del self._groups[key]
                used.group.close()


class _Used:
    """A row group, and how many threads use it."""

    def __init__(self, group: RowGroup, size_bytes: int) -> None:
        self.group = group
        self.size_bytes = size_bytes
        self.count = 0


def _file_and_row(path: str) -> tuple[str, int]:
    """The file and the row of an address."""
    name, _, row = path.rpartition(ROW)
    return name, int(row)


def _info(table: Table, number: int) -> FileInfo:
    size = table.mean_bytes(number)
    return FileInfo(table.version, size, size / BYTES_PER_S)
