"""Unpublished transcripts and attempts, and published rows to be rewritten: replaced by a newer transcript, or
refreshed with changed reference or metadata.

Temporary tables hold the state of a rewrite, so that memory stays flat. Part 0 stands for a JSONL without parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from pipeline.checkpoint.codec import decode_attempt, decode_transcript, decode_utterance
from pipeline.checkpoint.connection import Database, reads, transaction, writes
from pipeline.checkpoint.schema import JSONL_BYTES, TO_REFRESH
from pipeline.checkpoint.selection import up_to
from pipeline.checkpoint.sqlite_errors import translated
from pipeline.checkpoint.subtracted import Timed, begin_notes, is_stale, save_noted, save_timed
from pipeline.model import Attempt, Transcript, Utterance

Unpublished = tuple[int, bytes]
"""(n, the encoded transcript)."""
_TABLES = """
DROP TABLE IF EXISTS temp.replacing;
DROP TABLE IF EXISTS temp.refreshed;
CREATE TEMP TABLE replacing (number INTEGER PRIMARY KEY, part INTEGER NOT NULL, n INTEGER NOT NULL, was TEXT);
INSERT INTO temp.replacing (part, n, was) SELECT u.part, n, r.was FROM results r JOIN utterances u USING (n)
    WHERE u.part IS NOT NULL ORDER BY u.part, n;
CREATE INDEX temp.replacing_part ON replacing (part, number);
CREATE INDEX temp.replacing_was ON replacing (was, part) WHERE was IS NOT NULL;
CREATE TEMP TABLE refreshed (n INTEGER PRIMARY KEY, config TEXT NOT NULL, ref_words INTEGER, ref_errors INTEGER);
"""


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """A transcript that replaces a published row."""

    number: int
    """Its place in the order of replacements."""
    n: int
    transcript: Transcript
    row: Utterance | None
    """Its manifest row, where reference or metadata differ from the transcript's."""


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """A published transcript was rewritten with current reference and metadata."""

    n: int
    config_hash: str
    """Of its identity from now on."""
    ref_words: int = 0
    ref_errors: int = 0


