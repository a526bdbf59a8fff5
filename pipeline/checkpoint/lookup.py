"""Finds earlier results of any row by identity: transcripts, failures, and answered clips of long recordings."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from pipeline.built import built
from pipeline.checkpoint.codec import decode_clip, decode_transcript, decode_utterance
from pipeline.checkpoint.connection import Database, reads, writes
from pipeline.checkpoint.failing import KnownFailure, known_failure
from pipeline.checkpoint.identity import HAS_TRANSCRIPT, Identity
from pipeline.checkpoint.replaced import Stored, find_replaced, times_in
from pipeline.checkpoint.schema import CLIPS_STALE, Seen, State
from pipeline.checkpoint.sqlite_errors import translated
from pipeline.clips import ClipResult, KeptClip
from pipeline.model import Utterance

_WITH_TIMES = "utterances u LEFT JOIN results r USING (n) LEFT JOIN subtracted s USING (n)"
_PLACED = f"SELECT u.n, u.id, u.row, u.part, r.row, s.times FROM {_WITH_TIMES}"  # noqa: S608 fixed texts
_OF_IDENTITY = f"""SELECT coalesce(r.was, u.id), u.part, r.row, s.times FROM {_WITH_TIMES}
        WHERE {HAS_TRANSCRIPT} LIMIT 1"""  # noqa: S608 fixed texts
_HAS_ONE = "(u.part IS NOT NULL OR r.row IS NOT NULL)"
_RENAMED = f"""{_PLACED} WHERE u.done_audio = ? AND u.done_config = ? AND u.vanished = {Seen.REMOVED:d}
        AND u.manifest = (SELECT manifest FROM utterances WHERE n = ? AND part IS NULL)
        AND {_HAS_ONE} AND u.n > ? ORDER BY u.n LIMIT 200"""  # noqa: S608 fixed texts


LAST = 1 << 62
"""The place of a row that no utterance has."""
IDS_AT_ONCE = 500
"""In one query."""
LEFT_OVER_BYTES = 64 << 20
"""How much is kept of answered clips that no utterance needs, the newest: some 1,500 of 300 s. They are used where
settings or rows are changed back."""


@built
class _Length(msgspec.Struct, frozen=True):
    """The size of the recording of an answered clip, which is all that is decoded of it."""

    audio_bytes: int | None = None


_length = msgspec.msgpack.Decoder(_Length).decode
_OWNED = """FROM clips c CROSS JOIN utterances u USING (n)
    CROSS JOIN clips newest ON newest.rowid = (SELECT max(own.rowid) FROM clips own WHERE own.n = c.n)"""
"""Clips `c` with the row `u` that they were sent for, and the `newest` clip of that row, which has the row's current
content and settings as far as the checkpoint knows them."""
_OF_NOW = """(c.key = newest.key OR c.config = u.config_hash
    AND substr(c.key, 1, instr(c.key, ':')) = substr(newest.key, 1, instr(newest.key, ':')))"""
"""Those of the same key as the newest, or of the same audio under the row's settings."""


class AnswerIndex(msgspec.Struct, frozen=True, kw_only=True):
    """Which recordings have answered clips, and of which of their samples."""

    spans: dict[str, list[tuple[str, str]]]
    """(span, config_hash) of each clip, by key."""
    ids: set[str]
    """Of the utterances that the clips were sent for."""
    sizes: set[int | None]
    """Bytes of the recordings of the clips, where stored, and of the recordings that the utterances have now."""


class Placed(Stored, frozen=True, kw_only=True):
    """An utterance with a transcript, and where that is stored."""

    n: int
    utterance: Utterance


