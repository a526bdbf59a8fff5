"""Migrations of a checkpoint from each older version to the next.

Tables that have not changed since a migration are created from `schema`; older definitions are written out here.
"""

from __future__ import annotations

import sqlite3

from pipeline.checkpoint import schema, tally
from pipeline.checkpoint.codec import decode_clip, decode_failure
from pipeline.checkpoint.verdict import EARLIER

CLIPS_UNTIL_5 = """CREATE TABLE clips (n INTEGER, clip INTEGER, key TEXT NOT NULL, row BLOB NOT NULL,
    credits REAL NOT NULL, PRIMARY KEY (n, clip));
CREATE INDEX clips_key ON clips (key);
"""
VERSION_UNTIL_6 = f"iif(size = -1, '{schema.UNREADABLE}', size || ':' || mtime_ns)"
"""A recording's version from the two columns that held it before, in the format of source/local.py."""
REPLACED_UNTIL_8 = """
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
LONGEST_UNTIL_11 = "INTEGER GENERATED ALWAYS AS (-CAST(expected_s / 15 AS INTEGER)) VIRTUAL"
SELECTED_UNTIL_11 = "CREATE INDEX selected ON utterances (tries, turn, longest, n) WHERE selected;"
SELECTED_UNTIL_5 = "CREATE INDEX selected ON utterances (-CAST(expected_s / 15 AS INTEGER), n) WHERE selected;"

MIGRATIONS = {
    1: """
ALTER TABLE utterances ADD COLUMN refresh INTEGER NOT NULL DEFAULT 0;
CREATE INDEX done     ON utterances (done_audio) WHERE done_audio IS NOT NULL;
CREATE INDEX refresh  ON utterances (part) WHERE refresh;
""",
    # rows that an older version could not send are tried again; if they still cannot be sent, that costs nothing
    2: f"""
{CLIPS_UNTIL_5}
UPDATE utterances SET state = 3 WHERE state = 4 AND attempts = 0 AND config_hash <> '{schema.BAD_ROW}';
DROP INDEX selected;
{SELECTED_UNTIL_5}
ALTER TABLE utterances ADD COLUMN error TEXT;
ALTER TABLE failures ADD COLUMN error TEXT NOT NULL DEFAULT '';
ALTER TABLE failures ADD COLUMN first_seen REAL NOT NULL DEFAULT 0;
UPDATE failures SET error = failure_error(row), first_seen = failure_first_seen(row);
UPDATE utterances SET error = (SELECT error FROM failures f WHERE f.n = utterances.n)
    WHERE n IN (SELECT n FROM failures);
""",  # noqa: S608 fixed texts
    3: schema.OPEN_ATTEMPTS,
    # counts are made again, because they have more groups; unpublished results stay
    4: f"""
DROP TRIGGER IF EXISTS counted_insert; DROP TRIGGER IF EXISTS counted_delete; DROP TRIGGER IF EXISTS counted_update;
DROP TABLE IF EXISTS tally;
{schema.MANIFESTS}
ALTER TABLE utterances ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE utterances ADD COLUMN manifest INTEGER;
ALTER TABLE utterances ADD COLUMN marks BLOB;
ALTER TABLE results RENAME TO results_4;
CREATE TABLE results (n INTEGER PRIMARY KEY, row BLOB NOT NULL, was TEXT);
INSERT INTO results SELECT n, row, NULL FROM results_4 WHERE row IS NOT NULL;
DROP TABLE results_4;
{tally.COUNTED}
INSERT OR REPLACE INTO tally SELECT state, vanished, suspect, gone, count(*), sum({tally.micros("utterances")}),
    sum(ref_words), sum(ref_errors) FROM utterances GROUP BY 1, 2, 3, 4;
CREATE INDEX IF NOT EXISTS oldest ON failures (error, first_seen);
""",  # noqa: S608 fixed texts
    # rows left selected by the last run are selected again by the next one
    5: f"""
