"""The tables of a checkpoint, and what brings those of an older version to them."""

from __future__ import annotations

from pipeline.checkpoint.counted import COUNT_ALL, COUNTED, UNCOUNTED

VERSION = 6
BAD_ROW = ""
"""The config_hash of a manifest row that was skipped as bad: it is in the errors and is never sent."""

# Answered clips of utterances that have several: `key` is what they answer to, `span` which samples of which track.
# `config` is the config_hash of the row that they were sent for; before version 6 it was part of the key, as it was.
CLIPS = """CREATE TABLE clips (key TEXT NOT NULL, span TEXT NOT NULL, n INTEGER NOT NULL, row BLOB NOT NULL,
    credits REAL NOT NULL, config TEXT NOT NULL, PRIMARY KEY (key, span));
CREATE INDEX clips_n ON clips (n);
"""
CLIPS_UNTIL_5 = """CREATE TABLE clips (n INTEGER, clip INTEGER, key TEXT NOT NULL, row BLOB NOT NULL,
    credits REAL NOT NULL, PRIMARY KEY (n, clip));
CREATE INDEX clips_key ON clips (key);
"""

# Transcripts that no row has any more, found by what they answer to: `row` holds one, or a part does under an id.
REPLACED = """
CREATE TABLE replaced (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    audio  TEXT NOT NULL,
    config TEXT NOT NULL,
    marks  BLOB,
    same_settings INTEGER NOT NULL,
    id     TEXT NOT NULL,
    part   INTEGER,
    row    BLOB,
    UNIQUE (audio, config)
);
CREATE INDEX replaced_part ON replaced (part, id) WHERE row IS NULL;
CREATE INDEX replaced_other ON replaced (number) WHERE row IS NOT NULL AND NOT same_settings;
"""

# Failures that were paid for, by what was sent; `setbacks` and `due` as in utterances, `marks` of the audio.
KNOWN_FAILURES = """
CREATE TABLE known_failures (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    audio    TEXT    NOT NULL,
    config   TEXT    NOT NULL,
    marks    BLOB,
    setbacks INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    row      BLOB    NOT NULL,
    UNIQUE (audio, config)
);
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

ORDER = "tries, turn, longest, n"
"""What the work is handed out by: never tried first, then fewest and oldest tries, then longest first. Spans of one
recording, whose rows stand together, also come out together, so that it is decoded once: `longest` counts in 15 s,
which make no difference to when the last slot is done."""
SELECTED_INDEX = f"CREATE INDEX selected ON utterances ({ORDER}) WHERE selected;"
SELECTED_UNTIL_5 = "CREATE INDEX selected ON utterances (-CAST(expected_s / 15 AS INTEGER), n) WHERE selected;"
TURN = "TEXT GENERATED ALWAYS AS (iif(tries = 0 AND state <> 2, '', tried)) VIRTUAL"
LONGEST = "INTEGER GENERATED ALWAYS AS (-CAST(expected_s / 15 AS INTEGER)) VIRTUAL"

TO_REFRESH = "refresh AND NOT vanished AND NOT other_path AND (gone OR state <> 1)"
"""Rows whose transcript is to be written anew, with what is said of its recording by now."""
REFRESH_INDEX = f"CREATE INDEX refresh ON utterances (part) WHERE {TO_REFRESH};"

# Many rows may share one audio, as spans of a recording do: their settings tell them apart.
DONE_INDEX = "CREATE INDEX done ON utterances (done_audio, done_config) WHERE done_audio IS NOT NULL;"

# `selected` is what this run does; the partial index leaves everything else out, so that it stays small and the
# planner has no second index to choose wrongly. An id that the manifest no longer has is `vanished` and keeps its row.
# `error` is the class of the failure of the utterance's latest try; NULL where that went well.
# `manifest` is the manifest that saw the row last. `marks` tell a beginning of the transcribed audio (audio/look.py).
# `tries` counts the runs that tried the row since it last got a transcript; `tried` is the last of them, or the run
# that transcribed it, and `sent` one that took it up, mostly by a request, and has told no outcome. `setbacks` counts
# the runs in a row in which requests were sent and the row failed in a way that may pass; a run takes such a row by
# itself from the run number `due` on. `other_path`: its transcript is one of a recording under another path, and nobody
# has looked yet at what lies under the one that the row has now.
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
    marks         BLOB,
    tries         INTEGER NOT NULL DEFAULT 0,
    tried         TEXT    NOT NULL DEFAULT '',
    sent          TEXT    NOT NULL DEFAULT '',
    setbacks      INTEGER NOT NULL DEFAULT 0,
    due           INTEGER NOT NULL DEFAULT 0,
    other_path    INTEGER NOT NULL DEFAULT 0,
    turn          {TURN},
    longest       {LONGEST}
);
{MANIFESTS}{SELECTED_INDEX}
{DONE_INDEX}
{REFRESH_INDEX}
CREATE TABLE results  (n INTEGER PRIMARY KEY, row BLOB NOT NULL, was TEXT);
CREATE TABLE failures (n INTEGER PRIMARY KEY, row BLOB NOT NULL, error TEXT NOT NULL, first_seen REAL NOT NULL);
{CLIPS}CREATE TABLE attempts (n INTEGER PRIMARY KEY AUTOINCREMENT, row BLOB NOT NULL);
{REPLACED}{KNOWN_FAILURES}{OPEN_ATTEMPTS}
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
{CLIPS_UNTIL_5}
UPDATE utterances SET state = 3 WHERE state = 4 AND attempts = 0 AND config_hash <> '{BAD_ROW}';
DROP INDEX selected;
{SELECTED_UNTIL_5}
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
    # what the last run left of its selection is selected again by the next one
    5: f"""
