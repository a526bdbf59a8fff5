"""Rows that are taken out of an output: those that left their manifest, for `prune`, and those that `forget` names.

They are marked first, durably, and deleted once no file has them any more, so that whoever finds marks goes on. While a
row is marked its other tables may be empty, and `part` NULL once its part is without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from pipeline.checkpoint.codec import decode_attempt, decode_failure, decode_transcript, encode
from pipeline.checkpoint.connection import Database, reads, writes
from pipeline.checkpoint.same_audio import AUDIO_OF_CLIP, bad_id
from pipeline.checkpoint.schema import BAD_ROW, CLIPS_STALE, ERRORS_STALE, Seen
from pipeline.errors import CheckpointError

FORGOTTEN_ID = "(forgotten)"
"""The id in the ledger of requests that were sent for forgotten utterances."""
FEW = 5
_MARKED = "(SELECT n FROM removing)"
_SEEN_MANIFESTS = f"""(SELECT o.n FROM manifests o JOIN manifests m USING (name)
    JOIN (SELECT DISTINCT manifest FROM utterances WHERE vanished <> {Seen.REMOVED:d}) u ON u.manifest = m.n)"""  # noqa: S608 fixed texts
"""Manifests that still have rows: of one that has none the disk may not be mounted."""
_LEFT = f"vanished = {Seen.REMOVED:d} AND config_hash <> '{BAD_ROW}'"
_LISTED = "(SELECT n FROM temp.leftover)"


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that left their manifest: all of them, or those that left it before a time."""

    rows: int
    ids: tuple[str, ...]
    """The first few."""
    audio_s: float
    transcripts: int
    """Those of the rows that have one."""
    unpublished_credits: float
    """What those of them cost that are in no file."""
    others: int
    """Rows that are left out: they left too late, or their manifest has no row at all any more."""
    empty: tuple[str, ...]
    """These manifests."""


