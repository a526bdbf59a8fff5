"""The files of a Hugging Face data set: its shards, each with the rows of a range of places, and its description."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.export.formats.hub import HubRow, row_groups, shard_name, table_of, writer_options
from pipeline.export.formats.hub_card import CARD, STATE, card
from pipeline.export.formats.hub_card import state as state_of
from pipeline.export.formats.hub_splits import TRAIN
from pipeline.export.state import ExportState, hash_of
from pipeline.export.writing import failing, holds, refuse_foreign, remove, rename_all, stands, write_all, writing

SHARD_BYTES = 500_000_000
"""With so many, as they are in memory, a shard is full."""
ROWS_AT_ONCE = 200
BYTES_AT_ONCE = 16 << 20
"""New rows that become one table."""
FIRST, BEHIND_ALL = -1, (1 << 63) - 1
"""Places before and behind those of all rows."""
_TABLES = "CREATE TABLE IF NOT EXISTS shards (n INTEGER PRIMARY KEY, split TEXT, number INTEGER, first INTEGER)"
_SHARD = "n, split, number, first"
Piece = tuple[int, pa.Table]
"""The place of the first of some neighbouring rows, and these rows."""


class Keep(msgspec.Struct, frozen=True):
    """In place of a new row: the old one stays, if there is one."""


Change = tuple[int, HubRow | Keep | None]
"""What is to be at a place now; None: nothing."""


class Shard(msgspec.Struct, frozen=True):
    """A shard: the rows of its split from the place `first` to the `first` of the next one."""

    n: int
    split: str
    number: int
    first: int

    @property
    def name(self) -> str:
        return shard_name(self.split, self.number)


class DataSet:
    """The data set of one export in its folder."""

    def __init__(self, state: ExportState, folder: Path, *, with_audio: bool, overwrite: bool) -> None:
        """`overwrite` also what others wrote."""
        self._state = state
        self._db = state.db
        self._folder = folder
        self._with_audio = with_audio
        self._overwrite = overwrite
        with state.failing():
            self._db.execute(_TABLES)

    def damaged(self) -> list[int]:
        """The shards whose files are missing, or not as they were written. Raises UsageError where one of the latter
        may not be overwritten."""
        found: list[int] = []
        for name, size, mtime_ns, shard in [*self._state.files()]:
            is_there = stands(self._folder, name, size, mtime_ns)
            if shard and not is_there:
                if is_there is False:
                    self._refuse_foreign(name)
                    remove(self._folder, [name])
                self._db.execute("UPDATE files SET size = NULL, mtime_ns = NULL WHERE name = ?", (name,))
                found.append(shard)
        return found

    def files(self) -> Iterator[tuple[Shard, int | None]]:
        """All shards, each with the rows of its file; None where that was not written to its end."""
        for shard in [Shard(*row) for row in self._db.execute(f"SELECT {_SHARD} FROM shards").fetchall()]:  # noqa: S608
            with failing(self._folder / shard.name):
                is_written = self._is_written(shard)
                yield shard, pq.read_metadata(self._folder / shard.name).num_rows if is_written else None

    def shards(self, split: str) -> list[Shard]:
        """The shards of a split, which have all places; a new one where there is none."""
        query = f"SELECT {_SHARD} FROM shards WHERE split = ? ORDER BY number"  # noqa: S608 fixed texts
        first, *others = [Shard(*row) for row in self._db.execute(query, (split,))] or [self._new(split, 0, FIRST)]
        return [msgspec.structs.replace(first, first=FIRST), *others]  # one before it may have been removed

    def write(self, shard: Shard, changes: Iterator[Change], *, is_last: bool) -> Iterator[tuple[Shard, Shard | None]]:
        """Writes a shard anew with the changes in its range; yields it. The last one of its split is followed by
        others when it is full: then the next of them is yielded with it, which gets the rows from its `first` on, also
        old ones. What was yielded is to be recorded, with `written`, before the next is asked for."""
        pieces = _pieces(_merged(self._old(shard), changes), with_audio=self._with_audio)
        while True:
            self._write(shard, self._up_to(pieces) if is_last else pieces)
            if (rest := next(pieces, None)) is None:
                yield shard, None
                return
            following = self._new(shard.split, shard.number + 1, rest[0])
            yield shard, following
            pieces, shard = chain([rest], pieces), following

    def written(self, shard: Shard) -> None:
        """Records a shard as written, in the transaction of the caller that records its rows."""
        self._state.written(self._folder, shard.name, shard.n)

    def describe(self) -> None:
        """Writes the card where there is none but ours, and the file by which `datasets` sees changes. A data set
        without rows has one shard without rows, whose name tells nothing of former rows."""
        without = self._without_rows()
        [is_empty] = self._db.execute("SELECT NOT EXISTS (SELECT 1 FROM rows WHERE shard IS NOT NULL)").fetchone()
        kept = next((shard for shard in without if is_empty and shard.split == TRAIN), None)
        for shard in (one for one in without if one != kept):
            self._remove(shard)
        if is_empty and not (kept and (kept, 0) in self.files()):
            shard = kept or self._new(TRAIN, 0, FIRST)
            self._write(shard, iter(()))
            with self._state.transaction():
                self.written(shard)
        splits = [split for (split,) in self._db.execute("SELECT DISTINCT split FROM shards ORDER BY split")]
        files = {name: tuple(stamp) for name, *stamp, _ in self._state.files()}
        shards = [(name, ":".join(map(str, stamp))) for name, stamp in files.items() if name.endswith(".parquet")]
        contents = {CARD: card(splits, with_audio=self._with_audio).encode(), STATE: state_of(splits, shards).encode()}
        with failing(self._folder):
            if (self._folder / CARD).exists() and not stands(self._folder, CARD, *files.get(CARD, (None, None))):
                del contents[CARD]  # somebody's own by now
        changed = {name: content for name, content in contents.items() if not holds(self._folder / name, content)}
        self._state.claim(changed)
        write_all(self._folder, changed)
        with self._state.transaction():
            for name in changed:
                self._state.written(self._folder, name)

    # -- one shard ----------------------------------------------------------------------------------------------------

    def _write(self, shard: Shard, pieces: Iterable[Piece]) -> None:
        options = writer_options(with_audio=self._with_audio)
        with writing(self._folder / shard.name) as file, pq.ParquetWriter(file, **options) as writer:
            for group in row_groups(table for _, table in pieces):
                writer.write_table(group, row_group_size=max(1, group.num_rows))
        self._state.claim([shard.name], shard.n)
        rename_all([self._folder / shard.name])

    def _up_to(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The first pieces, until a shard is full."""
        size = 0
        for place, table in pieces:
            yield place, table
            size += table.nbytes
            if size >= SHARD_BYTES:
                return

    def _old(self, shard: Shard) -> Iterator[tuple[list[int], pa.Table]]:
        """The row groups of a shard as it is, each with the places of its rows."""
        if not self._is_written(shard):
            return
        places = dict(self._db.execute("SELECT id, place FROM rows WHERE shard = ?", (shard.n,)))
        if not places:  # all rows are new
            return
        with failing(self._folder / shard.name), (self._folder / shard.name).open("rb") as source:
            file = pq.ParquetFile(source, pre_buffer=False)
            for number in range(file.num_row_groups):
                group = file.read_row_group(number, use_threads=False)
                found = [places.get(hash_of(id_)) for id_ in group["id"].to_pylist()]
                # others were written by an export that was killed before it recorded them: they are among the changes
                known = [number for number, place in enumerate(found) if place is not None]
                if known:
                    rows = group if len(known) == len(found) else group.take(known)
                    yield [place for place in found if place is not None], rows

    def _is_written(self, shard: Shard) -> bool:
        """Whether there is a file of a shard, which was written to its end."""
        query = "SELECT size IS NOT NULL FROM files WHERE name = ?"
        return bool((self._db.execute(query, (shard.name,)).fetchone() or [False])[0])

    def _new(self, split: str, number: int, first: int) -> Shard:
        self._refuse_foreign(shard_name(split, number))
        with self._state.transaction():
            insert = "INSERT INTO shards (split, number, first) VALUES (?, ?, ?)"
            shard = Shard(self._db.execute(insert, (split, number, first)).lastrowid or 0, split, number, first)
        self._state.claim([shard.name], shard.n)  # so that a kill from now on has it written again
        return shard

    def _without_rows(self) -> list[Shard]:
        query = f"SELECT {_SHARD} FROM shards WHERE n NOT IN (SELECT shard FROM rows WHERE shard IS NOT NULL)"  # noqa: S608
        return [Shard(*row) for row in self._db.execute(query)]

    def _remove(self, shard: Shard) -> None:
        remove(self._folder, [shard.name])
        with self._state.transaction():
            self._db.execute("DELETE FROM files WHERE name = ?", (shard.name,))
            self._db.execute("DELETE FROM shards WHERE n = ?", (shard.n,))

    def _refuse_foreign(self, name: str) -> None:
        if not self._overwrite:
            refuse_foreign(self._folder, [name])


