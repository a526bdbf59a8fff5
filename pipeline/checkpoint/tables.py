"""The tables of a checkpoint, and what brings those of an older version to them."""

from __future__ import annotations

from pipeline.checkpoint.counted import COUNT_ALL, COUNTED, UNCOUNTED

VERSION = 5
BAD_ROW = ""
"""The config_hash of a manifest row that was skipped as bad: it is in the errors and is never sent."""

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
