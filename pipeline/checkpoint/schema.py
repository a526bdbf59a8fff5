"""The states of an utterance, and the tables of a checkpoint; docs/checkpoint.md has the same diagram.

    NEW ──────────────┬──> DONE             its transcript answers to the row as it is now
    CHANGED ──────────┤
    FAILED_PASSING ───┼──> FAILED_PASSING   may pass: tried again by the next run, or a later one
    FAILED_ITEM ──────┘    FAILED_ITEM      final: not tried again until it changes or is asked for
    DONE ──(recording, settings or span differ)──> CHANGED

Columns of `utterances`:

- `vanished`: whether its manifest still has the row, see `Seen`; `removed`: since when it does not, in Unix time.
- `version`, `size`: of its recording. A version is any text that changes with the content (size and time, an ETag):
  NULL without a recording, `UNREADABLE` where it cannot be found out. `size` is in bytes, to compare recordings.
- `gone`: it has a transcript and its recording is missing. It counts as done, and its other columns stay as they were,
  so that a recording that returns unchanged is recognized.
- `done_audio`, `done_config`: the identity of its transcript, which stays in every state until a new one replaces it.
- `remote_span`: it is a span of a recording that has to be fetched, once for all its spans: they are sent together.
- `marks`: hashes of prefixes of the transcribed content (audio/probe.py).
- `other_path`: its transcript is of a recording under another path than the row has now, not compared so far.
- `part`: the published part with its transcript (0: the JSONL). A new transcript waits in `results` until published;
  where its row has moved to another id since, `results.was` is the id that the part has it under.
- `refresh`: its reference or metadata changed; its published transcript is to be rewritten with them.
- `selected`: this run is to process it, and has recorded no outcome yet.
- `attempts`, `tries`: requests sent, and runs that tried it, since it last got a transcript.
- `tried`: the run_id of the last of these runs, or of the run that transcribed it.
- `sent`: the run_id of a run that began with it, mostly by a request, and has recorded no outcome yet. The next plan
  counts that as a try.
- `setbacks`: runs in a row that sent requests for it and failed; `due`: the number of the run that tries it again. See
  `failing`.

Other tables: `clips` has the answers to clips of a long recording until all are there. They are found by what they
answer to, so that other cuts and other rows of the recording find them: `key` is the audio and the settings, `span` the
samples and the channel, `config` the config_hash of the row that was sent (part of the key before version 6).
`open_attempts` has the requests in flight, which become rows of `attempts` when they end. `subtracted` tells how times
of published transcripts came about: whether the delay is taken off, and whether a verdict may change that (`open`).
`removing` has the rows that are being taken out of the output; see `removing`.
"""

from __future__ import annotations

from enum import IntEnum

from pipeline.checkpoint.tally import COUNTED

VERSION = 12
CHECKPOINT = "checkpoint.sqlite"
"""Its name in an output folder."""


class State(IntEnum):
    NEW = 0
    CHANGED = 1
    DONE = 2
    FAILED_PASSING = 3
    FAILED_ITEM = 4


class Seen(IntEnum):
    """Whether the manifest of the last run has a row: the column `vanished`."""

    THERE = 0
    REMOVED = 1
    """Its own manifest no longer has it."""
    ELSEWHERE = 2
    """It belongs to another manifest with the same output."""


FAILED = (State.FAILED_PASSING, State.FAILED_ITEM)
IS_FAILED = f"state IN ({State.FAILED_PASSING:d}, {State.FAILED_ITEM:d})"
IS_LEFT = f"state IN ({State.NEW:d}, {State.CHANGED:d})"
IS_DONE = f"state = {State.DONE:d}"
BAD_ROW = ""
"""The config_hash of a manifest row that was skipped as invalid: it is in errors.*, and is never sent."""
UNREADABLE = "?"
"""The version of a recording that exists and whose source cannot describe it now."""
UNKNOWN = "~"
"""In a scan only: the version of a recording whose source did not answer, or refused to. It counts as unchanged."""

JSONL_BYTES = "jsonl_bytes"
"""The fact with the committed bytes of transcripts.jsonl."""
CLOSED_JSONL = -1
"""Its value while transcripts.jsonl is rewritten as a whole: then there is no partial last line to cut."""
ERRORS_STALE = "errors_stale"
"""The fact that is 1 while errors.* may differ from the checkpoint, also after a crash."""
CLIPS_STALE = "clips_stale"
"""The same for clips.jsonl."""
CREDITS = "credits"
"""The fact with the credits spent in all runs, including those that may have been billed."""
LEARNED = "concurrency"
"""The fact with the concurrency that the service accepted, for the next run; 0 where no limit was met."""
CLIP_LENGTHS = "clip_lengths"
"""The fact with how much audio the service takes in one request, as far as it was learned; see `run/lengths.py`."""
OWNER = "owner"
"""The fact with who answered for the output: the service, or a local recognizer by name."""
OUTPUT_FORMAT = "output_format"
"""The fact with the format of the published rows; None while some may be of an earlier one."""
FORMATS = "formats"
"""The fact with the formats of the output."""
MANIFEST = "manifest"
"""The fact with the manifest that a default output belongs to."""
PLACES = "places"
"""The fact with the paths that the output folder has had, one a line, the newest last."""
FORGOTTEN = "forgotten"
"""The fact with the digest of forgotten.jsonl whose rows no file of the output has any more; "" while one may."""
VERDICT = "delay_correction"
"""The fact with the `DelayVerdict` on the decoder's delay."""

