"""The rows that a run would send, and which may be copies of transcribed audio: only hashing them can tell.

Works after a scan, in temporary tables; the checkpoint stays unchanged. SQLite groups, so memory does not grow with
rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import msgspec

from pipeline.checkpoint.codec import decode_utterance
from pipeline.checkpoint.connection import Database
from pipeline.checkpoint.failing import known_failure
from pipeline.checkpoint.identity import TRANSCRIBED, Identity
from pipeline.checkpoint.plan import ALL_SELECTED, where_selected
from pipeline.checkpoint.replaced import find_replaced
from pipeline.checkpoint.scan import attach_scan
from pipeline.checkpoint.schema import State
from pipeline.checkpoint.sqlite_errors import translated
from pipeline.model import Failure, Utterance

# A row that is done and selected is sent again, even where its audio has a transcript.
_OPEN = f"state <> {State.DONE:d} AND version IS NOT NULL"
_TABLES = f"""
CREATE INDEX manifest.todo_open ON todo (size, config_hash) WHERE {_OPEN};
CREATE TABLE manifest.known AS SELECT DISTINCT size, done_config FROM (
        SELECT coalesce(content_bytes(marks), size) AS size, done_config FROM utterances WHERE done_audio IS NOT NULL
        UNION ALL SELECT content_bytes(marks), config FROM replaced
        UNION ALL SELECT content_bytes(marks), config FROM known_failures WHERE due = 0 OR due > {{run:d}}) k
    WHERE EXISTS (SELECT 1 FROM manifest.todo t WHERE {_OPEN} AND t.size = k.size);
CREATE INDEX manifest.known_size ON known (size, done_config);
"""  # noqa: S608 fixed texts
_ALIKE = f"""{_OPEN} AND (done_audio IS NOT NULL AND done_config = config_hash
    OR EXISTS (SELECT 1 FROM manifest.known k
               WHERE k.size = todo.size AND k.done_config IN (todo.config_hash, todo.written))
    OR EXISTS (SELECT 1 FROM manifest.todo o WHERE o.state <> {State.DONE:d} AND o.version IS NOT NULL
               AND o.size = todo.size AND o.config_hash = todo.config_hash AND o.rowid <> todo.rowid))"""  # noqa: S608 fixed texts


_KNOWN_BY_NAME = f"""{_OPEN} AND (done_audio IS NOT NULL OR size IN (SELECT size FROM manifest.known))
    AND EXISTS (SELECT 1 FROM json_each(names_of(row)) name
                WHERE name.value = done_config OR EXISTS (
                    SELECT 1 FROM manifest.known k WHERE k.size = todo.size AND k.done_config = name.value))"""  # noqa: S608 fixed texts


class Todo(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance that a run would process."""

    place: int
    """Its place in the order of work, from 1."""
    utterance: Utterance
    config_hash: str
    done: Identity | None
    """The identity of its transcript."""
    size: int | None
    version: str | None
    """Of its recording by the scan."""
    prefix_hashes: bytes | None
    """Of the transcribed content."""
    failed_before: bool
    """Runs have tried it in vain."""
    may_be_known: bool
    """The row has a transcript with these settings, or a file of its size was or will be sent with them."""
    is_known_if_one_channel: bool
    """It may be known if it is mono: a file of the same size was sent with other `audio.channels`."""


class TodoList:
    """The rows that a run would process, or is processing. Iterate over it once."""

    def __init__(
        self,
        checkpoint: Database,
        only: Sequence[str] | None,
        at_most: int | None,
        length_of: Callable[[bytes], int],
        names_of: Callable[[Utterance], Sequence[str]],
    ) -> None:
        """`only`: of a run with these options, after its scan; None: of the current run. At most the first `at_most`.

        `length_of` returns the length in bytes of content with these prefix hashes, `names_of` the config hashes whose
        transcripts also fit a row if its recording is mono.
        """
        self._path = path = checkpoint.path
        self._db = db = checkpoint._db
        db.create_function("content_bytes", 1, lambda hashes: None if hashes is None else length_of(hashes))
        db.create_function("names_of", 1, lambda row: json.dumps(names_of(decode_utterance(row))), deterministic=True)
        with translated(path):
            [runs] = db.execute("SELECT count(*) FROM runs").fetchone()
            if only is None:
                attach_scan(db)
                self._run, selected = runs, ALL_SELECTED
            else:
                self._run, selected = runs + 1, where_selected(only)
            db.execute(  # in the order of work, so that a rowid is the place in it
                f"""CREATE TABLE manifest.todo AS
                    SELECT row, state, size, version, config_hash, written, done_audio, done_config, marks, tries
                    FROM ({selected} LIMIT {-1 if at_most is None else at_most:d})"""  # noqa: S608 fixed texts
            )
            db.executescript(_TABLES.format(run=self._run))

    def __iter__(self) -> Iterator[Todo]:
        """First the rows that cannot be copies, then the others, with possible copies of each other together."""
        with translated(self._path):
            for may_be_known, order in ((False, "rowid"), (True, "size, config_hash, rowid")):
                found = self._db.execute(
                    f"""SELECT rowid, row, size, version, config_hash, done_audio, done_config, marks, tries,
                               NOT ?1 AND {_KNOWN_BY_NAME}
                        FROM manifest.todo WHERE ({_ALIKE}) IS ?1 ORDER BY {order}""",  # noqa: S608 fixed texts
                    (may_be_known,),
                )
                for place, row, size, version, config_hash, audio, config, prefix_hashes, tries, by_name in found:
                    yield Todo(
                        place=place,
                        utterance=decode_utterance(row),
                        config_hash=config_hash,
                        done=None if audio is None else Identity(audio_hash=audio, config_hash=config),
                        size=size,
                        version=version,
                        prefix_hashes=prefix_hashes,
                        failed_before=tries > 0,
                        may_be_known=may_be_known,
                        is_known_if_one_channel=bool(by_name),
                    )

    def has_transcript(self, identity: Identity) -> bool:
        """Whether this audio has a transcript under these settings, of any utterance or a replaced one."""
        with translated(self._path):
            found = self._db.execute(f"SELECT 1 FROM {TRANSCRIBED}", identity.hashes).fetchone()  # noqa: S608
            return found is not None or find_replaced(self._db, identity) is not None

    def known_failure(self, identities: Sequence[Identity]) -> tuple[Failure, int] | None:
        """The stored failure because of which the run does not send the audio of these identities, and the number of
        runs that still skip it; None if the run sends it."""
        with translated(self._path):
            found = (known_failure(self._db, identity) for identity in identities)
            holding = (one for one in found if one is not None and one.prevents(self._run))
            return next(((one.failure, one.due - self._run) for one in holding), None)
