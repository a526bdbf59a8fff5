"""The recordings of an export of one file for each: which rows they have, what their files are called, and which of
these are to be written anew. In the tables `recordings` and `rows` of its state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from pipeline.errors import UsageError
from pipeline.export.changes import places_in, rows_table
from pipeline.export.names import common_folder, key_of, mirrored, stem_of, unlike
from pipeline.export.rows import OutputRows
from pipeline.export.state import ExportState, hash_of
from pipeline.sink.rows import Order
from pipeline.source.addresses import is_address
from pipeline.texts import visible

_TABLES = f"""
{rows_table("recording INTEGER NOT NULL")};
CREATE INDEX IF NOT EXISTS rows_of ON rows (recording);
-- stem: the path of its file without the suffix. is_stale: its files are to be written anew, if need be by the next
-- export
CREATE TABLE IF NOT EXISTS recordings (n INTEGER PRIMARY KEY, audio TEXT NOT NULL UNIQUE, stem TEXT,
    is_stale INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS stale ON recordings (n) WHERE is_stale
"""
_LISTED = "temp.listed l JOIN recordings USING (audio)"
_OTHERS = f"""SELECT r.sort, r.place, r.recording FROM rows r LEFT JOIN ({_LISTED}) AS l USING (place)
    WHERE r.file IN (SELECT file FROM temp.listed_files) AND (l.id IS NOT r.id OR l.n IS NOT r.recording)"""  # noqa: S608
"""Rows that their file no longer has, or with another id or recording."""


class Listed(msgspec.Struct, frozen=True):
    """What is known of a row."""

    id: int
    digest: bytes | None
    """Of the row whose words were written; None where none was."""
    recording: int
    stem: str
    is_stale: bool
    """Whether the files of its recording are to be written anew."""
    is_alone: bool
    """Whether it is the only row of its recording."""


class Recordings:
    """The recordings of one export."""

    def __init__(self, state: ExportState, *, beside: bool) -> None:
        """`beside`: their files lie beside them, not in a folder that mirrors theirs."""
        self._state = state
        self._db = state.db
        self._beside = beside
        with state.failing():
            for statement in _TABLES.split(";"):
                self._db.execute(statement)

    def update(self, rows: OutputRows, changed: Collection[int], gone: Collection[int], order: Order) -> None:
        """Takes in the rows of changed files of the output, some of which are gone; new rows have no digest yet."""
        db = self._db
        with self._state.temporary(
            listed="place INTEGER PRIMARY KEY, file INTEGER, id INTEGER, audio TEXT",
            listed_files="file INTEGER PRIMARY KEY",
        ):
            db.executemany("INSERT INTO temp.listed_files VALUES (?)", ((file,) for file in (*changed, *gone)))
            for file in changed:
                count = 0
                for batch in rows.recordings(file):
                    numbers = range(count, count + len(batch))
                    places = places_in(file, numbers, order([id_ for id_, _ in batch]))
                    count += len(batch)
                    listed = (
                        (place, file, hash_of(id_), audio) for (id_, audio), place in zip(batch, places, strict=True)
                    )
                    db.executemany("INSERT OR REPLACE INTO temp.listed VALUES (?, ?, ?, ?)", listed)
            with self._state.transaction():
                added = db.execute(
                    """INSERT OR IGNORE INTO recordings (audio, is_stale)
                       SELECT audio, 1 FROM temp.listed ORDER BY place"""
                ).rowcount
                db.execute(f"UPDATE recordings SET is_stale = 1 WHERE n IN (SELECT recording FROM ({_OTHERS}))")  # noqa: S608
                others = f"SELECT sort, place FROM ({_OTHERS})"  # noqa: S608 fixed texts
                removed = db.execute(f"DELETE FROM rows WHERE (sort, place) IN ({others})").rowcount  # noqa: S608
                db.execute(
                    f"""INSERT INTO rows SELECT 0, l.place, l.file, l.id, NULL, n FROM {_LISTED} WHERE true
                        ORDER BY l.place ON CONFLICT DO UPDATE SET file = excluded.file,
                            digest = iif(id = excluded.id AND recording = excluded.recording, digest, NULL),
                            id = excluded.id, recording = excluded.recording"""  # noqa: S608 fixed texts
                )
                query = "SELECT EXISTS (SELECT 1 FROM recordings WHERE n NOT IN (SELECT recording FROM rows))"
                if added or removed or db.execute(query).fetchone()[0]:
                    self._name()

    # -- names --------------------------------------------------------------------------------------------------------

    def _name(self) -> None:
        """Names the files of all recordings: as the recording, without its ending where no other one is called so."""
        db = self._db
        audios = "SELECT n, audio FROM recordings WHERE n IN (SELECT recording FROM rows)"
        if self._beside:
            self._refuse_addresses(audio for _, audio in db.execute(audios))
        root = "/" if self._beside else common_folder(audio for _, audio in db.execute(audios))
        with self._state.temporary(named="n INTEGER PRIMARY KEY, audio TEXT, name TEXT, key TEXT"):
            mirrored_ = ((n, audio, mirrored(audio, root)) for n, audio in db.execute(audios))
            stems = ((n, audio, stem := stem_of(name), key_of(stem)) for n, audio, name in mirrored_)
            db.executemany("INSERT INTO temp.named VALUES (?, ?, ?, ?)", stems)
            db.execute("CREATE INDEX temp.named_key ON named (key)")
            self._rename_alike(lambda audio: mirrored(audio, root))  # with their endings
            self._rename_alike(lambda audio: unlike(audio, root))
            db.execute(
                """UPDATE recordings SET stem = t.name, is_stale = 1 FROM temp.named t
                   WHERE t.n = recordings.n AND t.name IS NOT stem"""
            )

    def _refuse_addresses(self, recordings: Iterable[str]) -> None:
        if (address := next(filter(is_address, recordings), None)) is not None:
            raise UsageError(
                f"--beside: {visible(address)} is no local file, beside which another could be written; name a folder "
                "with --to"
            )

    def _rename_alike(self, name: Callable[[str], str]) -> None:
        """Gives those that have the name of another one the name that `name` makes of their path."""
        db = self._db
        alike = db.execute(
            "SELECT n, audio FROM temp.named WHERE key IN (SELECT key FROM temp.named GROUP BY key HAVING count(*) > 1)"
        ).fetchall()
        renamed = ((found := name(audio), key_of(found), n) for n, audio in alike)
        db.executemany("UPDATE temp.named SET name = ?, key = ? WHERE n = ?", renamed)

    # -- what is to be written ----------------------------------------------------------------------------------------

    def mark_stale(self, numbers: Collection[int]) -> None:
        """Has the files of these recordings be written anew."""
        with self._state.transaction():
            self._db.executemany("UPDATE recordings SET is_stale = 1 WHERE n = ?", ((n,) for n in numbers))

    def known(self, places: Sequence[int]) -> list[Listed | None]:
        """What is known of the rows at these places."""
        query = """SELECT r.id, r.digest, r.recording, c.stem, c.is_stale,
                1 = (SELECT count(*) FROM (SELECT 1 FROM rows o WHERE o.recording = c.n LIMIT 2))
            FROM rows r JOIN recordings c ON c.n = r.recording WHERE r.sort = 0 AND r.place = ?"""
        found = (self._db.execute(query, (place,)).fetchone() for place in places)
        return [None if row is None else Listed(*row) for row in found]

    def files_of_stale(self) -> list[int]:
        """The files of the output with rows of recordings whose files are to be written anew."""
        query = "SELECT DISTINCT file FROM rows WHERE recording IN (SELECT n FROM recordings WHERE is_stale)"
        return sorted(file for (file,) in self._db.execute(query))

    def drop_empty(self) -> None:
        """Deletes the recordings without rows and files, within a transaction of the caller."""
        self._db.execute(
            """DELETE FROM recordings WHERE n NOT IN (SELECT recording FROM rows)
               AND n NOT IN (SELECT owner FROM files)"""
        )

    def files_of(self, ids: Collection[int]) -> dict[str, bool]:
        """The files of the recordings of these (hashed) ids, and those of which it is not known what they hold, because
        an export was killed: each with whether that is known."""
        with self._asked(ids) as of:
            found = self._db.execute(
                f"""SELECT name, owner IN ({of}) FROM files WHERE owner IN ({of}) OR size IS NULL
                    OR owner NOT IN (SELECT recording FROM rows)"""  # noqa: S608 fixed texts
            ).fetchall()
        return {name: bool(is_known) for name, is_known in found}

    def remove(self, ids: Collection[int]) -> None:
        """Removes the rows of these (hashed) ids, and has the others of their recordings be written anew. Within a
        transaction of the caller, after their files are gone."""
        with self._asked(ids) as of:
            self._db.execute(f"UPDATE recordings SET is_stale = 1 WHERE n IN ({of})")  # noqa: S608 fixed texts
            self._db.execute("DELETE FROM rows WHERE id IN (SELECT id FROM temp.asked)")

    @contextmanager
    def _asked(self, ids: Collection[int]) -> Iterator[str]:
        """Yields SQL for the recordings of these (hashed) ids."""
        with self._state.temporary(asked="id INTEGER PRIMARY KEY"):
            self._db.executemany("INSERT OR IGNORE INTO temp.asked VALUES (?)", ((id_,) for id_ in ids))
            yield "SELECT recording FROM rows WHERE id IN (SELECT id FROM temp.asked)"
