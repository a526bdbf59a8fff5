"""What is finished and not yet published: results and attempts on their way into parts; and published rows that are to
be written anew: a result takes their place, or they are refreshed, because their row says something else by now.

What belongs to one rewriting is in temporary tables, so that its memory is flat. Part 0 are rows in the JSONL only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from pipeline.checkpoint.codec import decode_attempt, decode_transcript, decode_utterance
from pipeline.checkpoint.connection import Database, reads, transaction, translated, writes
from pipeline.checkpoint.schema import JSONL_BYTES, TO_REFRESH
from pipeline.checkpoint.selection import up_to
from pipeline.model import Attempt, Transcript, Utterance

Unpublished = tuple[int, bytes]
"""(n, the transcript as stored)."""
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
    """A result that takes the place of a published row."""

    number: int
    """In the order in which they are handed out."""
    n: int
    transcript: Transcript
    row: Utterance | None
    """Its row, where that says something else by now than the result does."""


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """A transcript was written anew for its row as that is by now."""

    n: int
    config_hash: str
    """What it answers to from now on."""
    ref_words: int = 0
    ref_errors: int = 0


class Publishing(Database):
    """The part of a checkpoint that says what is still to be published, and is told what was."""

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
        """Lists the results that no part holds a row of, beside which any number may wait to replace one."""
        # else what is noted beside the checkpoint is written twice
        self._db.execute("PRAGMA temp.journal_mode = MEMORY")
        self._db.execute("CREATE TEMP TABLE unpublished (n INTEGER PRIMARY KEY)")
        first = "SELECT n FROM results JOIN utterances USING (n) WHERE part IS NULL"
        self._db.execute(f"INSERT INTO temp.unpublished {first}")

    @reads
    def pending_results(self) -> int:
        """Results that no part holds a row of."""
        return int(self._db.execute("SELECT count(*) FROM temp.unpublished").fetchone()[0])

    @reads
    def never_published(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids whose results wait for their first publishing."""
        query = "SELECT EXISTS (SELECT 1 FROM temp.unpublished JOIN utterances USING (n) WHERE id = ?)"
        return {id_ for id_ in ids if self._db.execute(query, (id_,)).fetchone()[0]}

    @reads
    def new_results(self, limit: int, most_bytes: int) -> list[Unpublished]:
        """Results that no part holds a row of: at most `limit`, and no more once they come to `most_bytes`."""
        found = self._db.execute(
            """SELECT n, r.row FROM temp.unpublished JOIN results r USING (n) JOIN utterances u USING (n)
               ORDER BY n LIMIT ?""",
            (limit,),
        )
        return up_to(found, most_bytes, 1)

    @writes
    def results_published(self, placed: Sequence[tuple[int, int]], parts: Mapping[int, int], jsonl: int) -> None:
        """Marks results as published: (n, its part), the parts' rows, the JSONL's bytes."""
        self._db.executemany("UPDATE utterances SET part = ?2 WHERE n = ?1", placed)
        for table in ("results", "temp.unpublished"):
            self._db.executemany(f"DELETE FROM {table} WHERE n = ?", [(n,) for n, _ in placed])  # noqa: S608 fixed texts
        self._save_parts("transcripts", parts)
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (JSONL_BYTES, jsonl))

    @reads
    def has_moved(self) -> bool:
        """Whether a result waits whose old row stands under an id that another row may get."""
        query = "SELECT EXISTS (SELECT 1 FROM results JOIN utterances USING (n) WHERE was IS NOT NULL)"
        return bool(self._db.execute(query).fetchone()[0])

    @reads
    def pending_attempts(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM attempts").fetchone()[0])

    @reads
    def attempts(self, limit: int) -> list[tuple[int, Attempt]]:
        """Up to `limit` attempts that are in no part yet."""
        found = self._db.execute("SELECT n, row FROM attempts ORDER BY n LIMIT ?", (limit,)).fetchall()
        return [(n, decode_attempt(row)) for n, row in found]

    @writes
    def attempts_published(self, last_n: int, part: int, rows: int) -> None:
        self._db.execute("DELETE FROM attempts WHERE n <= ?", (last_n,))
        self._save_parts("attempts", {part: rows})

    @reads
    def parts(self, kind: str) -> dict[int, int]:
        """Published parts of a kind ("transcripts", "attempts") and their rows."""
        return dict(self._db.execute("SELECT part, rows FROM parts WHERE kind = ?", (kind,)).fetchall())

    def _save_parts(self, kind: str, parts: Mapping[int, int]) -> None:
        rows = [(kind, part, rows) for part, rows in parts.items()]
        self._db.executemany("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", rows)

    # -- written anew -----------------------------------------------------------------------------------------------

    @reads
    def list_replacing(self) -> dict[int, bool]:
        """Lists the results of now that take the place of published rows. Returns the parts whose rows are to be
        written anew (0: the JSONL), and whether one of them has a listed result."""
        for statement in _TABLES.split(";"):
            self._db.execute(statement)
        query = f"SELECT DISTINCT part FROM utterances WHERE {TO_REFRESH} AND part IS NOT NULL"  # noqa: S608 fixed texts
        found = {part for (part,) in self._db.execute(query)}
        waiting = {part for (part,) in self._db.execute("SELECT DISTINCT part FROM temp.replacing")}
        return {part: part in waiting for part in sorted(found | waiting)}

    @reads
    def replacing(self, part: int, after: int, limit: int, most_bytes: int) -> list[Replacement]:
        """The next of the listed results of a part, behind the one of the number `after`: at most `limit`, and no more
        once they come to `most_bytes`."""
        found: list[Replacement] = []
        for number, n, result, changed in self._db.execute(
            f"""SELECT l.number, n, r.row, iif({TO_REFRESH}, u.row, NULL)
                FROM temp.replacing l JOIN results r USING (n) JOIN utterances u USING (n)
                WHERE l.part = ? AND l.number > ? ORDER BY l.number LIMIT ?""",  # noqa: S608 fixed texts
            (part, after, limit),
        ):
            of_now = None if changed is None else decode_utterance(changed)
            found.append(Replacement(number=number, n=n, transcript=decode_transcript(result), row=of_now))
            most_bytes -= len(result) + len(changed or b"")
            if most_bytes <= 0:
                break
        return found

    @reads
    def superseded(self, part: int, ids: Iterable[str], *, refresh: bool) -> set[str]:
        """Those of the ids whose rows in a part do not stay as they are: they are replaced, or to be refreshed. A
        result's own id is among them: where it was written and not noted, it is there already."""
        query = f"""SELECT EXISTS (SELECT 1 FROM utterances u WHERE id = ?1 AND part = ?2
                           AND (n IN (SELECT n FROM results) OR (?3 AND {TO_REFRESH})))
                OR EXISTS (SELECT 1 FROM temp.replacing WHERE was = ?1 AND part = ?2)"""  # noqa: S608 fixed texts
        return {id_ for id_ in ids if self._db.execute(query, (id_, part, refresh)).fetchone()[0]}

    @reads
    def refreshing(self, part: int, ids: Iterable[str]) -> dict[str, tuple[int, Utterance]]:
        """Those of the ids whose transcript in a part stands while their row has another reference or other metadata
        by now: their number and their row. Not those that are about to get another one, and not with what is said of a
        recording under another path."""
        query = f"""SELECT id, n, row FROM utterances WHERE id = ? AND part = ? AND {TO_REFRESH}
                AND n NOT IN (SELECT n FROM results)"""  # noqa: S608 fixed texts
        rows = (row for id_ in ids for row in self._db.execute(query, (id_, part)).fetchall())
        return {id_: (n, decode_utterance(row)) for id_, n, row in rows}

    @reads
    def begin_rewriting(self) -> None:
        """What a rewriting that was not finished noted is void."""
        self._db.execute("DELETE FROM temp.refreshed")

    @reads
    def note_refreshed(self, rows: Sequence[Refreshed]) -> None:
        """Notes transcripts that are being written anew, for `rewritten`."""
        values = ((row.n, row.config_hash, row.ref_words, row.ref_errors) for row in rows)
        with transaction(self._db, "DEFERRED"):  # which writes no table of the checkpoint
            self._db.executemany("INSERT OR REPLACE INTO temp.refreshed VALUES (?, ?, ?, ?)", values)

    @reads
    def not_refreshed(self, part: int) -> str | None:
        """The id of a row of a part that was to be refreshed, and was not found there."""
        found = self._db.execute(
            f"""SELECT id FROM utterances WHERE part = ? AND {TO_REFRESH} AND n NOT IN (SELECT n FROM temp.refreshed)
                AND n NOT IN (SELECT n FROM results) LIMIT 1""",  # noqa: S608 fixed texts
            (part,),
        ).fetchone()
        return None if found is None else str(found[0])

    @writes
    def rewritten(self, part: int, rows: int, jsonl: int) -> None:
        """A part was written anew and has so many rows (0: none but those of the JSONL): its listed results are
        published, and what was refreshed stands. `jsonl`: the JSONL's bytes."""
        self._db.execute("DELETE FROM results WHERE n IN (SELECT n FROM temp.replacing WHERE part = ?)", (part,))
        self._db.execute("UPDATE utterances SET refresh = 0 FROM temp.refreshed t WHERE t.n = utterances.n")
        # each by itself: an index, or the counts, are written only where it is another value
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
        self._save_parts("transcripts", {part: rows} if part else {})
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (JSONL_BYTES, jsonl))
