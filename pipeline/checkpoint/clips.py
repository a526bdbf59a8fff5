"""Answered clips of recordings that are sent as several: which of them wait, which are needed no more, and how many of
those are kept."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from pipeline.built import built
from pipeline.checkpoint.connection import Database, reads, translated, writes
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


class AnswerIndex(msgspec.Struct, frozen=True, kw_only=True):
    """What tells which recordings have answered clips, and which of their samples those are of."""

    spans: dict[str, list[tuple[str, str]]]
    """By what they answer to: (span, config_hash) of each."""
    ids: set[str]
    """Of the utterances that they were sent for."""
    sizes: set[int | None]
    """Of the recordings that they are of, as far as that was noted, and of those that the utterances have by now."""


class AnsweredClips(Database):
    """The part of a checkpoint that keeps answered clips."""

    @reads
    def answered_keys(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that have an answered clip."""
        query = "SELECT 1 FROM clips WHERE key = ? LIMIT 1"
        return {key for key in keys if self._db.execute(query, (key,)).fetchone()}

    @reads
    def answered_clips(self, keys: Iterable[str], config_hash: str | None) -> list[ClipResult]:
        """The answered clips of the keys, whichever utterance they were sent for; with a `config_hash` only what was
        sent for rows of these very settings."""
        query = "SELECT row FROM clips WHERE key = ?1 AND (?2 IS NULL OR config = ?2) ORDER BY span"
        return [_clip(row) for key in keys for (row,) in self._db.execute(query, (key, config_hash)).fetchall()]

    @reads
    def waiting_clips(self) -> tuple[int, float]:
        """Answered clips whose recordings have no transcript yet, and what they cost."""
        count, credits_ = self._db.execute(
            f"""SELECT count(*), coalesce(sum(c.credits), 0) {_OWNED}
                WHERE {_OF_NOW} AND c.config = u.config_hash AND NOT u.vanished AND u.state <> ?""",
            (State.DONE,),
        ).fetchone()
        return int(count), float(credits_)

    def kept_clips(self) -> Iterator[KeptClip]:
        """Every answered clip there is."""
        with translated(self.path):
            for key, row, config_hash, utterance in self._db.execute(
                "SELECT c.key, c.row, c.config, u.row FROM clips c CROSS JOIN utterances u USING (n) ORDER BY c.rowid"
            ):
                known = _utterance(utterance)
                yield KeptClip(id=known.id, audio=known.audio, key=key, config_hash=config_hash, result=_clip(row))

    @reads
    def answer_index(self) -> AnswerIndex:
        """Which answered clips there are, without their answers."""
        spans, sizes = defaultdict[str, list[tuple[str, str]]](list), set()
        for key, span, config_hash, row in self._db.execute("SELECT key, span, config, row FROM clips"):
            spans[key].append((span, config_hash))
            sizes.add(_length(row).audio_bytes)
        owners = self._db.execute("SELECT id, size FROM utterances WHERE n IN (SELECT n FROM clips)").fetchall()
        sizes |= {size for _, size in owners}
        return AnswerIndex(spans=spans, ids={id_ for id_, _ in owners}, sizes=sizes - {None})

    @writes
    def trim_clips(self) -> None:
        """Bounds what no utterance waits for: answers of earlier contents and settings, and of those that are done, or
        removed."""
        dropped = self._db.execute(
            f"""DELETE FROM clips WHERE rowid IN (
                   SELECT number FROM (
                       SELECT c.rowid AS number, sum(length(c.row)) OVER (ORDER BY c.rowid DESC) AS bytes
                       {_OWNED} WHERE u.state = ? OR u.vanished = ? OR NOT {_OF_NOW}
                   ) WHERE bytes > ?)""",  # noqa: S608 fixed texts
            (State.DONE, Seen.REMOVED, LEFT_OVER_BYTES),
        )
        if dropped.rowcount:
            clips_changed(self._db)


def drop_needless(db: sqlite3.Connection, done: Identity) -> None:
    """There is a transcript of `done`, which holds the answers to its audio that were given under the same settings.
    Those to other audio, or under other settings, may be asked for again, and stay."""
    query = "DELETE FROM clips WHERE config = ?2 AND key >= ?1 || ':' AND key < ?1 || ';'"
    if db.execute(query, done.hashes).rowcount:
        clips_changed(db)


def clips_changed(db: sqlite3.Connection) -> None:
    """Notes that clips.jsonl is to be written anew."""
    db.execute("INSERT OR REPLACE INTO facts VALUES (?, 1)", (CLIPS_STALE,))
