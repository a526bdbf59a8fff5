"""The checkpoint's tables and an utterance's states; docs/checkpoint.md draws the same picture.

    NEW ──────────────┬──> DONE             a transcript that answers to the row as it is now
    CHANGED ──────────┤
    FAILED_PASSING ───┼──> FAILED_PASSING   worth another try on the next run
    FAILED_ITEM ──────┘    FAILED_ITEM      its own fault: left alone until it changes or is asked for
    DONE ──(file, settings or span differ)──> CHANGED

A transcript stays in whatever state its utterance is: `done_audio` and `done_config` say what it answers to, until a
new transcript takes its place. `gone` marks an utterance with a transcript whose recording is not there: it counts as
done, and its other columns stay as they were, so that a recording that comes back is the one it was.

`refresh` marks a transcript that stands while its row's reference or metadata have changed: it is written anew.
A finished row waits in `results` until a part that holds it is published; then `utterances.part` names the part.
`results.was` is the id under which the part holds the row, where the row has moved to another id since.
A long recording is sent as several clips: each answer waits in `clips` until all are there and the transcript is made.
A request is noted in `open_attempts` while it is in flight; its end makes a row of `attempts` of it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Literal

import msgspec

from pipeline.checkpoint.counted import COUNT_ALL, COUNTED, UNCOUNTED
from pipeline.errors import CheckpointError, DamagedCheckpoint
from pipeline.model import Failure

VERSION = 5
BAD_ROW = ""
"""The config_hash of a manifest row that was skipped as bad: it is in the errors and is never sent."""
ERRORS_STALE = "errors_stale"
"""The fact that is 1 while errors.* may differ from what the checkpoint says; a crash leaves it so."""


class State(IntEnum):
    NEW = 0
    CHANGED = 1
    DONE = 2
    FAILED_PASSING = 3
    FAILED_ITEM = 4


class Seen(IntEnum):
    """Where the manifest of the last run stands to a row: the column `vanished`."""

    THERE = 0
    VANISHED = 1
    """Its own manifest no longer has it."""
    ELSEWHERE = 2
    """It is a row of another manifest that shares the output."""


# Answered clips of utterances that have several and no transcript yet; `key` is what an answer answers to.
CLIPS = """CREATE TABLE clips (n INTEGER, clip INTEGER, key TEXT NOT NULL, row BLOB NOT NULL, credits REAL NOT NULL,
    PRIMARY KEY (n, clip));
CREATE INDEX clips_key ON clips (key);
"""

# Requests in flight: each row is the attempt that the request becomes where its end is never seen.
OPEN_ATTEMPTS = """
CREATE TABLE open_attempts (
    id      TEXT    NOT NULL,
    clip    INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    credits REAL    NOT NULL,
    row     BLOB    NOT NULL,
    PRIMARY KEY (id, clip, attempt)
);
"""

# Each manifest that rows came from: twice where some of its ids are given and others are paths.
MANIFESTS = """CREATE TABLE manifests (n INTEGER PRIMARY KEY, name TEXT NOT NULL, by_path INTEGER NOT NULL,
    UNIQUE (name, by_path));
CREATE INDEX elsewhere ON utterances (n) WHERE vanished = 2;
"""

ORDER_OF = "-CAST(?1 / 15 AS INTEGER)"
ORDER = ORDER_OF.replace("?1", "expected_s")
"""What the work is handed out by, then by n: longest first, but spans of one recording, whose rows stand together, also
come out together, so that it is decoded once. 15 s more or less make no difference to when the last slot is done."""
SELECTED_INDEX = f"CREATE INDEX selected ON utterances ({ORDER}, n) WHERE selected;"

# `selected` is what this run does; the partial index leaves everything else out, so that it stays small and the
# planner has no second index to choose wrongly. An id that the manifest no longer has is `vanished` and keeps its row.
# `error` is the class of the failure of the utterance's latest try; NULL where that went well.
# `manifest` is the manifest that saw the row last. `marks` tell a beginning of the transcribed audio (audio/look.py).
TABLES = f"""
CREATE TABLE utterances (
    n             INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    row           BLOB    NOT NULL,
    vanished      INTEGER NOT NULL DEFAULT 0,
    state         INTEGER NOT NULL,
    selected      INTEGER NOT NULL DEFAULT 0,
    expected_s    REAL    NOT NULL,
    size          INTEGER,
    mtime_ns      INTEGER,
    config_hash   TEXT    NOT NULL,
    done_audio    TEXT,
    done_config   TEXT,
    duration_s    REAL,
    suspect       INTEGER NOT NULL DEFAULT 0,
    attempts      INTEGER NOT NULL DEFAULT 0,
    ref_words     INTEGER NOT NULL DEFAULT 0,
    ref_errors    INTEGER NOT NULL DEFAULT 0,
    part          INTEGER,
    refresh       INTEGER NOT NULL DEFAULT 0,
    error         TEXT,
    gone          INTEGER NOT NULL DEFAULT 0,
    manifest      INTEGER,
    marks         BLOB
);
{MANIFESTS}{SELECTED_INDEX}
CREATE INDEX done     ON utterances (done_audio) WHERE done_audio IS NOT NULL;
CREATE INDEX refresh  ON utterances (part) WHERE refresh;
CREATE TABLE results  (n INTEGER PRIMARY KEY, row BLOB NOT NULL, was TEXT);
CREATE TABLE failures (n INTEGER PRIMARY KEY, row BLOB NOT NULL, error TEXT NOT NULL, first_seen REAL NOT NULL);
{CLIPS}CREATE TABLE attempts (n INTEGER PRIMARY KEY AUTOINCREMENT, row BLOB NOT NULL);
{OPEN_ATTEMPTS}
CREATE TABLE parts    (kind TEXT NOT NULL, part INTEGER NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY (kind, part));
CREATE TABLE runs     (run_id TEXT PRIMARY KEY, started_at TEXT NOT NULL, figures BLOB);
CREATE TABLE facts    (key TEXT PRIMARY KEY, value NOT NULL);
{COUNTED}
"""

# What brings a checkpoint of each older version to the next one.
MIGRATIONS = {
    1: """
