"""Finds the rows that changed since an export, in the files of the output that changed.

The table `rows` of a state has what each row wrote: `sort` and `place` order them (`sort` is 0 where the manifest's
order counts), `file` is the file of the output that had the row, `id` the hash of its id, `digest` that of what it
writes; each kind of export adds columns of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from pipeline.checkpoint.lookup import LAST
from pipeline.export.filters import RowFilter
from pipeline.export.rows import Batch, OutputRows
from pipeline.export.state import ExportState, hash_of
from pipeline.model import Transcript
from pipeline.report.rows_bar import RowsBar
from pipeline.sink.rows import Order

FILE_PLACES = 1 << 31
"""The places that rows of one file have which no manifest knows."""
COLUMNS = ("sort", "place", "file", "digest")
AT_ONCE = 500


class Known(NamedTuple):
    """What is known of a row."""

    sort: Any
    place: int
    file: int
    digest: bytes | None


class Changed(NamedTuple):
    """A row that is new or changed."""

    row: Transcript
    place: int
    digest: bytes
    is_wanted: bool
    before: Known | None

    def left(self, sort: Any) -> list[tuple[Any, int]]:
        """The place that it had before, if it has another one with this `sort`."""
        if self.before is None or (self.before.sort, self.before.place) == (sort, self.place):
            return []
        return [(self.before.sort, self.before.place)]


def rows_table(columns: str) -> str:
    """The SQL that makes the table `rows` with further `columns`."""
    return f"""CREATE TABLE IF NOT EXISTS rows (sort NOT NULL, place INTEGER NOT NULL, file INTEGER NOT NULL,
        id INTEGER NOT NULL, digest BLOB, {columns}, PRIMARY KEY (sort, place)) WITHOUT ROWID"""


class Changes:
    """The rows of files that changed, beside what the export knows of them."""

    def __init__(self, state: ExportState) -> None:
        self._db = state.db
        [self._is_empty] = self._db.execute("SELECT NOT EXISTS (SELECT 1 FROM temp.before)").fetchone()

    def read(
        self, rows: OutputRows, file: int, order: Order, wanted: RowFilter, progress: RowsBar, *, words: bool
    ) -> Iterator[list[Changed]]:
        """The rows of a file that are new or changed, some at a time; without `words` as `OutputRows.batches` has
        them."""
        first = 0
        for batch in rows.batches(file, words=words):
            numbers, known = self._changed(batch, file)
            new = batch.rows(numbers)
            places = places_in(file, [first + number for number in numbers], order([row.id for row in new]))
            yield [
                Changed(row, place, batch.digests[number], is_wanted, known[number])
                for number, row, place, is_wanted in zip(numbers, new, places, wanted.selects(new), strict=True)
            ]
            first += len(batch.ids)
            progress.advance(len(batch.ids))

    def _changed(self, batch: Batch, file: int) -> tuple[list[int], list[Known | None]]:
        """The numbers of those rows of a batch that are new or changed, and what is known of all of them."""
        known = self._known(batch.ids)
        moved = [(file, one.sort, one.place) for one in known if one is not None and one.file != file]
        self._db.executemany("UPDATE rows SET file = ? WHERE sort = ? AND place = ?", moved)
        pairs = enumerate(zip(known, batch.digests, strict=True))
        # without a place in the manifest, its place is that in its file
        return [
            number for number, (one, digest) in pairs if one is None or one.digest != digest or one.place >= LAST
        ], known

    def _known(self, ids: Sequence[str]) -> list[Known | None]:
        """What is known of rows that were read; they count as seen then."""
        if self._is_empty:
            return [None] * len(ids)
        hashes = [hash_of(id_) for id_ in ids]
        found: dict[int, Known] = {}
        for start in range(0, len(hashes), AT_ONCE):
            some = hashes[start : start + AT_ONCE]
            marks = ", ".join("?" * len(some))
            query = f"SELECT id, {', '.join(COLUMNS)} FROM temp.before WHERE id IN ({marks})"  # noqa: S608 fixed texts
            found.update((id_, Known(*row)) for id_, *row in self._db.execute(query, some))
        self._db.executemany("INSERT OR IGNORE INTO temp.seen VALUES (?)", ((hash_,) for hash_ in found))
        return [found.get(hash_) for hash_ in hashes]

    def unseen(self) -> str:
        """SQL for (sort, place) of the rows that their files no longer have."""
        return "SELECT sort, place FROM temp.before WHERE id NOT IN (SELECT id FROM temp.seen)"


@contextmanager
def changes_of(state: ExportState, files: Collection[int]) -> Iterator[Changes]:
    """The changes in `files` of the output, some of which may be gone."""
    db, columns = state.db, ", ".join(("id", *COLUMNS))
    with state.temporary(changed_files="file INTEGER PRIMARY KEY", before=columns, seen="id INTEGER PRIMARY KEY"):
        db.executemany("INSERT INTO temp.changed_files VALUES (?)", ((file,) for file in files))
        db.execute(
            f"""INSERT INTO temp.before SELECT {columns} FROM rows
                WHERE file IN (SELECT file FROM temp.changed_files)"""  # noqa: S608 fixed texts
        )
        db.execute("CREATE INDEX temp.before_id ON before (id)")
        yield Changes(state)


def drop_rows(state: ExportState, ids: Iterable[int]) -> None:
    """Adds the rows of these (hashed) ids to `temp.dropped`, in one pass over all rows."""
    with state.temporary(asked="id INTEGER PRIMARY KEY"):
        state.db.executemany("INSERT OR IGNORE INTO temp.asked VALUES (?)", ((id_,) for id_ in ids))
        state.db.execute(
            "INSERT INTO temp.dropped SELECT sort, place FROM rows WHERE id IN (SELECT id FROM temp.asked)"
        )


def places_in(file: int, numbers: Sequence[int], places: Sequence[int]) -> list[int]:
    """The places of rows of a file, with their numbers there; those that no manifest has come last, as the file has
    them."""
    behind = LAST + file * FILE_PLACES
    return [place if place < LAST else behind + number for number, place in zip(numbers, places, strict=True)]
