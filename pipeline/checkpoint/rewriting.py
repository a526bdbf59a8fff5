"""Published rows that are to be written anew: results that take their place, and transcripts that stand while their
row has another reference or other metadata by now.

Runs inside what the store opened. What belongs to one rewriting is in temporary tables, so that its memory is flat.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from pipeline.checkpoint.schema import transaction
from pipeline.checkpoint.tables import TO_REFRESH
from pipeline.model import Transcript, Utterance

LINES = 0
"""The part of rows that are in the JSONL only."""
_TABLES = """
DROP TABLE IF EXISTS temp.replacing;
DROP TABLE IF EXISTS temp.retold;
CREATE TEMP TABLE replacing (number INTEGER PRIMARY KEY, part INTEGER NOT NULL, n INTEGER NOT NULL, was TEXT);
INSERT INTO temp.replacing (part, n, was) SELECT u.part, n, r.was FROM results r JOIN utterances u USING (n)
    WHERE u.part IS NOT NULL ORDER BY u.part, n;
CREATE INDEX temp.replacing_part ON replacing (part, number);
CREATE INDEX temp.replacing_was ON replacing (was, part) WHERE was IS NOT NULL;
CREATE TEMP TABLE retold (n INTEGER PRIMARY KEY, config TEXT NOT NULL, ref_words INTEGER, ref_errors INTEGER);
"""
_utterance = msgspec.msgpack.Decoder(Utterance).decode
_transcript = msgspec.msgpack.Decoder(Transcript).decode


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """A result that takes the place of a published row."""

    number: int
    """In the order in which they are handed out."""
    n: int
    transcript: Transcript
    told: Utterance | None
    """Its row, where that says something else by now than the result does."""


class Retold(msgspec.Struct, frozen=True, kw_only=True):
    """A transcript was written anew with what its row says by now."""

    n: int
    config_hash: str
    """What it answers to from now on."""
    ref_words: int = 0
    ref_errors: int = 0


def list_replacing(db: sqlite3.Connection) -> None:
    """Lists the results of now that take the place of published rows."""
    for statement in _TABLES.split(";"):
        db.execute(statement)


def parts_to_rewrite(db: sqlite3.Connection) -> dict[int, bool]:
    """The parts of rows that are to be written anew, and whether one of them has a listed result."""
    found = dict.fromkeys(part for (part,) in db.execute(f"SELECT DISTINCT part FROM utterances WHERE {TO_REFRESH}"))  # noqa: S608 fixed texts
    found.pop(None, None)
    waiting = {part for (part,) in db.execute("SELECT DISTINCT part FROM temp.replacing")}
    return {part: part in waiting for part in sorted(found.keys() | waiting)}


def replacing(db: sqlite3.Connection, part: int, after: int, limit: int) -> Iterator[tuple[Replacement, int]]:
    """The next of the listed results of a part, behind the one of the number `after`, and the bytes of each."""
    found = db.execute(
        f"""SELECT l.number, n, r.row, iif({TO_REFRESH}, u.row, NULL) FROM temp.replacing l JOIN results r USING (n)
            JOIN utterances u USING (n) WHERE l.part = ? AND l.number > ? ORDER BY l.number LIMIT ?""",  # noqa: S608 fixed texts
        (part, after, limit),
    )
    for number, n, row, told in found:
        utterance = None if told is None else _utterance(told)
        size = len(row) + len(told or b"")
        yield Replacement(number=number, n=n, transcript=_transcript(row), told=utterance), size


def leaving(db: sqlite3.Connection, part: int, ids: Iterable[str], *, refresh: bool) -> set[str]:
    """Those of the ids whose rows in a part do not stay as they are. A result's own id is among them: where it was
    written and not noted, it is there already."""
    found = set()
    for id_ in ids:
        [leaves] = db.execute(
            f"""SELECT EXISTS (SELECT 1 FROM utterances u WHERE id = ?1 AND part = ?2
                               AND (n IN (SELECT n FROM results) OR (?3 AND {TO_REFRESH})))
                    OR EXISTS (SELECT 1 FROM temp.replacing WHERE was = ?1 AND part = ?2)""",  # noqa: S608 fixed texts
            (id_, part, refresh),
        ).fetchone()
        if leaves:
            found.add(id_)
    return found


def refreshing(db: sqlite3.Connection, part: int, ids: Iterable[str]) -> dict[str, tuple[int, Utterance]]:
    """Those of the ids whose transcript in a part is to be written anew, with their number and their row; not those
    that get another one."""
    found = {}
    for id_ in ids:
        row = db.execute(
            f"""SELECT n, row FROM utterances WHERE id = ? AND part = ? AND {TO_REFRESH}
                AND n NOT IN (SELECT n FROM results)""",  # noqa: S608 fixed texts
            (id_, part),
        ).fetchone()
        if row is not None:
            found[id_] = (int(row[0]), _utterance(row[1]))
    return found


def note_retold(db: sqlite3.Connection, rows: Sequence[Retold]) -> None:
    """Notes what is being written anew, for `rewritten`."""
    values = ((row.n, row.config_hash, row.ref_words, row.ref_errors) for row in rows)
    with transaction(db, "DEFERRED"):  # which writes no table of the checkpoint
        db.executemany("INSERT OR REPLACE INTO temp.retold VALUES (?, ?, ?, ?)", values)


def forget_retold(db: sqlite3.Connection) -> None:
    """A rewriting begins: what one that was not finished noted is void."""
    db.execute("DELETE FROM temp.retold")


def unretold(db: sqlite3.Connection, part: int) -> str | None:
    """The id of a row of a part that was to be written anew, and was not found there."""
    found = db.execute(
        f"""SELECT id FROM utterances WHERE part = ? AND {TO_REFRESH} AND n NOT IN (SELECT n FROM temp.retold)
            AND n NOT IN (SELECT n FROM results) LIMIT 1""",  # noqa: S608 fixed texts
        (part,),
    ).fetchone()
    return None if found is None else str(found[0])


def rewritten(db: sqlite3.Connection, part: int) -> None:
    """A part is written anew: its listed results are published, and what was retold stands."""
    db.execute("DELETE FROM results WHERE n IN (SELECT n FROM temp.replacing WHERE part = ?)", (part,))
    db.execute("UPDATE utterances SET refresh = 0 FROM temp.retold t WHERE t.n = utterances.n")
    # each by itself: an index, or the counts, are written only where it is another value
    db.execute(
        """UPDATE utterances SET done_config = t.config FROM temp.retold t
           WHERE t.n = utterances.n AND t.config IS NOT done_config"""
    )
    db.execute(
        """UPDATE utterances SET ref_words = t.ref_words, ref_errors = t.ref_errors FROM temp.retold t
           WHERE t.n = utterances.n
             AND (t.ref_words <> utterances.ref_words OR t.ref_errors <> utterances.ref_errors)"""
    )
    db.execute("DELETE FROM temp.retold")
