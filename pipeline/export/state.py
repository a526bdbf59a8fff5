"""What an export has written: an SQLite file in OUT/exports for each export, so that the next one writes only what
changed. It holds no words of any row: hashes of ids (the ids themselves where lines are sorted by them), of rows a
digest and the hash of their audio, and the paths of recordings whose files it writes.

One process at a time has it open: it is locked until it is closed.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from pipeline.built import built
from pipeline.errors import OutputError, OutputHeld
from pipeline.export.writing import stamp_of

FOLDER = "exports"
"""The folder for these files, and by default for what is exported, in an output."""
SUFFIX, SPOOL = ".sqlite", ".spool"
"""Of the files, and of the folders for decoded audio beside them."""
ROOT = Path("/")
UNREAD = ""
"""The version of a file that is to be read again: it is known, so that its rows go if it is gone then."""
VERSION = 1
BUSY_S = 0.5
DIGEST_BYTES = 8
_TABLES = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- the files of the output that were read, and their versions
CREATE TABLE sources (file INTEGER PRIMARY KEY, version TEXT NOT NULL);
-- the files that were written: size is NULL while one is written, or after that broke off
CREATE TABLE files (name TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, owner INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX files_of ON files (owner);
"""


@built
class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What an export is: where a format is written with which options."""

    format: str
    folder: str
    """A path, relative to the output where they have a folder in common, because that may be moved with both; empty
    where each file lies beside its recording."""
    options: dict[str, Any]
    """Whatever changes what is written: plain values."""
    version: str
    """Of gradium-batch: another one may write the same rows in another way."""


def state_path(out: Path, made: Made) -> Path:
    """Where the state of an export is: one for each format and folder."""
    of = hashlib.blake2b(made.folder.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    return out / FOLDER / f"{made.format}-{of if made.folder else 'beside'}{SUFFIX}"


def state_paths(out: Path) -> list[Path]:
    """The states of all exports of an output."""
    try:
        return sorted((out / FOLDER).glob(f"*{SUFFIX}"))
    except OSError as error:
        raise OutputError(f"{out / FOLDER} cannot be read: {error.strerror}") from error


class ExportState:
    """An open state. Methods raise OutputError."""

    def __init__(self, path: Path) -> None:
        """Opens or creates it. Raises OutputHeld where another export has it open."""
        self.path = path
        try:
            path.parent.mkdir(exist_ok=True)
            self.db = sqlite3.connect(path, BUSY_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from error
        try:
            with self.failing():
                self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
                self.db.execute("PRAGMA secure_delete = ON")
                self.db.execute("PRAGMA synchronous = FULL")
                self.db.execute("BEGIN IMMEDIATE")
                self._create()
                self.db.execute("COMMIT")
        except BaseException:
            self.db.close()
            raise

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Errors of the database become a sentence."""
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "SQLITE_ERROR") == "SQLITE_ERROR":  # our SQL is wrong
                raise
            raise self._failed(error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written in the block is written as a whole, durably."""
        with self.failing():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    @contextmanager
    def temporary(self, **tables: str) -> Iterator[None]:
        """With temporary tables, by their names with their columns."""
        for name, columns in tables.items():
            self.db.execute(f"CREATE TEMP TABLE {name} ({columns})")
        yield
        # not where the block fails, and a cursor may still read them: they end with the connection anyway
        for name in tables:
            self.db.execute(f"DROP TABLE temp.{name}")

    def _create(self) -> None:
        [version] = self.db.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            if version > VERSION:
                raise OutputError(f"{self.path} was written by a newer gradium-batch; update gradium-batch")
            for statement in _TABLES.split(";"):
                self.db.execute(statement)
            self.db.execute(f"PRAGMA user_version = {VERSION}")

    def _failed(self, error: Exception) -> OutputError | OutputHeld:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return OutputHeld(f"another export or forget is at work on {self.path}; run this again when it is done")
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            return OutputError(
                f"{self.path}, which knows what this export has written, is damaged ({error}); remove it and run the "
                "same command with --overwrite"
            )
        reason = error.strerror if isinstance(error, OSError) else error
        return OutputError(f"{self.path}, which notes what an export has written, cannot be written: {reason}")

    # -- what the export is -------------------------------------------------------------------------------------------

    def fact(self, key: str) -> str | None:
        with self.failing():
            found = self.db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def set_facts(self, **facts: str) -> None:
        """Within a transaction of the caller, or as one."""
        with self.failing():
            self.db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def begin_anew(self) -> None:
        """Forgets what was read, and what rows wrote; the files stay known. Within a transaction of the caller."""
        self.set_sources({})
        self.db.execute("DROP TABLE IF EXISTS rows")

    def made(self) -> Made | None:
        """What it is; None before the first export."""
        found = self.fact("made")
        return None if found is None else msgspec.json.decode(found, type=Made)

    def folder(self, made: Made) -> Path:
        """Where it writes; the root where each file lies beside its recording."""
        if not made.folder:
            return ROOT
        return Path(os.path.normpath(self.path.parent.parent.resolve() / made.folder))

    def written_of(self, ids: Iterable[str], is_audio: Callable[[str], bool]) -> list[int]:
        """The hashes of ids, of these and of all rows that were written with such audio, or of which that is not
        known, because an export was killed."""
        self.db.create_function("is_audio", 1, lambda digest: is_audio(digest[DIGEST_BYTES:].decode()))
        with self.failing():
            found = self.db.execute(
                "SELECT id FROM rows WHERE CASE WHEN digest IS NULL THEN 1 ELSE is_audio(digest) END"
            )
            return [*{*map(hash_of, ids), *(id_ for (id_,) in found)}]

    # -- what was read ------------------------------------------------------------------------------------------------

    def changed_sources(self, versions: Mapping[int, str]) -> tuple[list[int], list[int]]:
        """Of the files of an output those that changed since they were read, and those that are gone."""
        with self.failing():
            known = dict(self.db.execute("SELECT file, version FROM sources").fetchall())
        changed = [file for file, version in versions.items() if known.get(file) != version]
        return sorted(changed), sorted(set(known) - set(versions))

    def read_again(self) -> None:
        """Has all files be read again that are there then, within a transaction of the caller."""
        self.db.execute("UPDATE sources SET version = ?", (UNREAD,))

    def set_sources(self, versions: Mapping[int, str]) -> None:
        """Records what was read, within a transaction of the caller."""
        self.db.execute("DELETE FROM sources")
        self.db.executemany("INSERT INTO sources VALUES (?, ?)", versions.items())

    # -- what was written ---------------------------------------------------------------------------------------------

    def claim(self, names: Iterable[str], owner: int = 0) -> None:
        """Records that these files are about to be written: what they hold from now on may be overwritten."""
        with self.transaction():
            self.db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, NULL, NULL, ?)", ((name, owner) for name in names)
            )

    def written(self, folder: Path, name: str, owner: int = 0) -> None:
        """Records a file as written, within a transaction of the caller."""
        values = (name, *stamp_of(folder, name), owner)
        self.db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", values)

    def files(self) -> Iterator[tuple[str, int | None, int | None, int]]:
        """(name, size, mtime_ns, owner) of all files."""
        with self.failing():
            yield from self.db.execute("SELECT name, size, mtime_ns, owner FROM files ORDER BY name")


def hash_of(id_: str) -> int:
    """The hash of an id, by which states know it: 64 bits with a sign."""
    digest = hashlib.blake2b(id_.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def digest_of(content: bytes, audio_hash: str) -> bytes:
    """The digest of what a row writes, and behind it the hash of its audio."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest() + audio_hash.encode()
