"""The manifest against what is known: which rows are new, changed, done or failed, and which of them this run does.

Streams the manifest into a temporary table (memory does not grow with rows), then lets SQL compare. `run` merges the
scan into the checkpoint; `check` only counts, so both decide by the same expressions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from pipeline.checkpoint.schema import BAD_ROW, ERRORS_STALE, SCAN_TABLE, State, transaction
from pipeline.model import Failure, Utterance

# A failure is compared with the audio and the settings it happened to, so a mended file is CHANGED like any other.
_SAME = "(u.size IS s.size AND u.mtime_ns IS s.mtime_ns AND u.config_hash = s.config_hash)"
_STATE = f"""CASE
    WHEN s.failure IS NOT NULL THEN {State.FAILED_ITEM:d}
    WHEN u.n IS NULL THEN {State.NEW:d}
    WHEN {_SAME} OR u.state = {State.NEW:d} THEN u.state
    ELSE {State.CHANGED:d} END"""

_SELECTED_BY = {
    "new": f"state = {State.NEW:d}",
    "changed": f"state = {State.CHANGED:d}",
    # a failed file that was mended is CHANGED, and still what `--only failed` means
    "failed": f"state IN ({State.FAILED_PASSING:d}, {State.FAILED_ITEM:d})"
    f" OR (state = {State.CHANGED:d} AND done_audio IS NULL)",
    "passing": f"state = {State.FAILED_PASSING:d}",
    "suspect": f"state = {State.DONE:d} AND suspect",
    "all": "1",
}
DEFAULT_ONLY = ("new", "changed", "passing")


class ScannedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest row with what the file system and the configuration say about it."""

    utterance: Utterance
    config_hash: str
    expected_s: float
    """Expected seconds of audio: for the order of work and the progress bar only."""
    size: int | None
    """Bytes; None where there is no file."""
    mtime_ns: int | None
    failure: Failure | None = None
    """Set for a row that was skipped as bad: it is in the errors and is never sent."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a scan found, in utterances."""

    rows: int
    new: int
    changed: int
    done: int
    failed: int
    vanished: int
    selected: int
    missing: int
    """Rows whose file is not there."""


def scan_manifest(connection: sqlite3.Connection, rows: Iterable[ScannedRow]) -> list[tuple[str, list[int]]]:
    """Fills the scan table and returns ids that several rows claim, with the lines they stand on (at most 100)."""
    connection.execute("DROP TABLE IF EXISTS temp.scan")
    connection.execute(SCAN_TABLE)
    with transaction(connection):
        connection.executemany("INSERT INTO temp.scan VALUES (?,?,?,?,?,?,?,?)", map(_scan_values, rows))
    connection.execute("CREATE INDEX temp.scan_id ON scan (id)")
    twice = connection.execute(
        "SELECT id, group_concat(line) FROM temp.scan GROUP BY id HAVING count(*) > 1 ORDER BY min(line) LIMIT 100"
    )
    return [(id_, [int(line) for line in (lines or "").split(",") if line]) for id_, lines in twice]


def plan_counts(connection: sqlite3.Connection, only: Sequence[str]) -> Plan:
    """What the scan means for the checkpoint, which stays as it is."""
    row = connection.execute(
        f"""SELECT count(*), sum(state = 0), sum(state = 1), sum(state = 2), sum(state IN (3, 4)),
                   sum(failure IS NULL AND ({_where(only)})), sum(size IS NULL AND failure IS NULL) FROM ({_SCANNED})"""  # noqa: S608 fixed texts
    ).fetchone()
    total, new, changed, done, failed, selected, missing = (value or 0 for value in row)
    [vanished] = connection.execute(
        "SELECT count(*) FROM utterances WHERE config_hash <> ? AND id NOT IN (SELECT id FROM temp.scan)", (BAD_ROW,)
    ).fetchone()
    return Plan(
        rows=total,
        new=new,
        changed=changed,
        done=done,
        failed=failed,
        vanished=vanished,
        selected=selected,
        missing=missing,
    )


def selected_rows(connection: sqlite3.Connection, only: Sequence[str]) -> Iterator[Utterance]:
    """The utterances a run would do, without merging anything."""
    decode = msgspec.msgpack.Decoder(Utterance).decode
    found = connection.execute(
        f"SELECT row FROM ({_SCANNED}) WHERE failure IS NULL AND ({_where(only)})"  # noqa: S608 fixed texts
    )
    for (row,) in found:
        yield decode(row)


def merge_scan(connection: sqlite3.Connection, only: Sequence[str]) -> None:
    """Takes the scan over into the checkpoint, in one transaction, and selects what this run does.

    Rows that are as they were are not written: a night with nothing new costs a comparison and no more.
    """
    before = connection.total_changes
    with transaction(connection):
        connection.execute("UPDATE utterances SET selected = 0 WHERE selected")
        connection.execute(
            f"""INSERT INTO utterances (id, row, state, expected_s, size, mtime_ns, config_hash)
                SELECT s.id, s.row, {_STATE} AS state, s.expected_s, s.size, s.mtime_ns, s.config_hash {_JOIN}
                WHERE u.n IS NULL OR NOT {_SAME} OR u.row <> s.row OR u.vanished
                ON CONFLICT (id) DO UPDATE SET row = excluded.row, state = excluded.state, vanished = 0,
                    expected_s = excluded.expected_s, size = excluded.size, mtime_ns = excluded.mtime_ns,
                    config_hash = excluded.config_hash,
                    refresh = refresh OR (done_audio IS NOT NULL AND row <> excluded.row)"""
        )
        connection.execute(
            """INSERT OR REPLACE INTO failures SELECT u.n, s.failure FROM temp.scan s JOIN utterances u USING (id)
               WHERE s.failure IS NOT NULL"""
        )
        connection.execute(
            """DELETE FROM failures WHERE n IN (SELECT n FROM utterances
               WHERE config_hash = ?1 AND id NOT IN (SELECT id FROM temp.scan))""",
            (BAD_ROW,),
        )
        connection.execute(
            "DELETE FROM utterances WHERE config_hash = ? AND id NOT IN (SELECT id FROM temp.scan)", (BAD_ROW,)
        )
        connection.execute(
            "UPDATE utterances SET vanished = 1 WHERE NOT vanished AND id NOT IN (SELECT id FROM temp.scan)"
        )
        connection.execute(
            f"UPDATE utterances SET selected = 1 WHERE NOT vanished AND config_hash <> ? AND ({_where(only)})",  # noqa: S608 fixed texts
            (BAD_ROW,),
        )
        if connection.total_changes != before:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, 1)", (ERRORS_STALE,))
    connection.execute("DROP TABLE temp.scan")


_JOIN = "FROM temp.scan s LEFT JOIN utterances u ON u.id = s.id"
_SCANNED = f"""SELECT s.row, s.size, s.failure, {_STATE} AS state, coalesce(u.suspect, 0) AS suspect, u.done_audio
    {_JOIN}"""


def _where(only: Sequence[str]) -> str:
    return " OR ".join(f"({_SELECTED_BY[kind]})" for kind in only or DEFAULT_ONLY)


def _scan_values(row: ScannedRow) -> tuple[object, ...]:
    utterance = row.utterance
    return (
        utterance.id,
        # without its line: a row that only moved within the manifest is the row it was
        msgspec.msgpack.encode(msgspec.structs.replace(utterance, line=None)),
        utterance.line,
        row.expected_s,
        row.size,
        row.mtime_ns,
        row.config_hash,
        None if row.failure is None else msgspec.msgpack.encode(row.failure),
    )
