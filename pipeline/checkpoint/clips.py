"""Answered clips: which of them wait, which are needed no more, and how many of those are kept.

Each function works inside a transaction that the store opened, or only reads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

import msgspec

from pipeline.built import built
from pipeline.checkpoint.identity import Identity
from pipeline.checkpoint.schema import CLIPS_STALE, Seen, State
from pipeline.model import ClipResult, KeptClip, Utterance

LEFT_OVER_BYTES = 64 << 20
"""So much is kept of answers that no utterance waits for, the newest of them: some 1,500 of 300 s. They are of use
where settings or rows are changed back."""


@built
class _Length(msgspec.Struct, frozen=True):
    """Of an answered clip nothing but how long its recording is."""

    audio_bytes: int | None = None


_length = msgspec.msgpack.Decoder(_Length).decode
_clip = msgspec.msgpack.Decoder(ClipResult).decode
_utterance = msgspec.msgpack.Decoder(Utterance).decode
_OWNED = """FROM clips c CROSS JOIN utterances u USING (n)
    CROSS JOIN clips newest ON newest.rowid = (SELECT max(own.rowid) FROM clips own WHERE own.n = c.n)"""
"""Clips with the row they were sent for, and the newest of that row's: it tells the content and the settings of now, as
far as the checkpoint knows them."""
_OF_NOW = """(c.key = newest.key OR c.config = u.config_hash
    AND substr(c.key, 1, instr(c.key, ':')) = substr(newest.key, 1, instr(newest.key, ':')))"""
"""Those that answer to the same as the newest, or to the same audio under the row's own settings."""
_NEEDLESS = "config = ?1 AND key >= ?2 || ':' AND key < ?2 || ';'"


def answered_keys(db: sqlite3.Connection, keys: Iterable[str]) -> set[str]:
    """Those of the keys that have an answered clip."""
    found = (key for key in keys if db.execute("SELECT 1 FROM clips WHERE key = ? LIMIT 1", (key,)).fetchone())
    return set(found)


def answered(db: sqlite3.Connection, keys: Iterable[str], config_hash: str | None) -> list[ClipResult]:
    """The answered clips of the keys; with a `config_hash` only what was sent for rows of these very settings."""
    query = "SELECT row FROM clips WHERE key = ?1 AND (?2 IS NULL OR config = ?2) ORDER BY span"
    return [_clip(row) for key in keys for (row,) in db.execute(query, (key, config_hash)).fetchall()]


def waiting(db: sqlite3.Connection) -> tuple[int, float]:
    """Answered clips whose recordings have no transcript yet, and what they cost."""
    count, credits_ = db.execute(
        f"""SELECT count(*), coalesce(sum(c.credits), 0) {_OWNED}
            WHERE {_OF_NOW} AND c.config = u.config_hash AND NOT u.vanished AND u.state <> ?""",
        (State.DONE,),
    ).fetchone()
    return int(count), float(credits_)


def spans(db: sqlite3.Connection) -> Iterator[tuple[str, str, str]]:
    """(key, span, config_hash) of each answered clip."""
    yield from db.execute("SELECT key, span, config FROM clips")


def owners(db: sqlite3.Connection) -> Iterator[tuple[str, int | None]]:
    """The utterances that have answered clips: (id, size of its recording, which may be another one by now)."""
    yield from db.execute("SELECT id, size FROM utterances WHERE n IN (SELECT n FROM clips)")


def sizes(db: sqlite3.Connection) -> set[int]:
    """The lengths of the recordings that answered clips are of, as far as they were noted."""
    found = (_length(row).audio_bytes for (row,) in db.execute("SELECT row FROM clips"))
    return {size for size in found if size is not None}


def kept(db: sqlite3.Connection) -> Iterator[KeptClip]:
    """Every answered clip there is."""
    for key, row, config_hash, utterance in db.execute(
        "SELECT c.key, c.row, c.config, u.row FROM clips c CROSS JOIN utterances u USING (n) ORDER BY c.rowid"
    ):
        known = _utterance(utterance)
        yield KeptClip(id=known.id, audio=known.audio, key=key, config_hash=config_hash, result=_clip(row))


def drop_needless(db: sqlite3.Connection, done: Identity) -> None:
    """There is a transcript of `done`, which holds the answers to its audio that were given under the same settings.
    Those to other audio, or under other settings, may be asked for again, and stay."""
    query = f"DELETE FROM clips WHERE {_NEEDLESS}"  # noqa: S608 fixed texts
    if db.execute(query, (done.config_hash, done.audio_hash)).rowcount:
        changed(db)


def trim(db: sqlite3.Connection) -> None:
    """Bounds what is left over: of earlier contents and settings, and of utterances that are done, or that their
    manifest no longer has."""
    dropped = db.execute(
        f"""DELETE FROM clips WHERE rowid IN (
               SELECT number FROM (
                   SELECT c.rowid AS number, sum(length(c.row)) OVER (ORDER BY c.rowid DESC) AS bytes
                   {_OWNED} WHERE u.state = ? OR u.vanished = ? OR NOT {_OF_NOW}
               ) WHERE bytes > ?)""",  # noqa: S608 fixed texts
        (State.DONE, Seen.VANISHED, LEFT_OVER_BYTES),
    )
    if dropped.rowcount:
        changed(db)


def changed(db: sqlite3.Connection) -> None:
    """Notes that clips.jsonl is to be written anew."""
    db.execute("INSERT OR REPLACE INTO facts VALUES (?, 1)", (CLIPS_STALE,))