ALTER TABLE utterances ADD COLUMN refresh INTEGER NOT NULL DEFAULT 0;
CREATE INDEX done     ON utterances (done_audio) WHERE done_audio IS NOT NULL;
CREATE INDEX refresh  ON utterances (part) WHERE refresh;
""",
    # what an older version could not send may be sendable by now, and costs nothing where it is not
    2: f"""
{CLIPS}
UPDATE utterances SET state = 3 WHERE state = 4 AND attempts = 0 AND config_hash <> '{BAD_ROW}';
DROP INDEX selected;
{SELECTED_INDEX}
ALTER TABLE utterances ADD COLUMN error TEXT;
ALTER TABLE failures ADD COLUMN error TEXT NOT NULL DEFAULT '';
ALTER TABLE failures ADD COLUMN first_seen REAL NOT NULL DEFAULT 0;
UPDATE failures SET error = failure_error(row), first_seen = failure_first_seen(row);
UPDATE utterances SET error = (SELECT error FROM failures f WHERE f.n = utterances.n)
    WHERE n IN (SELECT n FROM failures);
""",  # noqa: S608 fixed texts
    3: OPEN_ATTEMPTS,
    # counts are made anew, because they have more groups; what waits to be taken back stays
    4: f"""
{UNCOUNTED}
{MANIFESTS}
ALTER TABLE utterances ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE utterances ADD COLUMN manifest INTEGER;
ALTER TABLE utterances ADD COLUMN marks BLOB;
ALTER TABLE results RENAME TO results_4;
CREATE TABLE results (n INTEGER PRIMARY KEY, row BLOB NOT NULL, was TEXT);
INSERT INTO results SELECT n, row, NULL FROM results_4 WHERE row IS NOT NULL;
DROP TABLE results_4;
UPDATE utterances SET error = NULL WHERE error IS NOT NULL AND n NOT IN (SELECT n FROM failures);
{COUNTED}
{COUNT_ALL}
""",  # noqa: S608 fixed texts
}

# What of the manifest is not plainly as it was, and the numbers of known rows that no such row was found for. They live
# in a database of their own, which SQLite takes away when it is let go: a read-only checkpoint can be planned against,
# and nothing is spent on emptying tables.
SCAN_TABLES = """
ATTACH '' AS manifest;
CREATE TABLE manifest.scan (
    id          TEXT    NOT NULL,
    row         BLOB    NOT NULL,
    line        INTEGER,
    expected_s  REAL    NOT NULL,
    size        INTEGER,
    mtime_ns    INTEGER,
    config_hash TEXT    NOT NULL,
    by_path     INTEGER NOT NULL,
    failure     BLOB,
    error       TEXT,
    first_seen  REAL
);
CREATE TABLE manifest.rest (n INTEGER PRIMARY KEY);
CREATE TABLE manifest.name (name TEXT NOT NULL);
"""
DROP_SCAN = "DETACH manifest"


def connect(path: Path) -> sqlite3.Connection:
    """The checkpoint at `path`, made where there is none, migrated where it is older. Raises CheckpointError."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        version = _checked_version(connection, path)
        if not version:
            connection.executescript(f"BEGIN;{TABLES}PRAGMA user_version = {VERSION};COMMIT;")
        _migrate(connection, version or VERSION)
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """The checkpoint at `path` for reading, or an empty one where there is none. Raises CheckpointError."""
    try:
        if not path.exists():
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            connection.executescript(TABLES)
            return connection
        # a writing connection removes its -wal and -shm files when it goes, a reading one would leave them behind
        mode = "rw" if os.access(path.parent, os.W_OK) else "ro&immutable=1"
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
        version = _checked_version(connection, path)
        if 0 < version < VERSION:  # a copy is migrated: who only reads changes nothing
            migrated = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            connection.backup(migrated)
            connection.close()
            connection = migrated
            _migrate(connection, version)
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    return connection


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    decode = msgspec.msgpack.Decoder(Failure).decode
    connection.create_function("failure_error", 1, lambda row: decode(row).error, deterministic=True)
    connection.create_function("failure_first_seen", 1, lambda row: decode(row).first_seen.timestamp())
    for older in range(version, VERSION):
        connection.executescript(f"BEGIN;{MIGRATIONS[older]}PRAGMA user_version = {older + 1};COMMIT;")


@contextmanager
def transaction(connection: sqlite3.Connection, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Iterator[None]:
    """All or nothing. A full disk ends a transaction by itself, and must not be hidden by our wish to roll it back."""
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


def unusable(path: Path, error: Exception) -> CheckpointError:
    """What to say of a checkpoint that SQLite cannot work with: a full disk is mended otherwise than a damaged file."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedCheckpoint(
            f"the checkpoint {path} is damaged ({error}); the transcripts beside it are untouched: "
            f"run gradium-batch rebuild {path.parent}, which makes a new one from them"
        )
    return CheckpointError(
        f"the checkpoint {path} cannot be written or read ({error}); what was committed is kept, "
        "so make room or mend the disk and run the same command again"
    )
