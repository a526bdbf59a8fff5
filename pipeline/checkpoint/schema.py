"""An utterance's states, and the tables of a checkpoint; docs/checkpoint.md draws the same picture.

    NEW ──────────────┬──> DONE             a transcript that answers to the row as it is now
    CHANGED ──────────┤
    FAILED_PASSING ───┼──> FAILED_PASSING   worth another try on the next run, or some runs later
    FAILED_ITEM ──────┘    FAILED_ITEM      its own fault: left alone until it changes or is asked for
    DONE ──(recording, settings or span differ)──> CHANGED

**Transcript.** It stays in whatever state its utterance is: `done_audio` and `done_config` say what it answers to,
until a new one takes its place; `marks` tell a beginning of that audio (audio/probe.py), and `other_path` that it is of
a recording under another path than the row has now, which nobody has looked at yet. A new one waits in `results` until
a part that holds it is published; then `part` names that (0: the JSONL). Where the row has moved to another id since,
`results.was` is the id under which the part holds it. `refresh`: reference or metadata of the row have changed, and its
transcript is to be written anew with them.

**Removed and missing.** A row is removed (`vanished` = 1) when its own manifest no longer has it. A recording is
missing where the row is there and its file is not; with a transcript (`gone`) the utterance counts as done, and its
other columns stay as they were, so that a recording that comes back is the one it was.

**Recording.** `version` is whatever text its place describes the content by (size and time, an ETag): NULL where there
is none, `UNREADABLE` where nobody can say. `size` is its bytes, for comparison with others.

**Tries.** `selected` rows are what this run is to do, until each has its outcome. `attempts` counts requests, `tries`
runs that tried the row, since it last got a transcript; `tried` is the last of them, or the run that transcribed it.
`sent` is a run that took the row up, mostly by a request, and has told no outcome so far: the next plan counts it as a
try. `setbacks` counts runs in a row in which requests were sent in vain; the row is tried again by the run number `due`
(see `failing`).

**Clips.** A long recording is sent as several: each answer waits in `clips` until all are there. It answers to its
samples, so that it is found again after other cuts, and by other rows of the recording: `key` is what it answers to,
`span` which samples of which track, `config` the settings of the row that it was sent for (before version 6 they were
part of the key).

**Requests** are in `open_attempts` while they are in flight; their end makes rows of `attempts` of them.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import product

VERSION = 7


class State(IntEnum):
    NEW = 0
    CHANGED = 1
    DONE = 2
    FAILED_PASSING = 3
    FAILED_ITEM = 4


class Seen(IntEnum):
    """Where the manifest of the last run stands to a row: the column `vanished`."""

    THERE = 0
    REMOVED = 1
    """Its own manifest no longer has it."""
    ELSEWHERE = 2
    """It is a row of another manifest that shares the output."""


FAILED = (State.FAILED_PASSING, State.FAILED_ITEM)
IS_FAILED = f"state IN ({State.FAILED_PASSING:d}, {State.FAILED_ITEM:d})"
IS_LEFT = f"state IN ({State.NEW:d}, {State.CHANGED:d})"
IS_DONE = f"state = {State.DONE:d}"
BAD_ROW = ""
"""The config_hash of a manifest row that was skipped as bad: it is in the errors and is never sent."""
UNREADABLE = "?"
"""The version of a recording that is there, and whose place does not describe it now."""

JSONL_BYTES = "jsonl_bytes"
"""The fact that says how far transcripts.jsonl is committed."""
CLOSED_JSONL = -1
"""Its value while transcripts.jsonl is being replaced as a whole: then there is no torn tail to cut."""
ERRORS_STALE = "errors_stale"
"""The fact that is 1 while errors.* may differ from what the checkpoint says; a crash leaves it so."""
CLIPS_STALE = "clips_stale"
"""The same for clips.jsonl."""
CREDITS = "credits"
"""The fact that holds what was spent in all runs, counting what may have been billed."""
LEARNED = "concurrency"
"""The fact that holds how many requests the plan carried, for the next night; 0 where no limit was met."""
FORMATS = "formats"
"""The fact that says in which formats the output was begun."""
MANIFEST = "manifest"
"""The fact that says which manifest a default output serves."""
PLACES = "places"
"""The fact that says where the output has been: the paths of its folder, a line each, the newest last."""

CLIPS = """CREATE TABLE clips (key TEXT NOT NULL, span TEXT NOT NULL, n INTEGER NOT NULL, row BLOB NOT NULL,
    credits REAL NOT NULL, config TEXT NOT NULL, PRIMARY KEY (key, span));
