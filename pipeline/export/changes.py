"""Finds the rows that changed since an export, in the files of the output that changed.

The table `rows` of a state has what each row wrote: `sort` and `place` order them (`sort` is 0 where the manifest's
order counts), `file` is the file of the output that had the row, `id` the hash of its id, `digest` that of what it
writes; each kind of export adds columns of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pipeline.checkpoint.lookup import LAST
from pipeline.export.state import ExportState, hash_of

FILE_PLACES = 1 << 31
"""The places that rows of one file have which no manifest knows."""
COLUMNS = ("sort", "place", "digest")
Known = tuple[Any, ...]
"""(sort, place, digest, further columns …) of a row."""


def rows_table(columns: str) -> str:
    """The SQL that makes the table `rows` with further `columns`."""
    return f"""CREATE TABLE IF NOT EXISTS rows (sort NOT NULL, place INTEGER NOT NULL, file INTEGER NOT NULL,
        id INTEGER NOT NULL, digest BLOB, {columns}, PRIMARY KEY (sort, place)) WITHOUT ROWID"""


class Changes:
    """The rows of files that changed, beside what the export knows of them."""

    def __init__(self, state: ExportState, columns: Sequence[str]) -> None:
        self._db = state.db
        self._find = f"SELECT {', '.join((*COLUMNS, *columns))} FROM temp.before WHERE id = ?"  # noqa: S608

    def known(self, ids: Sequence[str]) -> list[Known | None]:
        """What is known of rows that were read; they count as seen then."""
        hashes = [hash_of(id_) for id_ in ids]
        found = [self._db.execute(self._find, (hash_,)).fetchone() for hash_ in hashes]
        self._db.executemany("INSERT OR IGNORE INTO temp.seen VALUES (?)", ((hash_,) for hash_ in hashes))
        return found

    def unseen(self) -> str:
        """SQL for (sort, place) of the rows that their files no longer have."""
        return "SELECT sort, place FROM temp.before WHERE id NOT IN (SELECT id FROM temp.seen)"


@contextmanager
def changes_of(state: ExportState, files: Collection[int], columns: Sequence[str]) -> Iterator[Changes]:
    """The changes in `files` of the output, some of which may be gone; `columns` are the further ones of `rows`."""
    db = state.db
    with state.failing():
        db.execute("CREATE TEMP TABLE changed_files (file INTEGER PRIMARY KEY)")
        db.executemany("INSERT INTO temp.changed_files VALUES (?)", ((file,) for file in files))
        db.execute(
            f"""CREATE TEMP TABLE before AS SELECT id, {", ".join((*COLUMNS, *columns))} FROM rows
                WHERE file IN (SELECT file FROM temp.changed_files)"""  # noqa: S608 fixed texts
        )
        db.execute("CREATE INDEX temp.before_id ON before (id)")
        db.execute("CREATE TEMP TABLE seen (id INTEGER PRIMARY KEY)")
    try:
        yield Changes(state, columns)
    finally:
        for table in ("changed_files", "before", "seen"):
            db.execute(f"DROP TABLE IF EXISTS temp.{table}")


def places_in(file: int, first: int, places: Sequence[int]) -> list[int]:
    """The places of rows of a file, of which the first is its row number `first`; those that no manifest has come last,
    as the files have them."""
    behind = LAST + file * FILE_PLACES + first
    return [place if place < LAST else behind + number for number, place in enumerate(places)]
