"""Fills a new checkpoint with utterances, transcripts and failures from an old one and from the output files.

Recordings count as never seen, so that the next run hashes each once; except those of failed utterances whose version
is known, because they would be sent again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from pipeline.checkpoint.codec import decode_utterance, encode
from pipeline.checkpoint.connection import Database, writes
from pipeline.checkpoint.failing import MOST_LEFT_OUT, NEXT_RUN, KnownFailure, remember, state_after
from pipeline.checkpoint.identity import is_partial
from pipeline.checkpoint.salvage import Known
from pipeline.checkpoint.schema import BAD_ROW, FAILED, IS_DONE, IS_FAILED, Seen, State
from pipeline.model import Failure, Transcript, Utterance

NEVER_SEEN = "-"
_INSERT = """INSERT OR IGNORE INTO utterances
    (id, row, state, vanished, expected_s, size, version, config_hash, attempts, tries, tried, setbacks, due,
     removed, manifest)
    VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,(SELECT n FROM manifests WHERE n = ?))"""
_NO_TRIES = 0, "", 0, 0, None, None


class Rebuilding(Database):
    """Inserts for a rebuild."""

    @writes
    def adopt_manifests(self, manifests: Iterable[tuple[int, str, bool]]) -> None:
        """Inserts the manifests of an old checkpoint, before the utterances that came from them."""
        self._db.executemany("INSERT OR IGNORE INTO manifests (n, name, by_path) VALUES (?, ?, ?)", manifests)

    @writes
    def adopt_known(self, rows: Iterable[Known]) -> None:
        """Inserts utterances of an old checkpoint. None is done: `adopt_transcribed` follows for those."""
        for known in rows:
            utterance, state = known.utterance, known.state
            if state in FAILED:
                seen = known.size, known.version, known.config_hash
            else:
                state, seen = State.NEW if state == State.DONE else state, (None, None, NEVER_SEEN)
            encoded = encode(utterance)
            removed = known.removed or (int(time.time()) if known.vanished == Seen.REMOVED else None)
            tries = known.attempts, known.tries, known.tried, known.setbacks, known.due, removed, known.manifest
            self._db.execute(_INSERT, (utterance.id, encoded, state, known.vanished, known.expected_s, *seen, *tries))

    @writes
    def adopt_transcribed(self, rows: Sequence[Transcript]) -> list[tuple[int, bool]]:
        """Inserts or updates the utterances of found transcripts; returns (n, whether it had one already) of each."""
        return [self._transcribed(row) for row in rows]

    def _transcribed(self, found: Transcript) -> tuple[int, bool]:
        utterance = Utterance(id=found.id, audio=found.audio, reference=found.reference, metadata=found.metadata)
        encoded, db = encode(utterance), self._db
        added = db.execute(_INSERT, (utterance.id, encoded, State.NEW, 0, 0.0, None, None, NEVER_SEEN, 0, *_NO_TRIES))
        if added.rowcount:
            return int(added.lastrowid or 0), False
        n, row, state, had_one = db.execute(
            "SELECT n, row, state, done_audio IS NOT NULL FROM utterances WHERE id = ?", (utterance.id,)
        ).fetchone()
        if _about(decode_utterance(row)) == _about(utterance):
            encoded = row  # it has more than a transcript: the language and the span
        db.execute("UPDATE utterances SET row = ? WHERE n = ?", (encoded, n))
        if not (is_partial(found) and state in FAILED):  # such a row stays failed
            query = "UPDATE utterances SET size = NULL, version = NULL, config_hash = ? WHERE n = ?"
            db.execute(query, (NEVER_SEEN, n))
        return n, bool(had_one)

    @writes
    def adopt_move(self, was: str, now: str) -> None:
        """Records that the part has the transcript of the utterance `now` under the id `was`, to be replaced. Not where
        an utterance of that id has a result of its own, which replaces the row."""
        found = self._db.execute(
            "SELECT n, part FROM utterances WHERE id = ? AND n NOT IN (SELECT n FROM results)", (was,)
        ).fetchone()
        if found is not None:
            old, part = found
            self._db.execute("DELETE FROM utterances WHERE n = ?", (old,))
            self._db.execute("UPDATE utterances SET part = ? WHERE id = ?", (part, now))
            query = "UPDATE results SET was = ? WHERE n = (SELECT n FROM utterances WHERE id = ?)"
            self._db.execute(query, (was, now))

    @writes
    def adopt_failed(self, rows: Iterable[Known]) -> None:
        """Sets utterances to failed again that had failed with an earlier transcript, and were inserted as done."""
        for known in rows:
            query = f"SELECT n, row FROM utterances WHERE id = ? AND {IS_DONE}"  # noqa: S608 fixed texts
            found = self._db.execute(query, (known.utterance.id,)).fetchone()
            if known.state not in FAILED or found is None:
                continue
            n, row = found
            self._db.execute(
                """UPDATE utterances SET row = ?, state = ?, size = ?, version = ?, config_hash = ?, attempts = ?,
                       tries = ?, tried = ?, setbacks = ?, due = ?, other_path = ? WHERE n = ?""",
                (
                    *(encode(known.utterance), known.state, known.size, known.version),
                    *(known.config_hash, known.attempts, known.tries, known.tried, known.setbacks, known.due),
                    *(decode_utterance(row).audio != known.utterance.audio, n),
                ),
            )

    @writes
    def adopt_failures(self, failures: Iterable[Failure]) -> None:
        """Inserts failures: the first one for each utterance, and none for those that are done."""
        for failure in failures:
            utterance = Utterance(id=failure.id, audio=failure.audio, metadata=failure.metadata)
            encoded, config_hash = encode(utterance), NEVER_SEEN if failure.audio else BAD_ROW
            row = (failure.id, encoded, state_after(failure), 0, 0.0, None, None, config_hash)
            self._db.execute(_INSERT, (*row, failure.attempts, *_NO_TRIES))
            self._db.execute(
                f"INSERT OR IGNORE INTO failures SELECT n, ?, ?, ? FROM utterances WHERE id = ? AND NOT {IS_DONE}",  # noqa: S608 fixed texts
                (encode(failure), failure.error, failure.first_seen.timestamp(), failure.id),
            )

    @writes
    def adopt_known_failures(self, rows: Iterable[tuple[KnownFailure, bytes | None]]) -> None:
        """Inserts known failures of another checkpoint, with their prefix hashes."""
        for known, prefix_hashes in rows:
            remember(self._db, known, prefix_hashes)

    @writes
    def bound_waits(self) -> None:
        """Limits `due`, because the count of runs may have changed."""
        for table in ("utterances", "known_failures"):
            query = f"UPDATE {table} SET due = min(due, {NEXT_RUN} + ?) WHERE due"  # noqa: S608 fixed texts
            self._db.execute(query, (MOST_LEFT_OUT,))

    @writes
    def forget_unexplained(self) -> None:
        """Resets failed utterances without a stored failure to new."""
        unexplained = "n NOT IN (SELECT n FROM failures)"
        self._db.execute(f"DELETE FROM utterances WHERE {unexplained} AND config_hash = ?", (BAD_ROW,))  # noqa: S608 fixed texts
        self._db.execute(
            f"""UPDATE utterances SET state = ?, size = NULL, version = NULL, config_hash = ?
                WHERE {unexplained} AND {IS_FAILED}""",  # noqa: S608 fixed texts
            (State.NEW, NEVER_SEEN),
        )


def _about(utterance: Utterance) -> tuple[object, ...]:
    """The fields of a row that its transcript repeats; where they differ, the next run refreshes the transcript."""
    return utterance.audio, utterance.reference, utterance.metadata
