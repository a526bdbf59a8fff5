"""Turns errors of SQLite, and of rows that cannot be decoded, into CheckpointErrors that say what to do."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pipeline.errors import CheckpointError, DamagedCheckpoint

_WITHOUT_LOCKS = frozenset(
    {
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_IOERR_LOCK,
        sqlite3.SQLITE_IOERR_UNLOCK,
        sqlite3.SQLITE_IOERR_RDLOCK,
        sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
        sqlite3.SQLITE_IOERR_SHMLOCK,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_SHMOPEN,
    }
)
"""The errors of SQLite on a file system without locks or shared memory."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raises CheckpointError where the checkpoint at `path` cannot be used, or a row of it cannot be decoded."""
    try:
        yield
    except (sqlite3.Error, zlib.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unusable(path, error) from error
    except TypeError as error:
        if not str(error).startswith("a bytes-like object is required"):  # by a decoder
            raise
        raise unusable(path, error) from error


def unusable(path: Path, error: Exception) -> CheckpointError:
    """The CheckpointError for an error of SQLite, with what to do about it."""
    whole_code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    code = whole_code & 0xFF
    if whole_code in _WITHOUT_LOCKS:
        return CheckpointError(
            f"the file system of the checkpoint {path} gives SQLite no locks or no shared memory ({error}), as those "
            "of the network often do not; choose an --out on a local disk"
        )
    if code == sqlite3.SQLITE_READONLY and whole_code != sqlite3.SQLITE_READONLY_DBMOVED:
        return CheckpointError(
            f"you may not write the checkpoint {path}, or what SQLite keeps beside it ({error}): correct their "
            "permissions, or have their owner do it (chmod g+w)"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedCheckpoint(
            f"the checkpoint {path} is damaged ({error}); the transcripts beside it are untouched: "
            f"run gradium-batch rebuild {path.parent}, which makes a new one from them"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return CheckpointError(
            f"the checkpoint {path} is locked by another program ({error}); what was committed is kept, so end the "
            "program that holds it and run the same command again"
        )
    return CheckpointError(
        f"the checkpoint {path} cannot be written or read ({error}); what was committed is kept, "
        "so make room or repair the disk and run the same command again"
    )
