"""What is finished and not yet published: results and attempts on their way into parts; and the parts there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from pipeline.checkpoint.connection import Database, reads, translated, writes
from pipeline.checkpoint.schema import JSONL_BYTES
from pipeline.checkpoint.selection import up_to
from pipeline.model import Attempt

Unpublished = tuple[int, bytes]
"""(n, the transcript as stored)."""
_attempt = msgspec.msgpack.Decoder(Attempt).decode


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
        self._db.execute(
            "PRAGMA temp.journal_mode = MEMORY"
        )  # else what is noted beside the checkpoint is written twice
        self._db.execute("CREATE TEMP TABLE fresh (n INTEGER PRIMARY KEY)")
        self._db.execute("INSERT INTO temp.fresh SELECT n FROM results JOIN utterances USING (n) WHERE part IS NULL")

    @reads
    def pending_results(self) -> int:
        """Results that no part holds a row of."""
        return int(self._db.execute("SELECT count(*) FROM temp.fresh").fetchone()[0])

    @reads
    def never_published(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids whose results wait for their first publishing."""
        query = "SELECT EXISTS (SELECT 1 FROM temp.fresh JOIN utterances USING (n) WHERE id = ?)"
        return {id_ for id_ in ids if self._db.execute(query, (id_,)).fetchone()[0]}

    @reads
    def new_results(self, limit: int, most_bytes: int) -> list[Unpublished]:
        """Results that no part holds a row of: at most `limit`, and no more once they come to `most_bytes`."""
        found = self._db.execute(
            """SELECT n, r.row FROM temp.fresh JOIN results r USING (n) JOIN utterances u USING (n)
               ORDER BY n LIMIT ?""",
            (limit,),
        )
        return up_to(found, most_bytes, 1)

    @writes
    def results_published(self, placed: Sequence[tuple[int, int]], parts: Mapping[int, int], jsonl: int) -> None:
        """Marks results as published: (n, its part), the parts' rows, the JSONL's bytes."""
        self._db.executemany("UPDATE utterances SET part = ?2 WHERE n = ?1", placed)
        for table in ("results", "temp.fresh"):
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
        return [(n, _attempt(row)) for n, row in found]

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
