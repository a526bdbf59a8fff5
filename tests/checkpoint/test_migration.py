"""Checkpoints of older schemas are brought to this one, and a run goes on from them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from pipeline.checkpoint import UNREADABLE, Checkpoint, Failed, Finished, Identity, Started
from pipeline.checkpoint.migrations import MIGRATIONS
from pipeline.checkpoint.salvage import Old
from pipeline.checkpoint.schema import VERSION
from pipeline.clips import ClipResult
from pipeline.model import Failure, Utterance
from tests.records import attempt, failure, scanned, transcript

COUNTED = Path(__file__).with_name("counted_until_4.sql")
SINCE_2 = """
    refresh       INTEGER NOT NULL DEFAULT 0"""
INDEXES_SINCE_2 = """
CREATE INDEX done     ON utterances (done_audio) WHERE done_audio IS NOT NULL;
CREATE INDEX refresh  ON utterances (part) WHERE refresh;
"""


def tables(version: int) -> str:
    """The tables as that version made them."""
    return f"""
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
    part          INTEGER{"," + SINCE_2 if version > 1 else ""}
);
CREATE INDEX selected ON utterances (expected_s DESC, n) WHERE selected;
{INDEXES_SINCE_2 if version > 1 else ""}
CREATE TABLE results  (n INTEGER PRIMARY KEY, row BLOB);
CREATE TABLE failures (n INTEGER PRIMARY KEY, row BLOB NOT NULL);
CREATE TABLE attempts (n INTEGER PRIMARY KEY AUTOINCREMENT, row BLOB NOT NULL);
CREATE TABLE parts    (kind TEXT NOT NULL, part INTEGER NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY (kind, part));
CREATE TABLE runs     (run_id TEXT PRIMARY KEY, started_at TEXT NOT NULL, figures BLOB);
CREATE TABLE facts    (key TEXT PRIMARY KEY, value NOT NULL);
PRAGMA user_version = {version};
"""


ERRORS = {"passing": "ServerFault", "unsent": "AudioUnsupported"}
# (id, state, vanished, suspect): 0 new, 1 changed, 2 done, 3 and 4 failed
ROWS = (
    ("new", 0, 0, 0),
    ("done", 2, 0, 0),
    ("odd", 2, 0, 1),
    ("gone", 2, 1, 0),
    ("passing", 3, 0, 0),
    ("item", 4, 0, 0),
    ("gone-item", 4, 1, 0),
    ("mended", 1, 0, 0),
    ("unsent", 4, 0, 0),
)


CLIP = ClipResult(clip=1, key="0:10+5", words=(), issues=(), request_id=None, model=None, latency_s=0.1, credits=6.0)


def make(path: Path, version: int) -> None:
    if version > 5:
        make(path, 5)
        with sqlite3.connect(path) as db:
            db.create_function("clip_span", 1, lambda row: msgspec.msgpack.decode(row, type=ClipResult).key)
            db.executescript(MIGRATIONS[5])
            db.execute(f"PRAGMA user_version = {version}")
        return
    if version > 4:  # clips had the number of their utterance and one of their own
        make(path, 4)
        with sqlite3.connect(path) as db:
            db.executescript(MIGRATIONS[4])
            db.execute(f"PRAGMA user_version = {version}")
            db.execute("INSERT INTO clips VALUES (5, 1, 'a1:c1', ?, 6.0)", (msgspec.msgpack.encode(CLIP),))
        return
    if version > 2:  # what came of version 2: first everything was counted, then requests in flight were noted
        make(path, 2)
        with sqlite3.connect(path) as db:
            db.create_function("failure_error", 1, lambda row: msgspec.msgpack.decode(row, type=Failure).error)
            db.create_function("failure_first_seen", 1, lambda row: 0.0)
            db.executescript(MIGRATIONS[2] + COUNTED.read_text() + (MIGRATIONS[3] if version > 3 else ""))
            db.execute(f"PRAGMA user_version = {version}")
            # a published row that was to be taken back
            db.execute("INSERT INTO results VALUES ((SELECT n FROM utterances WHERE id = 'passing'), NULL)")
        return
    with sqlite3.connect(path) as db:
        db.executescript(tables(version))
        for n, (name, state, vanished, suspect) in enumerate(ROWS, 1):
            done = ("a1", "c1", 2.25) if state == 2 else (None, None, None)
            db.execute(
                """INSERT INTO utterances (n, id, row, state, vanished, suspect, expected_s, size, mtime_ns,
                   config_hash, done_audio, done_config, duration_s, ref_words, ref_errors, part, attempts)
                   VALUES (?,?,?,?,?,?,1.0,100,1,'c1',?,?,?,?,?,?,?)""",
                (
                    n,
                    name,
                    row(name),
                    state,
                    vanished,
                    suspect,
                    *done,
                    *((10, 1, 1) if state == 2 else (0, 0, None)),
                    int(state > 2 and name != "unsent"),
                ),
            )
            if state in (1, 3, 4):
                one = failure(name, retryable=state == 3, error=ERRORS.get(name, "AudioRefused"))
                db.execute("INSERT INTO failures VALUES (?, ?)", (n, msgspec.msgpack.encode(one)))
        db.execute("INSERT INTO facts VALUES ('credits', 12.5)")


def row(name: str) -> bytes:
    return msgspec.msgpack.encode(Utterance(id=name, audio=f"/audio/{name}"))


def told(checkpoint: Checkpoint) -> dict[str, tuple[str, int]]:
    return {example.error: (example.id, count) for example, count in checkpoint.failing()}


@pytest.mark.parametrize("only_read", [False, True])
@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_an_older_checkpoint_says_what_it_said(tmp_path: Path, version: int, only_read: bool) -> None:
    make(path := tmp_path / "checkpoint.sqlite", version)
    with Checkpoint(path, only_read=only_read) as checkpoint:
        totals = checkpoint.totals()
        assert (totals.done, totals.failed, totals.left, totals.suspect, totals.vanished) == (2, 3, 2, 1, 2)
        assert (totals.audio_s, totals.ref_words, totals.ref_errors, totals.credits) == (4.5, 20, 2, 12.5)
        assert told(checkpoint) == {
            "ServerFault": ("passing", 1),
            "AudioRefused": ("item", 1),
            "AudioUnsupported": ("unsent", 1),
        }
        assert [found.id for found in checkpoint.failures()] == ["item", "passing", "unsent"]
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (version if only_read else VERSION,)


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_a_run_goes_on_from_an_older_checkpoint(tmp_path: Path, version: int) -> None:
    make(path := tmp_path / "checkpoint.sqlite", version)
    with Checkpoint(path) as checkpoint:
        rows = [scanned(name) for name, _, _, _ in ROWS if name != "odd"]
        assert checkpoint.scan(rows, "m.csv") == []
        plan = checkpoint.merge(())
        assert (plan.rows, plan.new, plan.changed, plan.done, plan.failed, plan.vanished) == (8, 1, 1, 2, 4, 1)
        n = {one.utterance.id: one.n for one in checkpoint.next_rows(None, 100)}
        # what the older version could not send may be sendable now
        assert set(n) == {"new", "mended", "passing", "unsent"}
        checkpoint.apply(
            [Finished(n=n[name], transcript=transcript(name, audio_hash=name)) for name in ("new", "passing")]
        )
        again: Failure = failure("mended", error="DecodeFailed")
        checkpoint.apply([Failed(n=n["mended"], failure=again)])
        assert told(checkpoint) == {
            "AudioRefused": ("item", 2),
            "AudioUnsupported": ("unsent", 1),
            "DecodeFailed": ("mended", 1),
        }
        totals = checkpoint.totals()
        assert (totals.done, totals.failed, totals.left, totals.vanished) == (4, 4, 0, 1)
        identity = Identity(audio_hash="a1", config_hash="c1")
        twin = checkpoint.stored_transcripts([identity]).get(identity)
        assert twin is not None
        assert twin.part == 1
        checkpoint.apply([Started(attempt=attempt("item"))])
        assert checkpoint.end_open_attempts() == [attempt("item")]


@pytest.mark.parametrize("version", [1, 5, 6])
def test_recordings_of_an_older_checkpoint_are_unchanged_as_long_as_size_and_time_are(
    tmp_path: Path, version: int
) -> None:
    make(path := tmp_path / "checkpoint.sqlite", version)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE utterances SET size = -1, mtime_ns = NULL WHERE id = 'item'")
        db.execute("UPDATE utterances SET size = NULL, mtime_ns = NULL WHERE id = 'mended'")
    names = [name for name, _, vanished, _ in ROWS if not vanished]
    rows = {name: scanned(name) for name in names}
    rows["item"] = msgspec.structs.replace(rows["item"], version=UNREADABLE, size=None)
    rows["mended"] = msgspec.structs.replace(rows["mended"], version=None, size=None)
    rows["odd"] = msgspec.structs.replace(rows["odd"], version="100:2")
    with Checkpoint(path) as checkpoint:
        checkpoint.scan(rows.values(), "m.csv")
        checkpoint.merge(())
        found = dict(checkpoint._db.execute("SELECT id, state FROM utterances WHERE NOT vanished"))
    states = {name: state for name, state, vanished, _ in ROWS if not vanished} | {"odd": 1}
    assert found == {**states, "unsent": 3 if version == 1 else found["unsent"]}


@pytest.mark.parametrize("version", [1, 5, 6])
def test_a_rebuild_knows_the_recordings_of_an_older_checkpoint(tmp_path: Path, version: int) -> None:
    make(path := tmp_path / "checkpoint.sqlite", version)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE utterances SET size = -1, mtime_ns = NULL WHERE id = 'item'")
    with Old(path) as old:
        known = {one.utterance.id: (one.version, one.size) for one in old.utterances()}
        assert old.skipped == 0
    assert known == {name: ("100:1", 100) for name, *_ in ROWS} | {"item": (UNREADABLE, None)}