CLIPS = """CREATE TABLE clips (key TEXT NOT NULL, span TEXT NOT NULL, n INTEGER NOT NULL, row BLOB NOT NULL,
    credits REAL NOT NULL, config TEXT NOT NULL, PRIMARY KEY (key, span));
CREATE INDEX clips_n ON clips (n);
"""
# Transcripts that no row has any more, by their identity: in `row`, or in a part under an id.
REPLACED = """
CREATE TABLE replaced (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    audio  TEXT NOT NULL,
    config TEXT NOT NULL,
    marks  BLOB,
    same_settings INTEGER NOT NULL,
    id     TEXT NOT NULL,
    part   INTEGER,
    row    BLOB, times BLOB,
    UNIQUE (audio, config)
);
CREATE INDEX replaced_part ON replaced (part, id) WHERE row IS NULL;
CREATE INDEX replaced_other ON replaced (number) WHERE row IS NOT NULL AND NOT same_settings;
"""

SUBTRACTED = """CREATE TABLE subtracted (n INTEGER PRIMARY KEY, applied INTEGER NOT NULL, open INTEGER NOT NULL,
    times BLOB NOT NULL);
CREATE INDEX subtracted_open ON subtracted (open, applied);
"""

# Failures of audio that was sent, by its identity; `setbacks`, `due` and `marks` as in utterances.
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

# Requests in flight: `row` is the attempt to record where the end of the request is never seen.
OPEN_ATTEMPTS = """
CREATE TABLE open_attempts (
    id TEXT NOT NULL, clip INTEGER NOT NULL, attempt INTEGER NOT NULL,
    credits REAL NOT NULL, row BLOB NOT NULL, PRIMARY KEY (id, clip, attempt)
);
"""

# Each manifest that rows came from: two rows where some of its ids are given and others are paths.
MANIFESTS = """CREATE TABLE manifests (n INTEGER PRIMARY KEY, name TEXT NOT NULL, by_path INTEGER NOT NULL,
    UNIQUE (name, by_path));
CREATE INDEX elsewhere ON utterances (n) WHERE vanished = 2;
"""

# What the newest runs cost, and how long their requests were; see `bills`.
BILLS = "CREATE TABLE bills (n INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, row BLOB NOT NULL);\n"

REMOVING = "CREATE TABLE removing (n INTEGER PRIMARY KEY);\n"
MADE = "made"
"""The fact that tells a checkpoint from every other one; those that earlier versions made have none."""
NOW = "CAST(strftime('%s', 'now') AS INTEGER)"

ORDER = "tries, turn, step, n"
"""The order of work: rows never tried first, then by fewest and oldest tries, then the longest first, in steps of 15 s.
The steps keep spans of one recording, whose rows are neighbours, together, so that it is decoded once. Rows with
`remote_span` come last, as in the manifest: their recording is fetched once."""
SELECTED_INDEX = f"CREATE INDEX selected ON utterances ({ORDER}) WHERE selected;"
TURN = f"TEXT GENERATED ALWAYS AS (iif(tries = 0 AND state <> {State.DONE:d}, '', tried)) VIRTUAL"
STEP = "INTEGER GENERATED ALWAYS AS (iif(remote_span, 1, -CAST(expected_s / 15 AS INTEGER))) VIRTUAL"

TO_REFRESH = f"refresh AND NOT vanished AND NOT other_path AND (gone OR state <> {State.CHANGED:d})"
"""Rows whose published transcript is to be rewritten with their current reference and metadata."""
REFRESH_INDEX = f"CREATE INDEX refresh ON utterances (part) WHERE {TO_REFRESH};"

# Many rows may share one audio, as spans of a recording do: then their settings differ.
DONE_INDEX = "CREATE INDEX done ON utterances (done_audio, done_config) WHERE done_audio IS NOT NULL;"

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
    removed       INTEGER,
    remote_span   INTEGER NOT NULL DEFAULT 0,
    turn          {TURN},
    step          {STEP}
);
{MANIFESTS}{SELECTED_INDEX}
{DONE_INDEX}
{REFRESH_INDEX}
CREATE TABLE results  (n INTEGER PRIMARY KEY, row BLOB NOT NULL, was TEXT);
CREATE TABLE failures (n INTEGER PRIMARY KEY, row BLOB NOT NULL, error TEXT NOT NULL, first_seen REAL NOT NULL);
CREATE INDEX oldest ON failures (error, first_seen);
{CLIPS}CREATE TABLE attempts (n INTEGER PRIMARY KEY AUTOINCREMENT, row BLOB NOT NULL);
{REPLACED}{SUBTRACTED}{KNOWN_FAILURES}{OPEN_ATTEMPTS}{BILLS}{REMOVING}
CREATE TABLE parts    (kind TEXT NOT NULL, part INTEGER NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY (kind, part));
CREATE TABLE runs     (run_id TEXT PRIMARY KEY, started_at TEXT NOT NULL, figures BLOB);
CREATE TABLE facts    (key TEXT PRIMARY KEY, value NOT NULL);
INSERT INTO facts VALUES ('{MADE}', hex(randomblob(8)));
{COUNTED}
"""  # noqa: S608 fixed texts
