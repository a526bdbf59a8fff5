"""How the times of published transcripts came about, so that the decoder's delay can be taken off them or put back.

A record is written in the transaction that records its transcript as published. Rows of earlier versions have none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Self

import msgspec

from pipeline.built import built
from pipeline.checkpoint.codec import decode_clip_times, encode
from pipeline.checkpoint.connection import Database, reads, transaction, writes
from pipeline.checkpoint.schema import VERDICT
from pipeline.checkpoint.verdict import DelayVerdict
from pipeline.model import ClipTimes, Transcript


@built
class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """A transcript that was written with its times."""

    n: int
    times: tuple[ClipTimes, ...] | None
    """None where there is no record of them."""
    applied: bool
    """The delay is taken off."""
    is_open: bool
    """That follows the verdict, as long as there is none or it was changed by a rebuild."""
    is_suspect: bool
    word_errors: tuple[int, int] | None = None
    """Words and errors of its reference, where its text reads otherwise than before."""

    @classmethod
    def of(
        cls, n: int, row: Transcript, *, applied: bool, is_open: bool, word_errors: tuple[int, int] | None = None
    ) -> Self:
        """Of a transcript as it is written."""
        return cls(
            n=n,
            times=None if isinstance(row.clip_times, msgspec.UnsetType) else row.clip_times,
            applied=applied,
            is_open=is_open,
            is_suspect=row.status == "suspect",
            word_errors=word_errors,
        )


_decode_timed = msgspec.msgpack.Decoder(Timed).decode


def is_stale(wanted: str) -> str:
    """SQL for a published row of `utterances` whose times follow the verdict and are not as `wanted`, a parameter that
    is 1 where the delay should be taken off, and NULL where none is stale."""
    return f"EXISTS (SELECT 1 FROM subtracted s WHERE s.n = u.n AND s.open AND s.applied <> {wanted})"  # noqa: S608 fixed texts


def save_timed(db: sqlite3.Connection, numbers: Iterable[int], timed: Iterable[Timed]) -> None:
    """Writes the records of transcripts that are published now; the `numbers` without one lose what they had."""
    db.executemany("DELETE FROM subtracted WHERE n = ?", ((n,) for n in numbers))
    for one in timed:
        _save(db, one)


def begin_notes(db: sqlite3.Connection) -> None:
    """Discards what was noted for a rewrite that was not finished."""
    db.execute("DROP TABLE IF EXISTS temp.timed")
    db.execute("CREATE TEMP TABLE timed (n INTEGER PRIMARY KEY, row BLOB NOT NULL)")


def save_noted(db: sqlite3.Connection) -> None:
    """Writes the records that `note_timed` noted."""
    for (row,) in db.execute("SELECT row FROM temp.timed"):
        _save(db, _decode_timed(row))
    db.execute("DELETE FROM temp.timed")


def _save(db: sqlite3.Connection, one: Timed) -> None:
    db.execute("DELETE FROM subtracted WHERE n = ?", (one.n,))
    if one.times is None:
        return
    db.execute("INSERT INTO subtracted VALUES (?, ?, ?, ?)", (one.n, one.applied, one.is_open, encode(one.times)))
    if one.word_errors is not None:
        db.execute("UPDATE utterances SET ref_words = ?2, ref_errors = ?3 WHERE n = ?1", (one.n, *one.word_errors))
    # only where it differs, because triggers count each change; one with gaps is not counted as suspect
    query = "UPDATE utterances SET suspect = ?2 WHERE n = ?1 AND suspect <> ?2 AND done_config <> ''"
    db.execute(query, (one.n, one.is_suspect))


class Subtracted(Database):
    """The records of times, and the verdict."""

    def verdict(self) -> DelayVerdict:
        """The verdict of the output so far."""
        return self._verdict() or DelayVerdict()

    @reads
    def _verdict(self) -> DelayVerdict | None:
        found = self._db.execute("SELECT value FROM facts WHERE key = ?", (VERDICT,)).fetchone()
        return None if found is None else DelayVerdict.read(found[0])

    @writes
    def set_verdict(self, verdict: DelayVerdict, *, for_all: bool = False) -> None:
        """Sets the verdict; `for_all` also for the rows that have other times for another reason."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (VERDICT, verdict.written()))
        if for_all:
            self._db.execute("UPDATE subtracted SET open = 1 WHERE NOT open AND applied <> ?", (verdict.applied,))

    @reads
    def note_timed(self, rows: Sequence[Timed]) -> None:
        """Notes rewritten transcripts for `rewritten`."""
        with transaction(self._db, "DEFERRED"):  # writes only a temporary table
            noted = [(one.n, encode(one)) for one in rows]
            self._db.executemany("INSERT OR REPLACE INTO temp.timed VALUES (?, ?)", noted)

    @reads
    def stale_parts(self, wanted: bool) -> list[int]:
        """The parts (0: the JSONL) with rows that follow the verdict and whose times are not as `wanted`."""
        query = """SELECT DISTINCT u.part FROM subtracted s CROSS JOIN utterances u USING (n)
                   WHERE s.open AND s.applied = ? AND u.part IS NOT NULL"""
        return [part for (part,) in self._db.execute(query, (not wanted,))]

    @reads
    def stale(self, part: int, ids: Iterable[str], wanted: bool) -> dict[str, tuple[int, tuple[ClipTimes, ...]]]:
        """Of these ids in a part, the rows that follow the verdict, whose times are not as `wanted` and which stay:
        their number and their record."""
        query = """SELECT u.n, s.times FROM utterances u JOIN subtracted s USING (n)
                   WHERE u.id = ? AND u.part = ? AND s.open AND s.applied <> ? AND u.n NOT IN (SELECT n FROM results)"""
        found = ((id_, self._db.execute(query, (id_, part, wanted)).fetchone()) for id_ in ids)
        return {id_: (row[0], decode_clip_times(row[1])) for id_, row in found if row is not None}

    @reads
    def not_retimed(self, part: int, wanted: bool) -> str | None:
        """The id of a row whose times should have been rewritten and which was not found in the part."""
        found = self._db.execute(
            """SELECT u.id FROM subtracted s CROSS JOIN utterances u USING (n)
               WHERE s.open AND s.applied = ? AND u.part = ? AND s.n NOT IN (SELECT n FROM temp.timed)
                 AND s.n NOT IN (SELECT n FROM results) LIMIT 1""",
            (not wanted, part),
        ).fetchone()
        return None if found is None else str(found[0])

    @reads
    def with_other_times(self, wanted: bool, *, is_open: bool = False) -> int:
        """The published rows whose times are not as `wanted`: those that follow the verdict, or the others."""
        query = "SELECT count(*) FROM subtracted WHERE open = ? AND applied = ?"
        return int(self._db.execute(query, (is_open, not wanted)).fetchone()[0])

    @reads
    def unpublished(self) -> int:
        """The transcripts that wait to be published."""
        return int(self._db.execute("SELECT count(*) FROM results").fetchone()[0])

    @reads
    def without_record(self) -> int:
        """The published rows whose times are as an earlier version left them."""
        query = "SELECT count(*) FROM utterances u WHERE part IS NOT NULL AND n NOT IN (SELECT n FROM subtracted)"
        return int(self._db.execute(query).fetchone()[0])
