"""Transcripts that no row has any more: they are kept for a row that turns out to want them, so that nothing is paid
twice when names change places, or when settings are changed and changed back.

Runs inside a transaction that the store opened. What lies in a part is copied from there before the part is rewritten.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable

import msgspec

from pipeline.checkpoint.identity import HAS_TRANSCRIPT, TRANSCRIBED, Identity
from pipeline.model import Transcript

KEPT_BYTES = 256 << 20
"""So much of it stays once a run has looked at every row; the oldest go first. Until then only those that were made
with other settings are counted: the others may be what the next row wants."""
_LEVEL = 1
_decode = msgspec.msgpack.Decoder(Transcript).decode


def packed(transcript: Transcript) -> bytes:
    """A transcript in few bytes, for a table that holds many."""
    return zlib.compress(msgspec.msgpack.encode(transcript), _LEVEL)


def unpacked(row: bytes) -> Transcript:
    """Raises zlib.error or msgspec.DecodeError where it is damaged."""
    return _decode(zlib.decompress(row))


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """Where a transcript is."""

    id: str
    """The id under which it stands in its part."""
    part: int | None
    """The part that holds it (0: the JSONL), where `transcript` does not."""
    transcript: Transcript | None
    """The transcript, while it is in the checkpoint."""


def keep_replaced(db: sqlite3.Connection, n: int, now: Identity, *, is_copy: bool) -> None:
    """A row is about to get the transcript of `now`: the one it has stays findable, unless another row has it too.
    Where it gets a copy, rows may be changing places, under whatever name their transcripts have for the settings."""
    db.execute("DELETE FROM replaced WHERE audio = ? AND config = ?", (now.audio_hash, now.config_hash))
    audio, config, *rest = db.execute(
        """SELECT u.done_audio, u.done_config, u.marks, u.config_hash = u.done_config OR ?, coalesce(r.was, u.id),
               u.part, r.row FROM utterances u LEFT JOIN results r USING (n) WHERE u.n = ?""",
        (is_copy, n),
    ).fetchone()
    marks, same_settings, id_, part, row = rest
    if (
        not audio
        or not config
        or (audio, config) == (now.audio_hash, now.config_hash)
        or (part is None and row is None)
    ):
        return
    held = f"SELECT 1 FROM utterances u LEFT JOIN results r USING (n) WHERE {HAS_TRANSCRIPT} AND u.n <> ?"  # noqa: S608 fixed texts
    if db.execute(held, (audio, config, n)).fetchone() is None:
        db.execute(
            """INSERT OR REPLACE INTO replaced (audio, config, marks, same_settings, id, part, row)
               VALUES (?, ?, ?, ?, ?, ?, ?)""",
            (audio, config, marks, same_settings, id_, part, None if row is None else zlib.compress(row, _LEVEL)),
        )


def adopt_replaced(db: sqlite3.Connection, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Takes in replaced transcripts of another checkpoint, as they were stored there, with the marks of their audio,
    unless a row has them."""
    for row, marks in rows:
        transcript = unpacked(row)
        identity = (transcript.audio_hash, transcript.config_hash)
        if db.execute(f"SELECT 1 FROM {TRANSCRIBED}", identity).fetchone() is None:  # noqa: S608 fixed texts
            db.execute(
                """INSERT OR IGNORE INTO replaced (audio, config, marks, same_settings, id, row)
                   VALUES (?, ?, ?, 0, ?, ?)""",
                (*identity, marks, transcript.id, row),
            )


def find_replaced(db: sqlite3.Connection, identity: Identity) -> Stored | None:
    """Where the replaced transcript of an identity is."""
    found = db.execute(
        "SELECT id, part, row FROM replaced WHERE audio = ? AND config = ?", (identity.audio_hash, identity.config_hash)
    ).fetchone()
    if found is None:
        return None
    id_, part, row = found
    return Stored(id=id_, part=part, transcript=None if row is None else unpacked(row))


def replaced_in(db: sqlite3.Connection, part: int, ids: Iterable[str]) -> set[str]:
    """Those of the ids under which a part holds transcripts that are nowhere else."""
    query = "SELECT EXISTS (SELECT 1 FROM replaced WHERE row IS NULL AND part = ? AND id = ?)"
    return {id_ for id_ in ids if db.execute(query, (part, id_)).fetchone()[0]}


def has_replaced_in(db: sqlite3.Connection, part: int) -> bool:
    """Whether a part holds such transcripts."""
    query = "SELECT EXISTS (SELECT 1 FROM replaced WHERE row IS NULL AND part = ?)"
    return bool(db.execute(query, (part,)).fetchone()[0])


def take_over(db: sqlite3.Connection, part: int, rows: Iterable[Transcript]) -> int:
    """Stores rows of a part that is about to be rewritten, where they are what is to be kept of it; returns the
    bytes."""
    size = 0
    for row in rows:
        identity, stored = Identity.of(row), packed(row)
        taken = db.execute(
            """UPDATE replaced SET row = ?, part = NULL
               WHERE row IS NULL AND part = ? AND id = ? AND audio = ? AND config = ?""",
            (stored, part, row.id, identity.audio_hash, identity.config_hash),
        ).rowcount
        size += len(stored) * taken
    return size


def forget_replaced_in(db: sqlite3.Connection, part: int) -> None:
    """Forgets what a part no longer holds."""
    db.execute("DELETE FROM replaced WHERE row IS NULL AND part = ?", (part,))


def trim_taken_over(db: sqlite3.Connection) -> None:
    """Keeps only the newest of those that were made with other settings."""
    _trim(db, "row IS NOT NULL AND NOT same_settings")


def trim_replaced(db: sqlite3.Connection) -> None:
    """Keeps only the newest, once no row is left that might want one: none that this run has not looked at."""
    waits = "SELECT EXISTS (SELECT 1 FROM utterances WHERE selected AND sent = '')"
    if not db.execute(waits).fetchone()[0]:
        _trim(db, "row IS NOT NULL")


def _trim(db: sqlite3.Connection, which: str) -> None:
    [size] = db.execute(f"SELECT coalesce(sum(length(row)), 0) FROM replaced WHERE {which}").fetchone()  # noqa: S608 fixed texts
    if size <= KEPT_BYTES:
        return
    last = 0
    for number, length in db.execute(f"SELECT number, length(row) FROM replaced WHERE {which} ORDER BY number"):  # noqa: S608 fixed texts
        if size <= KEPT_BYTES:
            break
        size, last = size - length, number
    db.execute(f"DELETE FROM replaced WHERE {which} AND number <= ?", (last,))  # noqa: S608 fixed texts