class Publishing(Database):
    """What has to be published, and what was."""

    def __init__(self, path: Path, *, only_read: bool = False) -> None:
        super().__init__(path, only_read=only_read)
        if not only_read:
            try:
                with translated(path):
                    self._list_first_results()
            except BaseException:
                self._db.close()
                raise

    def _list_first_results(self) -> None:
        """Lists the results without a published row, so that they are found among any number of replacements."""
        # a journal on disk would write each temporary row twice
        self._db.execute("PRAGMA temp.journal_mode = MEMORY")
        self._db.execute("CREATE TEMP TABLE unpublished (n INTEGER PRIMARY KEY)")
        first = "SELECT n FROM results JOIN utterances USING (n) WHERE part IS NULL"
        self._db.execute(f"INSERT INTO temp.unpublished {first}")

    @reads
    def pending_results(self) -> int:
        """The number of results without a published row."""
        return int(self._db.execute("SELECT count(*) FROM temp.unpublished").fetchone()[0])

    @reads
    def never_published(self, ids: Iterable[str]) -> set[str]:
        """The ids whose result has no published row."""
        query = "SELECT EXISTS (SELECT 1 FROM temp.unpublished JOIN utterances USING (n) WHERE id = ?)"
        return {id_ for id_ in ids if self._db.execute(query, (id_,)).fetchone()[0]}

    @reads
    def new_results(self, limit: int, most_bytes: int) -> list[Unpublished]:
        """Results without a published row: at most `limit`, and up to `most_bytes`."""
        found = self._db.execute(
            """SELECT n, r.row FROM temp.unpublished JOIN results r USING (n) JOIN utterances u USING (n)
               ORDER BY n LIMIT ?""",
            (limit,),
        )
        return up_to(found, most_bytes, 1)

    @writes
    def results_published(
        self, placed: Sequence[tuple[int, int]], parts: Mapping[int, int], jsonl: int, timed: Sequence[Timed] = ()
    ) -> None:
        """Records results as published: (n, part) of each, the rows of the parts, the bytes of the JSONL, and how the
        times of those came about that have a record."""
        self._db.executemany("UPDATE utterances SET part = ?2 WHERE n = ?1", placed)
        save_timed(self._db, (n for n, _ in placed), timed)
        for table in ("results", "temp.unpublished"):
            self._db.executemany(f"DELETE FROM {table} WHERE n = ?", [(n,) for n, _ in placed])  # noqa: S608 fixed texts
        self._save_parts("transcripts", parts)
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (JSONL_BYTES, jsonl))

    @reads
    def has_moved(self) -> bool:
        """Whether an unpublished result has its old row under another id, which another row may get."""
        query = "SELECT EXISTS (SELECT 1 FROM results JOIN utterances USING (n) WHERE was IS NOT NULL)"
        return bool(self._db.execute(query).fetchone()[0])

    @reads
    def pending_attempts(self) -> int:
        """The number of unpublished attempts."""
        return int(self._db.execute("SELECT count(*) FROM attempts").fetchone()[0])

    @reads
    def attempts(self, limit: int) -> list[tuple[int, Attempt]]:
        """Up to `limit` unpublished attempts, with their numbers."""
        found = self._db.execute("SELECT n, row FROM attempts ORDER BY n LIMIT ?", (limit,)).fetchall()
        return [(n, decode_attempt(row)) for n, row in found]

    @writes
    def attempts_published(self, last_n: int, part: int, rows: int) -> None:
        """Records the attempts up to `last_n` as published in a part, which has so many `rows`."""
        self._db.execute("DELETE FROM attempts WHERE n <= ?", (last_n,))
        self._save_parts("attempts", {part: rows})

    @reads
    def parts(self, kind: str) -> dict[int, int]:
        """The published parts of a kind ("transcripts", "attempts") and their numbers of rows."""
        return dict(self._db.execute("SELECT part, rows FROM parts WHERE kind = ?", (kind,)).fetchall())

    def _save_parts(self, kind: str, parts: Mapping[int, int]) -> None:
        rows = [(kind, part, rows) for part, rows in parts.items()]
        self._db.executemany("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", rows)

    # -- rewriting published rows -----------------------------------------------------------------------------------

    @reads
    def list_replacing(self) -> dict[int, bool]:
        """Lists the results that replace published rows, up to now. Returns the parts with rows to rewrite (0: the
        JSONL), and whether a listed result is among them; without those of `stale_parts`."""
        for statement in _TABLES.split(";"):
            self._db.execute(statement)
        begin_notes(self._db)
        query = f"SELECT DISTINCT part FROM utterances WHERE {TO_REFRESH} AND part IS NOT NULL"  # noqa: S608 fixed texts
        found = {part for (part,) in self._db.execute(query)}
        waiting = {part for (part,) in self._db.execute("SELECT DISTINCT part FROM temp.replacing")}
        return {part: part in waiting for part in sorted(found | waiting)}

    @reads
    def replacing(self, part: int, after: int, limit: int, most_bytes: int) -> list[Replacement]:
        """The listed results of a part after number `after`: at most `limit`, and up to `most_bytes`."""
        found: list[Replacement] = []
        for number, n, result, changed in self._db.execute(
            f"""SELECT l.number, n, r.row, iif({TO_REFRESH}, u.row, NULL)
                FROM temp.replacing l JOIN results r USING (n) JOIN utterances u USING (n)
                WHERE l.part = ? AND l.number > ? ORDER BY l.number LIMIT ?""",  # noqa: S608 fixed texts
            (part, after, limit),
        ):
            changed_row = None if changed is None else decode_utterance(changed)
            found.append(Replacement(number=number, n=n, transcript=decode_transcript(result), row=changed_row))
            most_bytes -= len(result) + len(changed or b"")
            if most_bytes <= 0:
                break
        return found

    @reads
    def superseded(self, part: int, ids: Iterable[str], *, refresh: bool, wanted: bool | None = None) -> set[str]:
        """The ids whose rows in a part are replaced, or refreshed, or get times as `wanted`. They include the new id of
        a moved result: after a crash it may be in the part already."""
        query = f"""SELECT EXISTS (SELECT 1 FROM utterances u WHERE id = ?1 AND part = ?2
                           AND (n IN (SELECT n FROM results) OR (?3 AND {TO_REFRESH}) OR {is_stale("?4")}))
                OR EXISTS (SELECT 1 FROM temp.replacing WHERE was = ?1 AND part = ?2)"""  # noqa: S608 fixed texts
        return {id_ for id_ in ids if self._db.execute(query, (id_, part, refresh, wanted)).fetchone()[0]}

    @reads
    def refreshing(self, part: int, ids: Iterable[str]) -> dict[str, tuple[int, Utterance]]:
        """The ids whose transcript in a part stays while reference or metadata of their row have changed: number and
        row. Without those that get another transcript, and those whose row has another path."""
        query = f"""SELECT id, n, row FROM utterances WHERE id = ? AND part = ? AND {TO_REFRESH}
                AND n NOT IN (SELECT n FROM results)"""  # noqa: S608 fixed texts
        rows = (row for id_ in ids for row in self._db.execute(query, (id_, part)).fetchall())
        return {id_: (n, decode_utterance(row)) for id_, n, row in rows}

    @reads
    def begin_rewriting(self) -> None:
        """Discards the notes of a rewrite that was not finished."""
        self._db.execute("DELETE FROM temp.refreshed")
        begin_notes(self._db)

    @reads
    def note_refreshed(self, rows: Sequence[Refreshed]) -> None:
        """Notes refreshed transcripts for `rewritten`."""
        values = ((row.n, row.config_hash, row.ref_words, row.ref_errors) for row in rows)
        with transaction(self._db, "DEFERRED"):  # writes only a temporary table
            self._db.executemany("INSERT OR REPLACE INTO temp.refreshed VALUES (?, ?, ?, ?)", values)

    @reads
    def not_refreshed(self, part: int) -> str | None:
        """The id of a row that should have been refreshed and was not found in the part."""
        found = self._db.execute(
            f"""SELECT id FROM utterances WHERE part = ? AND {TO_REFRESH} AND n NOT IN (SELECT n FROM temp.refreshed)
                AND n NOT IN (SELECT n FROM results) LIMIT 1""",  # noqa: S608 fixed texts
            (part,),
        ).fetchone()
        return None if found is None else str(found[0])

    @writes
    def rewritten(self, part: int, rows: int, jsonl: int) -> None:
        """Records a part as rewritten, with so many `rows`: its listed results are published, its noted transcripts
        refreshed. `jsonl`: the bytes of the JSONL."""
        self._db.execute("DELETE FROM results WHERE n IN (SELECT n FROM temp.replacing WHERE part = ?)", (part,))
        self._db.execute("UPDATE utterances SET refresh = 0 FROM temp.refreshed t WHERE t.n = utterances.n")
        # in statements of their own: indexes and counts are written only where the value differs
        self._db.execute(
            """UPDATE utterances SET done_config = t.config FROM temp.refreshed t
               WHERE t.n = utterances.n AND t.config IS NOT done_config"""
        )
        self._db.execute(
            """UPDATE utterances SET ref_words = t.ref_words, ref_errors = t.ref_errors FROM temp.refreshed t
               WHERE t.n = utterances.n
                 AND (t.ref_words <> utterances.ref_words OR t.ref_errors <> utterances.ref_errors)"""
        )
        self._db.execute("DELETE FROM temp.refreshed")
        save_noted(self._db)
        self._save_parts("transcripts", {part: rows} if part else {})
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (JSONL_BYTES, jsonl))
