"""Reads what it can of a damaged checkpoint: everything that is not, or not as completely, in the output files.

A row or page that cannot be read loses only its own content, and never ends the program. Older schemas are read too.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pipeline.built import built
from pipeline.checkpoint.codec import (
    decode_attempt,
    decode_clip,
    decode_clip_times,
    decode_failure,
    decode_transcript,
    decode_utterance,
)
from pipeline.checkpoint.connection import Database
from pipeline.checkpoint.failing import KnownFailure
from pipeline.checkpoint.identity import Identity
from pipeline.checkpoint.migrations import VERSION_UNTIL_6
from pipeline.checkpoint.replaced import unpacked
from pipeline.checkpoint.schema import State
from pipeline.clips import KeptClip
from pipeline.model import Attempt, ClipTimes, Failure, Transcript, Utterance

T = TypeVar("T")
LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1


@built
class Known(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of an utterance in the old checkpoint."""

    utterance: Utterance
    state: State = State.NEW
    vanished: int = 0
    expected_s: float = 0.0
    size: int | None = None
    version: str | None = None
    config_hash: str = ""
    attempts: int = 0
    tries: int = 0
    tried: str = ""
    setbacks: int = 0
    due: int = 0
    manifest: int | None = None
    removed: int | None = None


class Old(Database):
    """A checkpoint that may be damaged; an empty one without a path."""

    def __init__(self, path: Path | None) -> None:
        self.skipped = 0
        """The number of rows so far that could not be read."""
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")

    def results(self) -> Iterator[Transcript]:
        """Unpublished transcripts."""
        for (row,) in self._rows("results", "row"):
            if (
                row is not None and (result := self._decoded(row, decode_transcript)) is not None
            ):  # NULL: schema 4 and before
                yield result

    def moved(self) -> Iterator[tuple[str, str]]:
        """Unpublished transcripts whose published row has another id: (that id, their own)."""
        with suppress(sqlite3.Error):  # before schema 5 rows did not move
            yield from self._db.execute(
                "SELECT r.was, u.id FROM results r JOIN utterances u USING (n) WHERE r.was IS NOT NULL"
            ).fetchall()

    def attempts(self) -> Iterator[Attempt]:
        """Unpublished attempts, including those of requests in flight."""
        for table in ("attempts", "open_attempts"):
            for (row,) in self._rows(table, "row"):
                if (attempt := self._decoded(row, decode_attempt)) is not None:
                    yield attempt

    def failures(self) -> Iterator[Failure]:
        """The failures of utterances."""
        for (row,) in self._rows("failures", "row"):
            if (failure := self._decoded(row, decode_failure)) is not None:
                yield failure

    def known_failures(self) -> Iterator[tuple[KnownFailure, bytes | None]]:
        """Known failures by identity, with the prefix hashes of their content; the oldest first."""
        for *known, row in self._rows("known_failures", "audio, config, marks, setbacks, due, row"):
            if (failure := self._decoded(row, decode_failure)) is not None:
                for audio, config, prefix_hashes, setbacks, due in self._converted(
                    known, tuple[str, str, bytes | None, int, int]
                ):
                    identity = Identity(audio_hash=audio, config_hash=config)
                    yield KnownFailure(identity=identity, failure=failure, setbacks=setbacks, due=due), prefix_hashes

    def clips(self) -> Iterator[KeptClip]:
        """Answered clips, mostly of utterances without a transcript."""
        config = "config" if self._has_column("clips", "config") else "substr(key, instr(key, ':') + 1)"
        for n, key, row, config_hash in self._rows("clips", f"n, key, row, {config}"):
            owner = self._row("utterances", "row", n)
            known = None if owner is None else self._decoded(owner[0], decode_utterance)
            result = self._decoded(row, decode_clip)
            if known is not None and result is not None:
                owned = {"id": known.id, "audio": known.audio, "key": key, "config_hash": config_hash}
                yield from self._converted({**owned, "result": result}, KeptClip)

    def replaced(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Replaced transcripts that are in no output file, still packed, with the prefix hashes of their content."""
        for row, prefix_hashes in self._rows("replaced", "row, marks"):
            if row is not None and self._decoded(row, unpacked) is not None:
                yield row, prefix_hashes if isinstance(prefix_hashes, bytes) else None

    def utterances(self) -> Iterator[Known]:
        """All utterances, in the order in which they were first seen."""
        names = ["state", "vanished", "expected_s", "size", "version", "config_hash", "attempts"]
        if self._has_column("utterances", "due"):
            names += ["tries", "tried", "setbacks", "due", "manifest"]
        if self._has_column("utterances", "removed"):
            names.append("removed")
        columns = ", ".join(("row", *names))
        if not self._has_column("utterances", "version"):
            columns = columns.replace("size, version", f"nullif(size, -1), {VERSION_UNTIL_6}")
        for row, *rest in self._rows("utterances", columns):
            if (utterance := self._decoded(row, decode_utterance)) is not None:
                known = {"utterance": utterance, **dict(zip(names, rest, strict=True))}
                yield from self._converted(known, Known)

    def manifests(self) -> Iterator[tuple[int, str, bool]]:
        """The manifests of the utterances: (number, name, whether their ids are paths)."""
        for row in self._rows("manifests", "n, name, by_path"):
            yield from self._converted(row, tuple[int, str, bool], strict=False)

    def runs(self) -> Iterator[tuple[str, str, bytes | None]]:
        """The runs: (run_id, started_at, figures as JSON)."""
        yield from self._rows("runs", "run_id, started_at, figures")

    def fact(self, key: str) -> str | int | float | None:
        """A fact; None where it is missing or cannot be read."""
        return next((value for name, value in self._rows("facts", "key, value") if name == key), None)

    def times_of(self, id_: str) -> tuple[tuple[ClipTimes, ...], bool] | None:
        """How the times of the published transcript of an id came about, and whether that follows the verdict."""
        try:
            found = self._db.execute(
                "SELECT s.times, s.open FROM utterances u JOIN subtracted s USING (n) WHERE u.id = ?", (id_,)
            ).fetchone()
        except sqlite3.Error:  # damaged, or before schema 9
            return None
        times = None if found is None else self._decoded(found[0], decode_clip_times)
        return None if times is None else (times, bool(found[1]))

    def read_through(self) -> None:
        """Reads all rows, to count `skipped`."""
        read = (self.results, self.attempts, self.failures, self.known_failures, self.clips, self.replaced)
        for rows in (*read, self.utterances, self.manifests):
            deque(rows(), maxlen=0)
        for (times,) in self._rows("subtracted", "times"):
            self._decoded(times, decode_clip_times)

    def _decoded(self, row: Any, decode: Callable[[Any], T]) -> T | None:
        try:
            return decode(row)
        except (msgspec.DecodeError, TypeError, UnicodeDecodeError, zlib.error):  # a TypeError: not even bytes
            self.skipped += 1
            return None

    def _converted(self, row: Any, kind: type[T], *, strict: bool = True) -> Iterator[T]:
        try:
            yield msgspec.convert(row, kind, strict=strict)
        except msgspec.ValidationError:
            self.skipped += 1

    def _has_column(self, table: str, column: str) -> bool:
        try:
            return any(name == column for _, name, *_ in self._db.execute(f"PRAGMA table_info({table})").fetchall())
        except sqlite3.Error:
            return False

    def _rows(self, table: str, columns: str) -> Iterator[Any]:
        """Rows by their number, in a query each: a long one may be on pages that cannot be read."""
        for number in self._numbers(table):
            if (row := self._row(table, columns, number)) is not None:
                yield row

    def _row(self, table: str, columns: str, number: int) -> Any:
        try:
            found = self._db.execute(f"SELECT {columns} FROM {table} WHERE rowid = ?", (number,)).fetchone()  # noqa: S608 fixed texts
        except sqlite3.Error:
            found = None
        self.skipped += found is None
        return found

    def _numbers(self, table: str) -> Iterator[int]:
        """The numbers of the rows upwards, and from a page that cannot be read also downwards from the end."""
        last = LOWEST
        try:
            while (number := self._next(table, "rowid > ?", (last,), "ASC")) is not None:
                yield (last := number)
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
                return  # no such table in this version
            self.skipped += 1
            first = HIGHEST
            with suppress(sqlite3.Error):
                while (number := self._next(table, "rowid > ? AND rowid < ?", (last, first), "DESC")) is not None:
                    yield (first := number)

    def _next(self, table: str, where: str, bounds: tuple[int, ...], order: str) -> int | None:
        """One number per query: one query for all would lose the rows before the failing one."""
        query = f"SELECT rowid FROM {table} NOT INDEXED WHERE {where} ORDER BY rowid {order} LIMIT 1"  # noqa: S608 fixed texts
        found = self._db.execute(query, bounds).fetchone()
        return None if found is None else int(found[0])
