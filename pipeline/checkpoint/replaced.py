"""Transcripts that no row has any more: they are kept for a row that turns out to want them, so that nothing is paid
twice when names change places, or when settings are changed and changed back.

What lies in a part is copied from there before the part is rewritten.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable

import msgspec

from pipeline.checkpoint.codec import decode_transcript, encode
from pipeline.checkpoint.connection import Database, reads, writes
from pipeline.checkpoint.identity import HAS_TRANSCRIPT, TRANSCRIBED, Identity
from pipeline.model import Transcript

KEPT_BYTES = 256 << 20
"""So much of it stays once a run has looked at every row; the oldest go first. Until then only those that were made
with other settings are counted: the others may be what the next row wants."""
_LEVEL = 1


def packed(transcript: Transcript) -> bytes:
    """A transcript in few bytes, for a table that holds many."""
    return zlib.compress(encode(transcript), _LEVEL)


def unpacked(row: bytes) -> Transcript:
    """Raises zlib.error or msgspec.DecodeError where it is damaged."""
    return decode_transcript(zlib.decompress(row))


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
    db.execute("DELETE FROM replaced WHERE audio = ? AND config = ?", now.hashes)
    audio, config, *rest = db.execute(
        """SELECT u.done_audio, u.done_config, u.marks, u.config_hash = u.done_config OR ?, coalesce(r.was, u.id),
               u.part, r.row FROM utterances u LEFT JOIN results r USING (n) WHERE u.n = ?""",
        (is_copy, n),
    ).fetchone()
    marks, same_settings, id_, part, row = rest
    if not audio or not config or (audio, config) == now.hashes or (part is None and row is None):
        return
    held = f"SELECT 1 FROM utterances u LEFT JOIN results r USING (n) WHERE {HAS_TRANSCRIPT} AND u.n <> ?"  # noqa: S608 fixed texts
    if db.execute(held, (audio, config, n)).fetchone() is None:
        db.execute(
            """INSERT OR REPLACE INTO replaced (audio, config, marks, same_settings, id, part, row)
               VALUES (?, ?, ?, ?, ?, ?, ?)""",
            (audio, config, marks, same_settings, id_, part, None if row is None else zlib.compress(row, _LEVEL)),
        )


def find_replaced(db: sqlite3.Connection, identity: Identity) -> Stored | None:
    """Where the replaced transcript of an identity is."""
    found = db.execute("SELECT id, part, row FROM replaced WHERE audio = ? AND config = ?", identity.hashes).fetchone()
    if found is None:
        return None
    id_, part, row = found
    return Stored(id=id_, part=part, transcript=None if row is None else unpacked(row))


class Replaced(Database):
    """The part of a checkpoint that keeps replaced transcripts."""

    @reads
    def replaced_in(self, part: int, ids: Iterable[str]) -> set[str]:
        """Those of the ids under which a part holds transcripts that are nowhere else, and that no row has any more."""
        query = "SELECT EXISTS (SELECT 1 FROM replaced WHERE row IS NULL AND part = ? AND id = ?)"
        return {id_ for id_ in ids if self._db.execute(query, (part, id_)).fetchone()[0]}

    @reads
    def has_replaced_in(self, part: int) -> bool:
        """Whether a part holds such transcripts."""
        query = "SELECT EXISTS (SELECT 1 FROM replaced WHERE row IS NULL AND part = ?)"
        return bool(self._db.execute(query, (part,)).fetchone()[0])

    @writes
    def take_over(self, part: int, rows: Iterable[Transcript]) -> int:
        """Stores rows of a part that is about to be rewritten, where they are what is to be kept of it; returns the
        bytes."""
        size = 0
        for row in rows:
            stored = packed(row)
            taken = self._db.execute(
                """UPDATE replaced SET row = ?, part = NULL
                   WHERE row IS NULL AND part = ? AND id = ? AND audio = ? AND config = ?""",
                (stored, part, row.id, *Identity.of(row).hashes),
            ).rowcount
            size += len(stored) * taken
        return size

    @writes
    def forget_replaced_in(self, part: int) -> None:
        """Forgets what was to be taken over from a part and was not found there."""
        self._db.execute("DELETE FROM replaced WHERE row IS NULL AND part = ?", (part,))

    @writes
    def trim_taken_over(self) -> None:
        """Keeps only the newest of those that were made with other settings."""
        self._trim("row IS NOT NULL AND NOT same_settings")

    @writes
    def trim_replaced(self) -> None:
        """Keeps only the newest, once no row is left that might want one: none that this run has not looked at."""
        waits = "SELECT EXISTS (SELECT 1 FROM utterances WHERE selected AND sent = '')"
        if not self._db.execute(waits).fetchone()[0]:
            self._trim("row IS NOT NULL")

    def _trim(self, which: str) -> None:
        last = f"""SELECT max(number) FROM (SELECT number, sum(length(row)) OVER (ORDER BY number DESC) AS bytes
                                            FROM replaced WHERE {which}) WHERE bytes > ?"""  # noqa: S608 fixed texts
        self._db.execute(f"DELETE FROM replaced WHERE {which} AND number <= ({last})", (KEPT_BYTES,))  # noqa: S608 fixed texts

    @writes
    def adopt_replaced(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Takes in replaced transcripts as another checkpoint stored them, with the marks of their audio, unless a row
        has them."""
        for row, marks in rows:
            transcript = unpacked(row)
            identity = (transcript.audio_hash, transcript.config_hash)
            if self._db.execute(f"SELECT 1 FROM {TRANSCRIBED}", identity).fetchone() is None:  # noqa: S608 fixed texts
                self._db.execute(
                    """INSERT OR IGNORE INTO replaced (audio, config, marks, same_settings, id, row)
                       VALUES (?, ?, ?, 0, ?, ?)""",
                    (*identity, marks, transcript.id, row),
                )
