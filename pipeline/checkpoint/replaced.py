"""Replaced transcripts: kept by identity for a later row, so that nothing is paid twice when files swap names, or when
settings are changed and changed back.

Those in a part are copied into the checkpoint before the part is rewritten.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable

import msgspec

from pipeline.checkpoint.codec import decode_clip_times, decode_transcript, encode
from pipeline.checkpoint.connection import Database, reads, writes
from pipeline.checkpoint.identity import HAS_TRANSCRIPT, TRANSCRIBED, Identity
from pipeline.model import ClipTimes, Transcript

KEPT_BYTES = 256 << 20
"""Replaced transcripts kept, in compressed bytes; the oldest are deleted first. Until a run has hashed every row, this
limits only those of other settings: a row not hashed yet may need one of the same settings."""
_LEVEL = 1


def packed(transcript: Transcript) -> bytes:
    """A transcript, encoded and compressed."""
    return zlib.compress(encode(transcript), _LEVEL)


def unpacked(row: bytes) -> Transcript:
    """The transcript of `packed` bytes. Raises zlib.error or msgspec.DecodeError where they are damaged."""
    return decode_transcript(zlib.decompress(row))


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """Where a transcript is stored."""

    id: str
    """Its id in the part."""
    part: int | None
    """The part that has it (0: the JSONL), where `transcript` is None."""
    transcript: Transcript | None
    """The transcript, where it is in the checkpoint."""
    clip_times: tuple[ClipTimes, ...] | msgspec.UnsetType = msgspec.UNSET
    """How its times came about, where it is in a part."""

    def read(self, row: Transcript) -> Transcript:
        """The row of the part with what only the checkpoint has of it."""
        return msgspec.structs.replace(row, clip_times=self.clip_times)


def keep_replaced(db: sqlite3.Connection, n: int, now: Identity, *, is_copy: bool) -> None:
    """Keeps the transcript of row `n`, which the one of identity `now` is about to replace, unless another row has it
    too. With `is_copy` files may have swapped names, and it is kept as one of the same settings."""
    db.execute("DELETE FROM replaced WHERE audio = ? AND config = ?", now.hashes)
    audio, config, prefix_hashes, same_settings, id_, part, row, times = db.execute(
        """SELECT u.done_audio, u.done_config, u.marks, u.config_hash = u.done_config OR ?, coalesce(r.was, u.id),
               u.part, r.row, s.times FROM utterances u LEFT JOIN results r USING (n) LEFT JOIN subtracted s USING (n)
           WHERE u.n = ?""",
        (is_copy, n),
    ).fetchone()
    if not audio or not config or (audio, config) == now.hashes or (part is None and row is None):
        return
    held = f"SELECT 1 FROM utterances u LEFT JOIN results r USING (n) WHERE {HAS_TRANSCRIPT} AND u.n <> ?"  # noqa: S608 fixed texts
    if db.execute(held, (audio, config, n)).fetchone() is None:
        db.execute(
            """INSERT OR REPLACE INTO replaced (audio, config, marks, same_settings, id, part, row, times)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
            (audio, config, prefix_hashes, same_settings, id_, part, row and zlib.compress(row, _LEVEL), times),
        )


def find_replaced(db: sqlite3.Connection, identity: Identity) -> Stored | None:
    """Where the replaced transcript of an identity is stored; None where there is none."""
    query = "SELECT id, part, row, times FROM replaced WHERE audio = ? AND config = ?"
    found = db.execute(query, identity.hashes).fetchone()
    if found is None:
        return None
    id_, part, row, times = found
    return Stored(id=id_, part=part, transcript=None if row is None else unpacked(row), clip_times=times_in(times))


def times_in(encoded: bytes | None) -> tuple[ClipTimes, ...] | msgspec.UnsetType:
    """The record of times of a transcript in a part."""
    return msgspec.UNSET if encoded is None else decode_clip_times(encoded)


class Replaced(Database):
    """The table of replaced transcripts."""

    @reads
    def replaced_in(self, part: int, ids: Iterable[str]) -> set[str]:
        """The ids of replaced transcripts that are only in this part."""
        query = "SELECT EXISTS (SELECT 1 FROM replaced WHERE row IS NULL AND part = ? AND id = ?)"
        return {id_ for id_ in ids if self._db.execute(query, (part, id_)).fetchone()[0]}

    @reads
    def has_replaced_in(self, part: int) -> bool:
        """Whether a replaced transcript is only in this part."""
        query = "SELECT EXISTS (SELECT 1 FROM replaced WHERE row IS NULL AND part = ?)"
        return bool(self._db.execute(query, (part,)).fetchone()[0])

    @writes
    def take_over(self, part: int, rows: Iterable[Transcript]) -> int:
        """Copies replaced transcripts out of a part that is about to be rewritten; returns the bytes stored."""
        size = 0
        which = "row IS NULL AND part = ? AND id = ? AND audio = ? AND config = ?"
        for row in rows:
            key = (part, row.id, *Identity.of(row).hashes)
            for (times,) in self._db.execute(f"SELECT times FROM replaced WHERE {which}", key).fetchall():  # noqa: S608 fixed texts
                stored = packed(msgspec.structs.replace(row, clip_times=times_in(times)))
                query = f"UPDATE replaced SET row = ?, part = NULL, times = NULL WHERE {which}"  # noqa: S608 fixed texts
                self._db.execute(query, (stored, *key))
                size += len(stored)
        return size

    @writes
    def forget_replaced_in(self, part: int) -> None:
        """Deletes replaced transcripts that were not found in their part."""
        self._db.execute("DELETE FROM replaced WHERE row IS NULL AND part = ?", (part,))

    @writes
    def trim_taken_over(self) -> None:
        """Deletes the oldest ones with other settings, beyond KEPT_BYTES."""
        self._trim("row IS NOT NULL AND NOT same_settings")

    @writes
    def trim_replaced(self) -> None:
        """Deletes the oldest beyond KEPT_BYTES, once this run has hashed every row that might need one."""
        waits = "SELECT EXISTS (SELECT 1 FROM utterances WHERE selected AND sent = '')"
        if not self._db.execute(waits).fetchone()[0]:
            self._trim("row IS NOT NULL")

    def _trim(self, which: str) -> None:
        last = f"""SELECT max(number) FROM (SELECT number, sum(length(row)) OVER (ORDER BY number DESC) AS bytes
                                            FROM replaced WHERE {which}) WHERE bytes > ?"""  # noqa: S608 fixed texts
        self._db.execute(f"DELETE FROM replaced WHERE {which} AND number <= ({last})", (KEPT_BYTES,))  # noqa: S608 fixed texts

    @writes
    def adopt_replaced(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Inserts replaced transcripts of another checkpoint, with their prefix hashes, unless a row has them."""
        for row, prefix_hashes in rows:
            transcript = unpacked(row)
            identity = (transcript.audio_hash, transcript.config_hash)
            if self._db.execute(f"SELECT 1 FROM {TRANSCRIBED}", identity).fetchone() is None:  # noqa: S608 fixed texts
                self._db.execute(
                    """INSERT OR IGNORE INTO replaced (audio, config, marks, same_settings, id, row)
                       VALUES (?, ?, ?, 0, ?, ?)""",
                    (*identity, prefix_hashes, transcript.id, row),
                )