DROP INDEX selected;
DROP INDEX done;
{schema.DONE_INDEX}
UPDATE utterances SET selected = 0 WHERE selected;
ALTER TABLE utterances ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE utterances ADD COLUMN tried TEXT NOT NULL DEFAULT '';
ALTER TABLE utterances ADD COLUMN sent TEXT NOT NULL DEFAULT '';
ALTER TABLE utterances ADD COLUMN setbacks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE utterances ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE utterances ADD COLUMN other_path INTEGER NOT NULL DEFAULT 0;
DROP INDEX refresh;
{schema.REFRESH_INDEX}
ALTER TABLE utterances ADD COLUMN turn {schema.TURN};
ALTER TABLE utterances ADD COLUMN longest {LONGEST_UNTIL_11};
{SELECTED_UNTIL_11}
UPDATE utterances SET tries = 1 WHERE attempts OR state IN (3, 4);
{REPLACED_UNTIL_8}{schema.KNOWN_FAILURES}
ALTER TABLE clips RENAME TO clips_5;
DROP INDEX clips_key;
{schema.CLIPS}
INSERT OR IGNORE INTO clips
    SELECT key, clip_span(row), n, row, credits, substr(key, instr(key, ':') + 1) FROM clips_5;
DROP TABLE clips_5;
""",  # noqa: S608 fixed texts
    # unused columns stay, because not every SQLite in use can drop them; failures are counted when they are read
    6: f"""
DROP TRIGGER IF EXISTS failing_named; DROP TRIGGER IF EXISTS failing_more; DROP TRIGGER IF EXISTS failing_less;
DROP TRIGGER IF EXISTS failing_gone;
DROP TABLE IF EXISTS failing;
ALTER TABLE utterances ADD COLUMN version TEXT;
UPDATE utterances SET version = {VERSION_UNTIL_6}, size = nullif(size, -1),
    mtime_ns = NULL, error = NULL WHERE size IS NOT NULL OR error IS NOT NULL;
""",  # noqa: S608 fixed texts
    # transcripts have other fields since then, which versions before that cannot read; `convert_results` adds them
    7: "",
    # versions before that took the delay off all times: what they transcribed decides for the output
    8: f"""
{schema.SUBTRACTED}
ALTER TABLE replaced ADD COLUMN times BLOB;
INSERT OR IGNORE INTO facts SELECT '{schema.VERDICT}', '{EARLIER.written()}'
    WHERE EXISTS (SELECT 1 FROM utterances WHERE done_audio IS NOT NULL) OR EXISTS (SELECT 1 FROM clips);
""",  # noqa: S608 fixed texts
    9: schema.BILLS,
    # since when the rows of earlier versions are removed is not known: they count from now on
    10: f"""
ALTER TABLE utterances ADD COLUMN removed INTEGER;
UPDATE utterances SET removed = {schema.NOW} WHERE vanished = {schema.Seen.REMOVED:d};
{schema.REMOVING}
""",  # noqa: S608 fixed texts
    11: f"""
ALTER TABLE utterances ADD COLUMN remote_span INTEGER NOT NULL DEFAULT 0;
ALTER TABLE utterances ADD COLUMN step {schema.STEP};
DROP INDEX selected;
{schema.SELECTED_INDEX}
""",
}


def migrate(connection: sqlite3.Connection, version: int) -> None:
    connection.create_function("failure_error", 1, lambda row: decode_failure(row).error, deterministic=True)
    connection.create_function("failure_first_seen", 1, lambda row: decode_failure(row).first_seen.timestamp())
    connection.create_function("clip_span", 1, lambda row: decode_clip(row).key, deterministic=True)
    for older in range(version, schema.VERSION):
        connection.executescript(f"BEGIN IMMEDIATE;{MIGRATIONS[older]}PRAGMA user_version = {older + 1};COMMIT;")