CREATE INDEX clips_n ON clips (n);
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
TURN = f"TEXT GENERATED ALWAYS AS (iif(tries = 0 AND state <> {State.DONE:d}, '', tried)) VIRTUAL"
LONGEST = "INTEGER GENERATED ALWAYS AS (-CAST(expected_s / 15 AS INTEGER)) VIRTUAL"

TO_REFRESH = f"refresh AND NOT vanished AND NOT other_path AND (gone OR state <> {State.CHANGED:d})"
"""Rows whose transcript is to be written anew, with what is said of its recording by now."""
REFRESH_INDEX = f"CREATE INDEX refresh ON utterances (part) WHERE {TO_REFRESH};"

# Many rows may share one audio, as spans of a recording do: their settings tell them apart.
DONE_INDEX = "CREATE INDEX done ON utterances (done_audio, done_config) WHERE done_audio IS NOT NULL;"


# Utterances counted by state: triggers keep the counts in the very transaction that changes a row, whoever changes it,
# so that they are right after any crash, and `status` reads a few rows whatever the size of the checkpoint.
def micros(row: str) -> str:
    """A row's audio in whole microseconds: adding and taking away leaves nothing behind, as fractions would."""
    return f"CAST(round(coalesce({row}.duration_s, 0) * 1e6) AS INTEGER)"


def _tally(row: str, sign: str) -> str:
    """Adds a row to its group, or takes it away."""
    return f"""UPDATE tally SET rows = rows {sign} 1, audio_us = audio_us {sign} {micros(row)},
        ref_words = ref_words {sign} {row}.ref_words, ref_errors = ref_errors {sign} {row}.ref_errors
        WHERE state = {row}.state AND vanished = {row}.vanished AND suspect = {row}.suspect AND gone = {row}.gone;"""  # noqa: S608 fixed texts


_GROUPS = ", ".join(str(group) for group in product(range(5), (0, 1, 2), (0, 1), (0, 1)))

# Every group is there from the start: a trigger's own ON CONFLICT gives way to that of the statement that fires it.
COUNTED = f"""
CREATE TABLE tally (
    state      INTEGER NOT NULL,
    vanished   INTEGER NOT NULL,
    suspect    INTEGER NOT NULL,
    gone       INTEGER NOT NULL,
    rows       INTEGER NOT NULL DEFAULT 0,
    audio_us   INTEGER NOT NULL DEFAULT 0,
    ref_words  INTEGER NOT NULL DEFAULT 0,
    ref_errors INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (state, vanished, suspect, gone)
) WITHOUT ROWID;
INSERT INTO tally (state, vanished, suspect, gone) VALUES {_GROUPS};
CREATE TRIGGER counted_insert AFTER INSERT ON utterances BEGIN {_tally("new", "+")} END;
CREATE TRIGGER counted_delete AFTER DELETE ON utterances BEGIN {_tally("old", "-")} END;
CREATE TRIGGER counted_update
    AFTER UPDATE OF state, vanished, suspect, gone, duration_s, ref_words, ref_errors ON utterances
    BEGIN {_tally("old", "-")} {_tally("new", "+")} END;
"""  # noqa: S608 fixed texts

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
    version       TEXT,
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
CREATE INDEX oldest ON failures (error, first_seen);
{CLIPS}CREATE TABLE attempts (n INTEGER PRIMARY KEY AUTOINCREMENT, row BLOB NOT NULL);
{REPLACED}{KNOWN_FAILURES}{OPEN_ATTEMPTS}
CREATE TABLE parts    (kind TEXT NOT NULL, part INTEGER NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY (kind, part));
CREATE TABLE runs     (run_id TEXT PRIMARY KEY, started_at TEXT NOT NULL, figures BLOB);
CREATE TABLE facts    (key TEXT PRIMARY KEY, value NOT NULL);
{COUNTED}
"""