def _merged(
    old: Iterable[tuple[list[int], pa.Table]], changes: Iterator[Change]
) -> Iterator[tuple[int, pa.Table | HubRow]]:
    """The old rows with the changes, in the order of places: some neighbouring old rows, or one new row."""
    change = next(changes, None)
    for places, table in old:
        start = 0
        while change is not None and change[0] <= places[-1]:
            place, new = change
            at = bisect_left(places, place, start)
            if at > start:
                yield places[start], table.slice(start, at - start)
            is_there = at < len(places) and places[at] == place
            start = at + (is_there and not isinstance(new, Keep))
            if isinstance(new, tuple):
                yield place, new
            change = next(changes, None)
        if start < len(places):
            yield places[start], table.slice(start)
    while change is not None:
        if isinstance(change[1], tuple):
            yield change[0], change[1]
        change = next(changes, None)


def _pieces(merged: Iterable[tuple[int, pa.Table | HubRow]], *, with_audio: bool) -> Iterator[Piece]:
    """The same with neighbouring new rows as tables."""
    waiting: list[HubRow] = []
    first, size = 0, 0
    for place, rows in merged:
        if waiting and (not isinstance(rows, tuple) or len(waiting) >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE):
            yield first, table_of(waiting, with_audio=with_audio)
            waiting, size = [], 0
        if not isinstance(rows, tuple):
            yield place, rows
            continue
        first = first if waiting else place
        waiting.append(rows)
        size += 0 if rows[1] is None else len(rows[1].data)
    if waiting:
        yield first, table_of(waiting, with_audio=with_audio)
