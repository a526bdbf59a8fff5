"""Exports to formats of one or a few files in which each row has lines of its own.

The state knows how long the lines of each row are. So only rows of changed files of the output are read again; a new
file is made of the old one and the lines of changed rows, which wait in a temporary database.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from pipeline.export.changes import Changed, changes_of, drop_rows, rows_table
from pipeline.export.exported import Exported
from pipeline.export.filters import RowFilter
from pipeline.export.formats.format import LineFormat
from pipeline.export.rows import OutputRows
from pipeline.export.splice import Splice
from pipeline.export.state import ExportState, hash_of
from pipeline.export.writing import (
    COMPRESSED,
    failing,
    holds_more,
    opened,
    refuse_foreign,
    remove,
    remove_unfinished,
    rename_all,
    stands,
    writing,
)
from pipeline.model import Transcript
from pipeline.report.rows_bar import RowsBar
from pipeline.sink.rows import Order

AS_MANIFEST = 0
"""The `sort` of rows in the order of the manifest."""
UNWANTED = -1
"""That of rows that are not asked for, and …"""
BEFORE_ALL = (UNWANTED, -1)
"""… the `sort` and place before those of all rows."""
_EVENTS = """SELECT sort, place, max(number) AS number FROM (SELECT sort, place, 0 AS number FROM temp.dropped
    UNION ALL SELECT sort, place, rowid FROM temp.changed) GROUP BY sort, place ORDER BY sort, place"""


class LineExport:
    """One export of this kind, whose files are in `folder`."""

    def __init__(self, state: ExportState, folder: Path, kind: LineFormat, *, overwrite: bool) -> None:
        """`overwrite` also what others wrote, or changed."""
        self._state = state
        self._db = state.db
        self._folder = folder
        self._format = kind
        self._overwrite = overwrite
        self._lengths = [f"length_{number}" for number in range(len(kind.files))]
        with state.failing():
            self._db.execute(rows_table(", ".join(f"{name} INTEGER NOT NULL" for name in self._lengths)))

    def update(self, rows: OutputRows, order: Order, wanted: RowFilter, progress: RowsBar) -> Exported:
        """Writes what changed. Raises UsageError where a file is there that the export did not write as it is."""
        is_whole = self._check_files()
        versions = rows.versions()
        changed, gone = self._state.changed_sources(versions)
        progress.start(rows.count(changed))
        with (
            self._state.failing(),
            changes_of(self._state, (*changed, *gone)) as changes,
            self._gathering(),
        ):
            for file in changed:
                for some in changes.read(rows, file, order, wanted, progress, words=self._format.needs_words):
                    self._gather(file, some)
            self._db.execute(f"INSERT INTO temp.dropped {changes.unseen()}")
            return self._publish(versions, is_whole=is_whole)

    def remove(self, ids: Sequence[int]) -> list[str]:
        """Takes rows out of the files, by the hashes of their ids. Files of which it is not known what they hold,
        because an export was killed, are removed, and written anew by the next one; those that somebody changed stay,
        and are returned."""
        remove_unfinished(self._folder, self._format.files)
        with self._state.failing(), self._gathering():
            drop_rows(self._state, ids)
            [found, is_unknown] = self._db.execute(
                """SELECT (SELECT count(*) FROM temp.dropped), EXISTS (SELECT 1 FROM files WHERE size IS NULL)
                   OR EXISTS (SELECT 1 FROM files) AND NOT EXISTS (SELECT 1 FROM rows)"""
            ).fetchone()
            if not (found or is_unknown):
                return []
            known = {name: stands(self._folder, name, *stamp) for name, *stamp, _ in self._state.files()}
            if not is_unknown and all(known.values()):
                self._publish(None, is_whole=True)
                return []
            edited = [name for name, is_there in known.items() if is_there is False]
            remove(self._folder, [name for name in self._format.files if name not in edited])
            return edited

    # -- finding what changed -----------------------------------------------------------------------------------------

    def _check_files(self) -> bool:
        """Whether the files stand as they were written; where they do not, everything is to be written anew."""
        known = {name: stands(self._folder, name, *stamp) for name, *stamp, _ in self._state.files()}
        [is_new] = self._db.execute("SELECT NOT EXISTS (SELECT 1 FROM rows)").fetchone()
        heads = [self._folder / name for name in self._format.files], map(len, self._format.header)
        if all(known.get(name) for name in self._format.files) and not (is_new and any(map(holds_more, *heads))):
            return True
        if not self._overwrite:
            refuse_foreign(self._folder, [name for name in self._format.files if known.get(name, False) is False])
        with self._state.transaction():
            self._db.execute("DELETE FROM rows")
            self._state.read_again()
        return False

    def _gathering(self) -> AbstractContextManager[None]:
        lengths = ", ".join(self._lengths)
        changed = f"sort, place, file, id, digest, {lengths}, content BLOB"
        return self._state.temporary(changed=changed, dropped="sort, place")

    def _gather(self, file: int, some: Sequence[Changed]) -> None:
        insert = f"INSERT INTO temp.changed VALUES ({', '.join('?' * (6 + len(self._lengths)))})"  # noqa: S608
        found, dropped = [], []
        for one in some:
            sort, lines = self._lines(one.row) if one.is_wanted else (UNWANTED, (b"",) * len(self._lengths))
            lengths, content = map(len, lines), b"".join(lines)
            found.append((sort, one.place, file, hash_of(one.row.id), one.digest, *lengths, content))
            dropped += one.left(sort)
        self._db.executemany(insert, found)
        self._db.executemany("INSERT INTO temp.dropped VALUES (?, ?)", dropped)

    def _lines(self, row: Transcript) -> tuple[int | bytes, tuple[bytes, ...]]:
        place = self._format.place(row)
        return AS_MANIFEST if place is None else place, self._format.lines(row)

    # -- writing ------------------------------------------------------------------------------------------------------

    def _publish(self, versions: dict[int, str] | None, *, is_whole: bool) -> Exported:
        """Writes the files anew if a row changed, and records it with the `versions` that were read."""
        db, names = self._db, self._format.files
        [shown, dropped] = db.execute(
            """SELECT (SELECT count(*) FROM temp.changed WHERE sort <> ?),
                (SELECT count(*) FROM temp.dropped WHERE sort <> ?)""",
            (UNWANTED, UNWANTED),
        ).fetchone()
        is_written = bool(shown or dropped or not is_whole)
        if is_written:
            with ExitStack() as stack:
                files = [stack.enter_context(self._splicing(number, is_whole)) for number in range(len(names))]
                self._splice(files)
            self._state.claim(names)
            rename_all([self._folder / name for name in names])
        with self._state.transaction():
            db.execute("DELETE FROM rows WHERE (sort, place) IN (SELECT sort, place FROM temp.dropped)")
            columns = ", ".join(("sort", "place", "file", "id", "digest", *self._lengths))
            db.execute(f"INSERT OR REPLACE INTO rows SELECT {columns} FROM temp.changed ORDER BY sort, place, rowid")  # noqa: S608
            if is_written:
                for name in names:
                    self._state.written(self._folder, name)
            if versions is not None:
                self._state.set_sources(versions)
        is_empty = " AND ".join(f"{name} = 0" for name in self._lengths)
        empty, rows = db.execute(
            f"SELECT coalesce(sum({is_empty}), 0), count(*) FROM rows WHERE sort <> ?",  # noqa: S608 fixed texts
            (UNWANTED,),
        ).fetchone()
        left = {"rows without anything that this format has": empty} if empty else {}
        return Exported(
            where=str(self._folder), unit="row", total=rows - empty, written=shown, removed=dropped, left=left
        )

    @contextmanager
    def _splicing(self, number: int, is_whole: bool) -> Iterator[Splice]:
        name = self._format.files[number]
        with ExitStack() as stack:
            old = None
            if is_whole:
                with failing(self._folder / name):
                    old = stack.enter_context(opened(self._folder / name))
            new: BinaryIO = stack.enter_context(writing(self._folder / name))
            if name.endswith(COMPRESSED):
                packed = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=new, mtime=0)
                new = cast(BinaryIO, stack.enter_context(packed))
            header = self._format.header[number]
            new.write(header)
            yield Splice(old, new, len(header))

    def _splice(self, files: Sequence[Splice]) -> None:
        """Writes the new files: of the old ones what lies between the changes, and the lines of changed rows."""
        db = self._db
        sums = ", ".join(f"CAST(total({name}) AS INTEGER)" for name in self._lengths)
        kept = f"SELECT {sums} FROM rows WHERE "  # noqa: S608 fixed texts
        between, behind = f"{kept} (sort, place) > (?, ?) AND (sort, place) < (?, ?)", f"{kept} (sort, place) > (?, ?)"
        at = f"{kept} sort = ? AND place = ?"
        new = ", ".join(f"c.{name}" for name in self._lengths)
        events = f"""SELECT e.sort, e.place, c.content, {new} FROM ({_EVENTS}) e
            LEFT JOIN temp.changed c ON c.rowid = e.number"""  # noqa: S608 fixed texts
        [is_new] = db.execute("SELECT NOT EXISTS (SELECT 1 FROM rows)").fetchone()
        last: tuple[Any, int] = BEFORE_ALL
        for sort, place, content, *sizes in db.execute(events):
            here = (sort, place)
            if not is_new:
                keep, skip = db.execute(between, (*last, *here)).fetchone(), db.execute(at, here).fetchone()
                for file, to_keep, to_skip in zip(files, keep, skip, strict=True):
                    file.copy(to_keep)
                    file.skip(to_skip)
            if content is not None:
                start = 0
                for file, size in zip(files, sizes, strict=True):
                    file.write(content[start : start + size])
                    start += size
            last = here
        if not is_new:
            for file, to_keep in zip(files, db.execute(behind, last).fetchone(), strict=True):
                file.copy(to_keep)
