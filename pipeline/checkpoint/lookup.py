"""What is known of a recording, by what its transcript answers to: transcripts and failures of whichever row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pipeline.checkpoint.connection import Database, reads
from pipeline.checkpoint.failing import KnownFailure, known_failure
from pipeline.checkpoint.identity import TRANSCRIBED, Identity
from pipeline.checkpoint.replaced import Stored, find_replaced
from pipeline.checkpoint.schema import Seen
from pipeline.model import Transcript, Utterance

_PLACED = "SELECT u.n, u.id, u.row, u.part, r.row FROM utterances u LEFT JOIN results r USING (n)"
_HAS_ONE = "(u.part IS NOT NULL OR r.row IS NOT NULL)"
_RENAMED = f"""{_PLACED} WHERE u.done_audio = ? AND u.done_config = ? AND u.vanished = {Seen.REMOVED:d}
        AND u.manifest = (SELECT manifest FROM utterances WHERE n = ? AND part IS NULL)
        AND {_HAS_ONE} AND u.n > ? ORDER BY u.n LIMIT 200"""  # noqa: S608 fixed texts


class Placed(Stored, frozen=True, kw_only=True):
    """An utterance that has a transcript, and where that is."""

    n: int
    utterance: Utterance


class Lookup(Database):
    """The part of a checkpoint that finds what was done before."""

    @reads
    def stored_transcripts(self, identities: Iterable[Identity]) -> dict[Identity, Stored]:
        """For those identities that have one, where a transcript is that answers to this very audio and these settings:
        that of any utterance, or one that was replaced."""
        found: dict[Identity, Stored] = {}
        for identity in identities:
            row = self._db.execute(
                f"SELECT coalesce(r.was, u.id), u.part, r.row FROM {TRANSCRIBED}",  # noqa: S608 fixed texts
                identity.hashes,
            ).fetchone()
            stored = find_replaced(self._db, identity) if row is None else _stored(*row)
            if stored is not None:
                found[identity] = stored
        return found

    @reads
    def known_failures(self, identities: Iterable[Identity]) -> tuple[dict[Identity, KnownFailure], int]:
        """How those of the identities failed that did, and the number of the run that is going on."""
        found = (known_failure(self._db, identity) for identity in identities)
        [run] = self._db.execute("SELECT count(*) FROM runs").fetchone()
        return {known.identity: known for known in found if known is not None}, int(run)

    @reads
    def settings_of_removed(self) -> frozenset[str]:
        """The config_hash of each transcript of a row that its manifest no longer has."""
        query = "SELECT DISTINCT done_config FROM utterances WHERE vanished = ? AND done_config IS NOT NULL"
        return frozenset(config_hash for (config_hash,) in self._db.execute(query, (Seen.REMOVED,)))

    @reads
    def renamed(
        self, new: Mapping[int, Sequence[Identity]], after: Mapping[Identity, int]
    ) -> dict[int, list[tuple[Identity, Placed]]]:
        """For rows whose id is their path, with what transcripts of them answer to: the first rows that their
        recordings may have had under another name, which have such a transcript and were seen last by the same
        manifest, which no longer has them. `after`: those up to this number are known to be none."""
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
        """Whether there is a transcript, or an answered clip of one."""
        query = """SELECT EXISTS (SELECT 1 FROM utterances WHERE done_audio IS NOT NULL)
                       OR EXISTS (SELECT 1 FROM clips)"""
        return bool(self._db.execute(query).fetchone()[0])

    @reads
    def any_transcript(self) -> Placed | None:
        """One utterance that has a transcript, where there is any."""
        found = self._db.execute(f"{_PLACED} WHERE u.done_audio IS NOT NULL AND {_HAS_ONE} LIMIT 1").fetchone()
        return None if found is None else _placed(found)

    @reads
    def number_of(self, id_: str) -> int | None:
        """The number of an utterance that is known."""
        found = self._db.execute("SELECT n FROM utterances WHERE id = ?", (id_,)).fetchone()
        return None if found is None else int(found[0])


def _stored(id_: str, part: int | None, result: bytes | None) -> Stored:
    transcript = None if result is None else msgspec.msgpack.decode(result, type=Transcript)
    return Stored(id=id_, part=part, transcript=transcript)


def _placed(found: tuple[int, str, bytes, int | None, bytes | None]) -> Placed:
    n, id_, row, part, result = found
    transcript = _stored(id_, part, result).transcript
    utterance = msgspec.msgpack.decode(row, type=Utterance)
    return Placed(n=n, utterance=utterance, id=id_, part=part, transcript=transcript)