class Lookup(Database):
    """Queries for earlier results."""

    @reads
    def stored_transcripts(self, identities: Iterable[Identity]) -> dict[Identity, Stored]:
        """Where the transcripts of these identities are, for those that have one: of any utterance, or replaced."""
        found: dict[Identity, Stored] = {}
        for identity in identities:
            row = self._db.execute(_OF_IDENTITY, identity.hashes).fetchone()
            stored = find_replaced(self._db, identity) if row is None else _stored(*row)
            if stored is not None:
                found[identity] = stored
        return found

    @reads
    def known_failures(self, identities: Iterable[Identity]) -> tuple[dict[Identity, KnownFailure], int]:
        """The known failures of these identities, and the number of the current run."""
        found = (known_failure(self._db, identity) for identity in identities)
        [run] = self._db.execute("SELECT count(*) FROM runs").fetchone()
        return {known.identity: known for known in found if known is not None}, int(run)

    @reads
    def settings_of_removed(self) -> frozenset[str]:
        """The config_hashes of the transcripts of removed rows."""
        query = "SELECT DISTINCT done_config FROM utterances WHERE vanished = ? AND done_config IS NOT NULL"
        return frozenset(config_hash for (config_hash,) in self._db.execute(query, (Seen.REMOVED,)))

    @reads
    def renamed(
        self, new: Mapping[int, Sequence[Identity]], after: Mapping[Identity, int]
    ) -> dict[int, list[tuple[Identity, Placed]]]:
        """For new rows whose ids are paths, with their identities: removed rows of the same manifest that have such a
        transcript, so that the recording may have been renamed; the first of them. `after`: rows up to this number are
        known not to be."""
        return {
            n: [
                (identity, _placed(row))
                for identity in identities
                for row in self._db.execute(_RENAMED, (*identity.hashes, n, after.get(identity, 0))).fetchall()
            ]
            for n, identities in new.items()
        }

    @reads
    def holds_answers(self) -> bool:
        """Whether there is any transcript or answered clip."""
        query = """SELECT EXISTS (SELECT 1 FROM utterances WHERE done_audio IS NOT NULL)
                       OR EXISTS (SELECT 1 FROM clips)"""
        return bool(self._db.execute(query).fetchone()[0])

    @reads
    def any_transcript(self) -> Placed | None:
        """Some utterance with a transcript; None where there is none."""
        found = self._db.execute(f"{_PLACED} WHERE u.done_audio IS NOT NULL AND {_HAS_ONE} LIMIT 1").fetchone()
        return None if found is None else _placed(found)

    @reads
    def number_of(self, id_: str) -> int | None:
        """The number of an utterance; None for an unknown id."""
        found = self._db.execute("SELECT n FROM utterances WHERE id = ?", (id_,)).fetchone()
        return None if found is None else int(found[0])

    @reads
    def places_of(self, ids: Sequence[str]) -> list[int]:
        """The places of utterances in the order in which manifests had them; unknown ids come last."""
        places: dict[str, int] = {}
        for start in range(0, len(ids), IDS_AT_ONCE):
            some = ids[start : start + IDS_AT_ONCE]
            query = f"SELECT id, n FROM utterances WHERE id IN ({', '.join('?' * len(some))})"  # noqa: S608 marks
            places.update(self._db.execute(query, some).fetchall())
        return [places.get(id_, LAST) for id_ in ids]

    @reads
    def rows_of(self, ids: Iterable[str]) -> dict[str, Utterance]:
        """The manifest rows of known ids."""
        query = "SELECT row FROM utterances WHERE id = ?"
        found = {id_: self._db.execute(query, (id_,)).fetchone() for id_ in ids}
        return {id_: decode_utterance(row[0]) for id_, row in found.items() if row is not None}

    # -- answered clips -----------------------------------------------------------------------------------------------

    @reads
    def answered_keys(self, keys: Iterable[str]) -> set[str]:
        """The keys that have an answered clip."""
        query = "SELECT 1 FROM clips WHERE key = ? LIMIT 1"
        return {key for key in keys if self._db.execute(query, (key,)).fetchone()}

    @reads
    def answered_clips(self, keys: Iterable[str], config_hash: str | None) -> list[ClipResult]:
        """The answered clips of the keys, sent for any utterance; with a `config_hash` only those sent with it."""
        query = "SELECT row FROM clips WHERE key = ?1 AND (?2 IS NULL OR config = ?2) ORDER BY span"
        return [decode_clip(row) for key in keys for (row,) in self._db.execute(query, (key, config_hash)).fetchall()]

    @reads
    def waiting_clips(self) -> tuple[int, float]:
        """The number of answered clips whose recordings have no transcript yet, and their credits."""
        count, credits_ = self._db.execute(
            f"""SELECT count(*), coalesce(sum(c.credits), 0) {_OWNED}
                WHERE {_OF_NOW} AND c.config = u.config_hash AND NOT u.vanished AND u.state <> ?""",
            (State.DONE,),
        ).fetchone()
        return int(count), float(credits_)

    def kept_clips(self) -> Iterator[KeptClip]:
        """All answered clips."""
        with translated(self.path):
            for key, row, config_hash, utterance in self._db.execute(
                "SELECT c.key, c.row, c.config, u.row FROM clips c CROSS JOIN utterances u USING (n) ORDER BY c.rowid"
            ):
                known = decode_utterance(utterance)
                yield KeptClip(
                    id=known.id, audio=known.audio, key=key, config_hash=config_hash, result=decode_clip(row)
                )

    @reads
    def answer_index(self) -> AnswerIndex:
        """An index of the answered clips, without their answers."""
        spans, sizes = defaultdict[str, list[tuple[str, str]]](list), set()
        for key, span, config_hash, row in self._db.execute("SELECT key, span, config, row FROM clips"):
            spans[key].append((span, config_hash))
            sizes.add(_length(row).audio_bytes)
        owners = self._db.execute("SELECT id, size FROM utterances WHERE n IN (SELECT n FROM clips)").fetchall()
        sizes |= {size for _, size in owners}
        return AnswerIndex(spans=spans, ids={id_ for id_, _ in owners}, sizes=sizes - {None})

    @writes
    def trim_clips(self) -> None:
        """Deletes the oldest clips that no utterance needs, beyond LEFT_OVER_BYTES: of earlier content or settings, and
        of utterances that are done or removed."""
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
    """Deletes the clips that the transcript of `done` contains. Those of other audio or settings may be used again."""
    query = "DELETE FROM clips WHERE config = ?2 AND key >= ?1 || ':' AND key < ?1 || ';'"
    if db.execute(query, done.hashes).rowcount:
        clips_changed(db)


def clips_changed(db: sqlite3.Connection) -> None:
    """Records that clips.jsonl has to be rewritten."""
    db.execute("INSERT OR REPLACE INTO facts VALUES (?, 1)", (CLIPS_STALE,))


def _stored(id_: str, part: int | None, result: bytes | None, times: bytes | None) -> Stored:
    transcript = None if result is None else decode_transcript(result)
    return Stored(id=id_, part=part, transcript=transcript, clip_times=times_in(times))


def _placed(found: tuple[int, str, bytes, int | None, bytes | None, bytes | None]) -> Placed:
    n, id_, row, part, result, times = found
    return Placed(n=n, utterance=decode_utterance(row), **msgspec.structs.asdict(_stored(id_, part, result, times)))
