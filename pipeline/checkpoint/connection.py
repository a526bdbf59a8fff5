"""Opens a checkpoint, for its one writer or for any reader."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar

from pipeline.checkpoint.migrations import migrate
from pipeline.checkpoint.schema import TABLES, VERSION
from pipeline.checkpoint.sqlite_errors import translated, unusable
from pipeline.errors import CheckpointError

P = ParamSpec("P")
T = TypeVar("T")
BUSY_S = 1.0
"""How long SQLite itself waits for another program's lock; then `patience` decides."""


class Database:
    """An open checkpoint, for one thread at a time. Methods raise CheckpointError."""

    def __init__(self, path: Path, *, only_read: bool = False) -> None:
        """Opens it for the run that owns the folder, or with `only_read` beside one."""
        self.path = path
        self._db = connect_to_read(path) if only_read else connect(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()


D = TypeVar("D", bound=Database)
Method = Callable[Concatenate[D, P], T]


def reads(method: Method[D, P, T]) -> Method[D, P, T]:
    """Decorates a method that only reads the checkpoint, or writes temporary tables. Not for generators."""

    @wraps(method)
    def reading(database: D, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with translated(database.path):
            return method(database, *args, **kwargs)

    return reading


def writes(method: Method[D, P, T]) -> Method[D, P, T]:
    """Decorates a method that is one durable transaction: when it returns, what it wrote survives a power cut."""

    @wraps(method)
    def writing(database: D, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with translated(database.path), transaction(database._db):
            return method(database, *args, **kwargs)

    return writing


def connect(path: Path) -> sqlite3.Connection:
    """Opens the checkpoint at `path` to write; creates or migrates it where needed. Raises CheckpointError."""
    try:
        _make(path)
        connection = sqlite3.connect(path, BUSY_S, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        version = _checked_version(connection, path)
        if not version:
            connection.executescript(f"BEGIN IMMEDIATE;{TABLES}PRAGMA user_version = {VERSION};COMMIT;")
        migrate(connection, version or VERSION)
    except BaseException as error:
        connection.close()  # the caller may try again
        if isinstance(error, sqlite3.Error):
            raise unusable(path, error) from error
        raise
    return connection


def named(found: sqlite3.Cursor) -> dict[str, Any]:
    """The one row of a query as a dict of its columns."""
    return dict(zip((name for name, *_ in found.description), found.fetchone(), strict=True))


def _make(path: Path) -> None:
    """Creates an empty file with the rights of the umask, for a group too: SQLite's own would be the owner's only, and
    its other files get the rights of this one."""
    # never an existing file: closing it would end the locks that this process may have on it
    with suppress(OSError):  # SQLite reports the same fault
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Opens the checkpoint at `path` to read, or an empty one where there is none. Raises CheckpointError."""
    try:
        if not holds_something(path):
            return _empty()
        connection = _opened_to_read(path)
        version = _checked_version(connection, path)
        if not version:  # a run was killed, or is just starting, before it created the tables
            connection.close()
            return _empty()
        if version < VERSION:  # a copy is migrated: a reader changes nothing
            migrated = sqlite3.connect("", isolation_level=None, check_same_thread=False)  # may be larger than memory
            connection.backup(migrated)
            connection.close()
            connection = migrated
            migrate(connection, version)
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    return connection


def holds_something(path: Path) -> bool:
    """Whether a file at `path` exists and is not empty. Raises CheckpointError where that cannot be found out."""
    try:
        return path.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise CheckpointError(
            f"the checkpoint {path} cannot be read: {error.strerror}; correct its permissions first"
        ) from error


def _opened_to_read(path: Path) -> sqlite3.Connection:
    """A connection that sees all that was committed, also what is in the log, with whatever rights this user has."""
    log = beside(path, "-wal")
    for file in (path, log):
        # more than once, because the log comes and goes with writers
        if not any(os.access(file, os.R_OK) or not file.exists() for _ in range(3)):
            raise CheckpointError(f"{file} may not be read by this user; ask its owner for the right to read it")
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        # a writing connection removes its -wal and -shm files when it closes, a reading one would leave them
        how = "mode=rw"
    elif not holds_something(log):
        how = "mode=ro&immutable=1"  # everything is in the one file
    elif os.access(beside(path, "-shm"), os.R_OK):
        how = "mode=ro"
    else:  # no process has it open, and the index of the log, which SQLite keeps in -shm, can only be made in memory
        how = "mode=ro&vfs=unix-none"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
    if "unix-none" in how:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return connection


def beside(path: Path, suffix: str) -> Path:
    """A file that SQLite keeps beside a database."""
    return path.with_name(path.name + suffix)


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.executescript(TABLES)
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Iterator[None]:
    """A transaction. SQLite itself rolls back on a full disk; a second ROLLBACK would hide that error."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _checked_version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise CheckpointError(
            f"{path} was written by a newer gradium-batch (schema {version}, this one knows {VERSION}); "
            "update gradium-batch"
        )
    return version