class Removing(Database):
    """Marks rows, and deletes them."""

    @reads
    def list_leftover(self, before: float | None) -> Leftover:
        """Lists the rows that left their manifest before a Unix time; with None all but those of manifests that have no
        row any more."""
        db = self._db
        db.execute("DROP TABLE IF EXISTS temp.leftover")
        db.execute("CREATE TEMP TABLE leftover (n INTEGER PRIMARY KEY)")
        is_listed = f"coalesce(manifest, -1) IN {_SEEN_MANIFESTS}" if before is None else "removed <= ?"
        given = () if before is None else (before,)
        db.execute(f"INSERT INTO temp.leftover SELECT n FROM utterances WHERE {_LEFT} AND {is_listed}", given)  # noqa: S608
        listed = f"FROM utterances WHERE n IN {_LISTED}"
        rows, audio_s, done = db.execute(
            f"SELECT count(*), coalesce(sum(duration_s), 0), count(done_audio) {listed}"
        ).fetchone()
        ids = db.execute(f"SELECT id {listed} ORDER BY n LIMIT {FEW}").fetchall()
        [left] = db.execute(f"SELECT count(*) FROM utterances WHERE {_LEFT}").fetchone()  # noqa: S608 fixed texts
        empty = db.execute(
            f"""SELECT DISTINCT name FROM utterances u JOIN manifests m ON m.n = u.manifest
                WHERE {_LEFT} AND m.n NOT IN {_SEEN_MANIFESTS}"""  # noqa: S608 fixed texts
        ).fetchall()
        waiting = db.execute(f"SELECT row FROM results WHERE n IN {_LISTED}")  # noqa: S608 fixed texts
        return Leftover(
            rows=rows,
            ids=tuple(id_ for (id_,) in ids),
            audio_s=audio_s,
            transcripts=done,
            unpublished_credits=sum(decode_transcript(row).credits for (row,) in waiting),
            others=left - rows,
            empty=tuple(name for (name,) in empty),
        )

    @reads
    def leftover(self, part: int, ids: Iterable[str]) -> set[str]:
        """Those of these ids in a part that are listed, and whose transcript there is not about to be replaced."""
        query = f"""SELECT EXISTS (SELECT 1 FROM utterances WHERE id = ? AND part = ? AND n IN {_LISTED}
                                   AND n NOT IN (SELECT n FROM results))"""  # noqa: S608 fixed texts
        return {id_ for id_ in ids if self._db.execute(query, (id_, part)).fetchone()[0]}

    @reads
    def leftover_parts(self) -> list[int]:
        """The parts (0: the JSONL) with listed rows."""
        query = f"SELECT DISTINCT part FROM utterances WHERE part IS NOT NULL AND n IN {_LISTED}"  # noqa: S608
        return [part for (part,) in self._db.execute(query)]

    @writes
    def mark_leftover(self) -> None:
        """Marks the listed rows."""
        self._db.execute("INSERT OR IGNORE INTO removing SELECT n FROM temp.leftover")

    @writes
    def mark(self, is_named: Callable[[str], bool], is_audio: Callable[[str], bool]) -> None:
        """Marks the rows of these ids, or whose transcript is of such audio."""
        self._register(is_named, is_audio)
        self._db.create_function("bad_id", 1, bad_id)
        self._db.execute(
            f"""INSERT OR IGNORE INTO removing SELECT n FROM utterances WHERE is_named(id) OR is_audio(done_audio)
                OR (config_hash = '{BAD_ROW}' AND is_named(bad_id(row)))"""  # noqa: S608 fixed texts
        )

    @reads
    def marked_ids(self) -> list[str]:
        """The ids of the marked rows."""
        found = self._db.execute(f"SELECT id FROM utterances WHERE n IN {_MARKED} ORDER BY n")  # noqa: S608 fixed texts
        return [id_ for (id_,) in found]

    @reads
    def is_removing(self) -> bool:
        """Whether rows are marked."""
        return bool(self._db.execute("SELECT EXISTS (SELECT 1 FROM removing)").fetchone()[0])

    @reads
    def marked_parts(self) -> dict[int, int]:
        """The parts (0: the JSONL) that have marked rows, and how many."""
        query = f"SELECT part, count(*) FROM utterances WHERE n IN {_MARKED} AND part IS NOT NULL GROUP BY part"  # noqa: S608
        return dict(self._db.execute(query).fetchall())

    @reads
    def marked(self, ids: Iterable[str]) -> set[str]:
        """Those of these ids whose rows are marked."""
        query = f"SELECT EXISTS (SELECT 1 FROM utterances WHERE id = ? AND n IN {_MARKED})"  # noqa: S608 fixed texts
        return {id_ for id_ in ids if self._db.execute(query, (id_,)).fetchone()[0]}

    @writes
    def part_is_without(self, part: int, rows: int) -> None:
        """Records that a part has no marked row any more, and so many `rows`."""
        self._db.execute(f"UPDATE utterances SET part = NULL WHERE part = ? AND n IN {_MARKED}", (part,))  # noqa: S608
        if part:
            self._db.execute("UPDATE parts SET rows = ? WHERE kind = 'transcripts' AND part = ?", (rows, part))

    @writes
    def drop_answers(self) -> None:
        """Deletes what the marked rows have beside their own: transcripts, failures, clips. What replaced them stays
        for other rows of the same audio."""
        for table in ("results", "temp.unpublished", "failures", "clips", "subtracted"):
            self._db.execute(f"DELETE FROM {table} WHERE n IN {_MARKED}")  # noqa: S608 fixed texts
        self._db.execute(
            f"""DELETE FROM replaced WHERE id IN (SELECT id FROM utterances WHERE n IN {_MARKED})
                AND NOT EXISTS (SELECT 1 FROM utterances u WHERE u.done_audio = replaced.audio
                                AND u.n NOT IN {_MARKED})"""  # noqa: S608 fixed texts
        )
        for fact in (ERRORS_STALE, CLIPS_STALE):
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, 1)", (fact,))

    @writes
    def drop_traces(
        self, is_named: Callable[[str], bool], is_audio: Callable[[str], bool], cleaned: Callable[[bytes], bytes]
    ) -> None:
        """Deletes what is known of these ids and this audio under any row, and names them nowhere any more: what was
        spent stays. `cleaned` returns the figures of a run without them."""
        db = self._db
        self._register(is_named, is_audio)
        db.create_function("cleaned", 1, cleaned)
        db.execute("DELETE FROM replaced WHERE is_named(id) OR is_audio(audio)")
        db.execute("DELETE FROM known_failures WHERE is_audio(audio) OR is_named(failed_id(row))")
        db.execute(f"DELETE FROM clips WHERE is_audio({AUDIO_OF_CLIP})")  # noqa: S608 fixed texts
        attempts = ((n, decode_attempt(row)) for n, row in db.execute("SELECT n, row FROM attempts"))
        for n, attempt in [(n, attempt) for n, attempt in attempts if is_named(attempt.id)]:
            nameless = msgspec.structs.replace(attempt, id=FORGOTTEN_ID, request_id=None)
            db.execute("UPDATE attempts SET row = ? WHERE n = ?", (encode(nameless), n))
        db.execute("UPDATE runs SET figures = cleaned(figures) WHERE figures IS NOT NULL")

    @writes
    def drop_marked(self) -> None:
        """Deletes the marked rows, and the marks."""
        self._db.execute(f"DELETE FROM utterances WHERE n IN {_MARKED}")  # noqa: S608 fixed texts
        self._db.execute("DELETE FROM removing")

    @writes
    def drop_withheld(self, n: int) -> str | None:
        """The recording of a row has forgotten audio. A row with a transcript of other audio keeps it and counts as
        done; any other is deleted, and the version of its recording is returned."""
        done, version = self._db.execute("SELECT done_audio, version FROM utterances WHERE n = ?", (n,)).fetchone()
        if done is not None:
            self._db.execute("UPDATE utterances SET gone = 1, selected = 0 WHERE n = ?", (n,))
            return None
        for table in ("failures", "clips", "utterances"):
            self._db.execute(f"DELETE FROM {table} WHERE n = ?", (n,))  # noqa: S608 fixed texts
        return str(version)

    @reads
    def compact(self) -> None:
        """Rewrites the file and empties its log, so that no byte of what was deleted is left. Raises CheckpointError
        where another program reads it meanwhile."""
        self._db.execute("VACUUM")
        busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise CheckpointError(
                f"{self.path} is being read by another program, so that its log cannot be emptied; end that program "
                "and run the same command again"
            )

    def _register(self, is_named: Callable[[str], bool], is_audio: Callable[[str], bool]) -> None:
        db = self._db
        db.create_function("is_named", 1, is_named)
        db.create_function("is_audio", 1, lambda audio: audio is not None and is_audio(audio))
        db.create_function("failed_id", 1, lambda row: decode_failure(row).id)
