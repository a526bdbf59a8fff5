"""The manifest against what is known: which rows are new, changed, done or failed, and which of them this run does.

Rows that are plainly as they were are told by `walk` and cost no more than that; the others stream into a temporary
table (memory does not grow with rows), and SQL compares. `run` merges the scan into the checkpoint; `check` only
counts, so both decide by the same expressions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import msgspec

from pipeline.checkpoint.schema import BAD_ROW, DROP_SCAN, ERRORS_STALE, SCAN_TABLES, State, transaction
from pipeline.checkpoint.walk import Seen, Walk
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
    """Fills the scan tables and returns ids that several rows claim, with the lines they stand on (at most 100)."""
    if any(name == "manifest" for _, name, _ in connection.execute("PRAGMA database_list").fetchall()):
        connection.execute(DROP_SCAN)
    connection.executescript(SCAN_TABLES)
    with (
        transaction(connection, "DEFERRED"),  # it writes no table of the checkpoint, and a run beside a check writes on
        closing(Walk(connection)) as walk,
    ):
        connection.executemany("INSERT INTO manifest.scan VALUES (?,?,?,?,?,?,?,?,?,?)", _not_as_it_was(rows, walk))
        walk.note_missed()
    connection.execute("CREATE INDEX manifest.scan_id ON scan (id)")
    return _repeated(connection, walk)


def plan_counts(connection: sqlite3.Connection, only: Sequence[str]) -> Plan:
    """What the scan means for the checkpoint, which stays as it is."""
    row = connection.execute(
        f"""SELECT count(*), sum(state = 0), sum(state = 1), sum(state = 2), sum(state IN (3, 4)),
                   sum(failure IS NULL AND ({_where(only)})), sum(size IS NULL AND failure IS NULL) FROM ({_SCANNED})"""  # noqa: S608 fixed texts
    ).fetchone()
    total, new, changed, done, failed, selected, missing = (value or 0 for value in row)
    [vanished] = connection.execute(
        f"SELECT count(*) FROM utterances WHERE config_hash <> ? AND ({_NOT_KEPT}) AND {_NOT_SCANNED}",  # noqa: S608 fixed texts
        (BAD_ROW,),
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


def where_selected(only: Sequence[str]) -> str:
    """The query for what a run would do after a scan: row, size, config_hash, state, done_audio, done_config."""
    return f"SELECT * FROM ({_SCANNED}) WHERE failure IS NULL AND ({_where(only)})"  # noqa: S608 fixed texts


def waiting_clips(connection: sqlite3.Connection, *, selected: bool = False) -> tuple[int, float]:
    """Answered clips whose recordings have no transcript yet (or only `selected` ones), and what they cost."""
    count, credits_ = connection.execute(
        """SELECT count(*), coalesce(sum(c.credits), 0) FROM clips c JOIN utterances u USING (n)
           WHERE c.key LIKE '%:' || u.config_hash AND NOT u.vanished AND (u.selected OR NOT ?)""",
        (selected,),
    ).fetchone()
    return int(count), float(credits_)


def merge_scan(connection: sqlite3.Connection, only: Sequence[str]) -> None:
    """Takes the scan over into the checkpoint, in one transaction, and selects what this run does.

    Rows that are as they were are not written: a night with nothing new costs a comparison and no more.
    """
    before = connection.total_changes
    with transaction(connection):
        connection.execute("UPDATE utterances SET selected = 0 WHERE selected")
        connection.execute(
            # a new row is selected as it is written: to write a million of them again costs as much as to write them
            f"""INSERT INTO utterances (id, row, state, selected, expected_s, size, mtime_ns, config_hash)
                SELECT id, row, state, n IS NULL AND failure IS NULL AND ({_where(only)}),
                       expected_s, size, mtime_ns, config_hash
                FROM (SELECT s.*, {_KNOWN}, u.n, NOT {_SAME} OR u.row <> s.row OR u.vanished AS differs {_JOIN})
                WHERE n IS NULL OR differs
                ON CONFLICT (id) DO UPDATE SET row = excluded.row, state = excluded.state, vanished = 0,
                    expected_s = excluded.expected_s, size = excluded.size, mtime_ns = excluded.mtime_ns,
                    config_hash = excluded.config_hash,
                    refresh = refresh OR (done_audio IS NOT NULL AND row <> excluded.row)"""  # noqa: S608 fixed texts
        )
        connection.execute(
            """INSERT OR REPLACE INTO failures SELECT u.n, s.failure, s.error, s.first_seen
               FROM manifest.scan s JOIN utterances u USING (id) WHERE s.failure IS NOT NULL"""
        )
        connection.execute(f"DELETE FROM failures WHERE n IN (SELECT n FROM utterances WHERE {_GONE_BAD})", (BAD_ROW,))  # noqa: S608 fixed texts
        connection.execute(f"DELETE FROM utterances WHERE {_GONE_BAD}", (BAD_ROW,))  # noqa: S608 fixed texts
        connection.execute(
            f"""UPDATE utterances SET vanished = 1
                WHERE NOT vanished AND n IN (SELECT n FROM manifest.rest) AND {_NOT_SCANNED}"""  # noqa: S608 fixed texts
        )
        connection.execute(
            f"""UPDATE utterances SET selected = 1
                WHERE NOT selected AND NOT vanished AND config_hash <> ? AND ({_where(only)})""",  # noqa: S608 fixed texts
            (BAD_ROW,),
        )
        if connection.total_changes != before:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, 1)", (ERRORS_STALE,))
    connection.execute(DROP_SCAN)


_JOIN = "FROM manifest.scan s LEFT JOIN utterances u ON u.id = s.id"
_KNOWN = f"{_STATE} AS state, coalesce(u.suspect, 0) AS suspect, u.done_audio, u.done_config"
_NOT_KEPT = "vanished OR n IN (SELECT n FROM manifest.rest)"
_NOT_SCANNED = "NOT EXISTS (SELECT 1 FROM manifest.scan s WHERE s.id = utterances.id)"
_GONE_BAD = f"n IN (SELECT n FROM manifest.rest) AND config_hash = ? AND {_NOT_SCANNED}"  # noqa: S608 fixed texts
_SCANNED = f"""SELECT row, size, config_hash, NULL AS failure, state, suspect, done_audio, done_config FROM utterances
        WHERE NOT ({_NOT_KEPT})
    UNION ALL SELECT s.row, s.size, s.config_hash, s.failure, {_KNOWN} {_JOIN}"""  # noqa: S608 fixed texts


def _where(only: Sequence[str]) -> str:
    return " OR ".join(f"({_SELECTED_BY[kind]})" for kind in only or DEFAULT_ONLY)


def _not_as_it_was(rows: Iterable[ScannedRow], walk: Walk) -> Iterator[tuple[object, ...]]:
    """The values of the rows that `walk` does not know."""
    encode, replace, knows = msgspec.msgpack.encode, msgspec.structs.replace, walk.knows
    for row in rows:
        utterance, failure = row.utterance, row.failure
        # without its line: a row that only moved within the manifest is the row it was
        encoded = encode(replace(utterance, line=None))
        seen: Seen = (encoded, row.size, row.mtime_ns, row.config_hash)
        if failure is None:
            if not knows(utterance.id, seen, utterance.line):
                yield utterance.id, encoded, utterance.line, row.expected_s, *seen[1:], None, None, None
        else:
            told = encode(failure), failure.error, failure.first_seen.timestamp()
            yield utterance.id, encoded, utterance.line, row.expected_s, *seen[1:], *told


def _repeated(connection: sqlite3.Connection, walk: Walk) -> list[tuple[str, list[int]]]:
    """Ids that rows of the scan share with each other, or with a row that is as it was."""
    found = connection.execute(
        f"""SELECT s.id, group_concat(s.line), u.n FROM manifest.scan s
            LEFT JOIN utterances u ON u.id = s.id AND NOT ({_NOT_KEPT})
            GROUP BY s.id HAVING count(*) > 1 OR u.n IS NOT NULL ORDER BY min(s.line) LIMIT 100"""  # noqa: S608 fixed texts
    )
    repeated = []
    for id_, told, n in found:
        lines = [int(line) for line in (told or "").split(",") if line]
        if n is not None and (line := walk.line_of(n)) is not None:
            lines.append(line)
        repeated.append((id_, sorted(lines)))
    return sorted(repeated, key=lambda one: one[1][:1])