DROP INDEX selected;
DROP INDEX done;
{DONE_INDEX}
UPDATE utterances SET selected = 0 WHERE selected;
ALTER TABLE utterances ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE utterances ADD COLUMN tried TEXT NOT NULL DEFAULT '';
ALTER TABLE utterances ADD COLUMN sent TEXT NOT NULL DEFAULT '';
ALTER TABLE utterances ADD COLUMN setbacks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE utterances ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE utterances ADD COLUMN other_path INTEGER NOT NULL DEFAULT 0;
DROP INDEX refresh;
{REFRESH_INDEX}
ALTER TABLE utterances ADD COLUMN turn {TURN};
ALTER TABLE utterances ADD COLUMN longest {LONGEST};
{SELECTED_INDEX}
UPDATE utterances SET tries = 1 WHERE attempts OR state IN (3, 4);
{REPLACED}{KNOWN_FAILURES}
ALTER TABLE clips RENAME TO clips_5;
DROP INDEX clips_key;
{CLIPS}
INSERT OR IGNORE INTO clips
    SELECT key, clip_span(row), n, row, credits, substr(key, instr(key, ':') + 1) FROM clips_5;
DROP TABLE clips_5;
""",  # noqa: S608 fixed texts
}

# What of the manifests is not plainly as it was, their names and others that they went by (`source` counts the
# manifests), the numbers of known rows that no such row was found for, and the ids that the user asks for. They live in
# a database of their own, which SQLite takes away when it is let go: a read-only checkpoint can be planned against, and
# nothing is spent on emptying tables.
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
    written     TEXT,
    by_path     INTEGER NOT NULL,
    failure     BLOB,
    error       TEXT,
    first_seen  REAL,
    source      INTEGER NOT NULL
);
CREATE TABLE manifest.rest (n INTEGER PRIMARY KEY);
CREATE TABLE manifest.named (id TEXT NOT NULL UNIQUE);
CREATE TABLE manifest.name (name TEXT NOT NULL, source INTEGER NOT NULL, is_its_own INTEGER NOT NULL);
"""
DROP_SCAN = "DETACH manifest"
