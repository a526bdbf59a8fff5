"""The manifest against what is known: which rows are new, changed, done or failed, and which of them this run does.

SQL compares what `scan` took in with the checkpoint. `run` merges the scan into the checkpoint; `check` only counts, so
both decide by the same expressions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from pipeline.checkpoint.identity import PARTIAL
from pipeline.checkpoint.named import IS_NAMED
from pipeline.checkpoint.scan import NOT_KEPT, THIS
from pipeline.checkpoint.schema import ERRORS_STALE, Seen, State, transaction
from pipeline.checkpoint.setbacks import NEXT_RUN, POSTPONED
from pipeline.checkpoint.tables import BAD_ROW, DROP_SCAN, ORDER

# A failure is compared with the audio and the settings it happened to, so a mended file is CHANGED like any other.
# Size and time are those of one file: under another path there may be another recording that is like it in both.
_SAME_PATH = "(u.row = s.row OR audio_of(u.row) = audio_of(s.row))"
_SAME = f"""(u.size IS s.size AND u.mtime_ns IS s.mtime_ns
    AND u.config_hash IN (s.config_hash, coalesce(s.written, s.config_hash)) AND {_SAME_PATH})"""
# A transcript whose recording is not there is done, and its row stays as it was seen last.
_GONE = f"""(s.size IS NULL AND u.done_audio IS NOT NULL AND u.done_config <> '{PARTIAL}'
    AND NOT u.other_path AND {_SAME_PATH})"""
_STATE = f"""CASE
    WHEN s.failure IS NOT NULL THEN {State.FAILED_ITEM:d}
    WHEN u.n IS NULL THEN {State.NEW:d}
    WHEN {_GONE} OR {_SAME} OR u.state = {State.NEW:d} THEN u.state
    ELSE {State.CHANGED:d} END"""

_SELECTED_BY = {
    "new": f"state = {State.NEW:d}",
    "changed": f"state = {State.CHANGED:d}",
    # a failed file that was mended is CHANGED, and still what `--only failed` means
    "failed": f"state IN ({State.FAILED_PASSING:d}, {State.FAILED_ITEM:d})"
    f" OR (state = {State.CHANGED:d} AND error IS NOT NULL)",
    "passing": f"state = {State.FAILED_PASSING:d} AND due <= {NEXT_RUN}",
    "suspect": f"state = {State.DONE:d} AND suspect",
    "all": "1",
}
DEFAULT_ONLY = ("new", "changed", "passing")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a scan found, in utterances."""

    rows: int = 0
    new: int = 0
    changed: int = 0
    done: int = 0
    failed: int = 0
    vanished: int = 0
    selected: int = 0
    postponed: int = 0
    """Failed ones that this run leaves out, because they failed run after run (see `setbacks`), and …"""
    postponed_runs: int = 0
    """… how many runs, with this one, leave out the first of them."""
    missing: int = 0
    """Rows whose file is not there."""
    gone: int = 0
    """Those of them that have a transcript: they count as done."""
    known: int = 0
    """Rows of this manifest whose file the last run found; only counted where some of them are …"""
    lost_files: int = 0
    """… without their file now, or …"""
    lost_rows: int = 0
    """… no longer in the manifest."""


def plan_counts(connection: sqlite3.Connection, only: Sequence[str]) -> Plan:
    """What the scan means for the checkpoint, which stays as it is. Where ids were named (see `named`), `only` narrows
    them further."""
    # whoever does not ask for what failed has it left out for that reason
    waits = f"failure IS NULL AND NOT gone AND {POSTPONED}" if "passing" in (only or DEFAULT_ONLY) else "0"
    row = connection.execute(
        f"""SELECT count(*), sum(state = 0 AND NOT gone), sum(state = 1 AND NOT gone), sum(state = 2 OR gone),
                   sum(state IN (3, 4) AND NOT gone AND failure IS NULL),
                   sum(failure IS NULL AND NOT gone AND ({_where(only)})),
                   sum(size IS NULL AND failure IS NULL), sum(gone),
                   sum({waits}), min(due) FILTER (WHERE {waits}) - {NEXT_RUN} FROM ({_SCANNED})"""  # noqa: S608 fixed texts
    ).fetchone()
    total, new, changed, done, failed, selected, missing, gone, postponed, runs = (value or 0 for value in row)
    vanished, lost_rows = connection.execute(
        f"""SELECT coalesce(sum(vanished = {Seen.VANISHED:d} OR {_ASKED}), 0),
                   coalesce(sum(manifest IN (SELECT n {THIS} WHERE is_folder(name)) AND {_ASKED}
                                AND {_had_file("utterances")}), 0)
            FROM utterances WHERE config_hash <> ? AND ({NOT_KEPT}) AND {_NOT_SCANNED}""",  # noqa: S608 fixed texts
        (BAD_ROW,),
    ).fetchone()
    [lost_files] = connection.execute(
        f"SELECT coalesce(sum(s.size IS NULL AND {_MINE} AND {_had_file('u')}), 0) {_JOIN}"
    ).fetchone()
    [known] = connection.execute(
        f"SELECT count(*) FROM utterances WHERE ? AND {_ASKED} AND {_had_file('utterances')}",  # noqa: S608 fixed texts
        (lost_rows + lost_files > 0,),
    ).fetchone()
    return Plan(
        rows=total,
        new=new,
        changed=changed,
        done=done,
        failed=failed,
        vanished=vanished,
        selected=selected,
        postponed=postponed,
        postponed_runs=runs,
        missing=missing,
        gone=gone,
        known=known,
        lost_files=lost_files,
        lost_rows=lost_rows,
    )


def knows_rows(connection: sqlite3.Connection) -> bool:
    """Whether rows of the scanned manifest are known."""
    [found] = connection.execute(
        f"SELECT EXISTS (SELECT 1 FROM utterances WHERE {_MINE})"  # noqa: S608 fixed texts
    ).fetchone()
    return bool(found)


def where_selected(only: Sequence[str]) -> str:
    """The query for what a run would do after a scan, in the order in which it would: id, row, size, config_hash,
    written, state, done_audio, done_config, marks."""
    return f"""SELECT * FROM ({_SCANNED}) WHERE failure IS NULL AND NOT gone AND ({_where(only)})
        ORDER BY tries, iif(tries = 0 AND state <> {State.DONE:d}, '', tried), longest, n"""  # noqa: S608 fixed texts


ALL_SELECTED = f"SELECT *, NULL AS written FROM utterances WHERE selected ORDER BY {ORDER}"  # noqa: S608 fixed texts
"""The same for what the run that is going on has selected."""


def merge_scan(connection: sqlite3.Connection, only: Sequence[str]) -> None:
    """Takes the scan over into the checkpoint, in one transaction, and selects what this run does.

    Rows that are as they were are not written: a night with nothing new costs a comparison and no more.
    """
    before = connection.total_changes
    with transaction(connection):
        # what has no outcome though requests were sent for it was tried by the run that sent them
        connection.execute(
            """UPDATE utterances SET selected = 0, tries = tries + (sent <> ''), tried = iif(sent <> '', sent, tried),
                   sent = '' WHERE selected"""
        )
        _rename_settings(connection)
        for by_path in (False, True):
            connection.execute(
                "INSERT OR IGNORE INTO manifests (name, by_path) SELECT name, ? FROM manifest.name WHERE is_its_own",
                (by_path,),
            )
        _forget_other_names(connection)
        connection.execute(
            # a new row is selected as it is written: to write a million of them again costs as much as to write them
            f"""INSERT INTO utterances (id, row, state, selected, expected_s, size, mtime_ns, config_hash, manifest)
                SELECT id, row, state, n IS NULL AND failure IS NULL AND ({_where(only)}),
                       expected_s, size, mtime_ns, config_hash, seen_by
                FROM (SELECT s.*, {_KNOWN}, u.n, m.n AS seen_by,
                             NOT {_SAME} OR u.row <> s.row OR u.vanished OR u.gone OR u.manifest IS NOT m.n AS differs
                      {_JOIN} JOIN (SELECT * {THIS}) m ON m.by_path = s.by_path AND m.source = s.source)
                WHERE n IS NULL OR differs
                ON CONFLICT (id) DO UPDATE SET row = excluded.row, state = excluded.state, vanished = 0,
                    manifest = excluded.manifest, refresh = refresh OR (done_audio IS NOT NULL AND row <> excluded.row),
                    other_path = other_path OR (done_audio IS NOT NULL AND {_OTHER_PATH}),
                    gone = {_KEEPS}, expected_s = iif({_KEEPS}, expected_s, excluded.expected_s),
                    size = iif({_KEEPS}, size, excluded.size), mtime_ns = iif({_KEEPS}, mtime_ns, excluded.mtime_ns),
                    config_hash = iif({_KEEPS}, config_hash, excluded.config_hash)"""  # noqa: S608 fixed texts
        )
        connection.execute(
            """INSERT OR REPLACE INTO failures SELECT u.n, s.failure, s.error, s.first_seen
               FROM manifest.scan s JOIN utterances u USING (id) WHERE s.failure IS NOT NULL"""
        )
        connection.execute(f"DELETE FROM failures WHERE n IN (SELECT n FROM utterances WHERE {_GONE_BAD})", (BAD_ROW,))  # noqa: S608 fixed texts
        connection.execute(f"DELETE FROM utterances WHERE {_GONE_BAD}", (BAD_ROW,))  # noqa: S608 fixed texts
        connection.execute(
            f"""UPDATE utterances SET vanished = iif({_ASKED}, {Seen.VANISHED:d}, {Seen.ELSEWHERE:d})
                WHERE NOT vanished AND n IN (SELECT n FROM manifest.rest) AND {_NOT_SCANNED}"""  # noqa: S608 fixed texts
        )
        connection.execute(
            f"""UPDATE utterances SET vanished = {Seen.VANISHED:d}
                WHERE vanished = {Seen.ELSEWHERE:d} AND {_ASKED} AND {_NOT_SCANNED}"""  # noqa: S608 fixed texts
        )
        connection.execute(
            f"""UPDATE utterances SET selected = 1
                WHERE NOT selected AND NOT vanished AND NOT gone AND config_hash <> ? AND ({_where(only)})""",  # noqa: S608 fixed texts
            (BAD_ROW,),
        )
        if connection.total_changes != before:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, 1)", (ERRORS_STALE,))
    connection.execute(DROP_SCAN)


def _forget_other_names(connection: sqlite3.Connection) -> None:
    """Rows that the manifest saw under another name are its own."""
    others = connection.execute(f"SELECT n, by_path, source {THIS} WHERE NOT is_its_own").fetchall()
    for n, *which in others:
        connection.execute(
            f"""UPDATE utterances SET manifest = (SELECT n {THIS} WHERE is_its_own AND by_path = ? AND source = ?)
                WHERE manifest = ?""",  # noqa: S608 fixed texts
            (*which, n),
        )
        connection.execute("DELETE FROM manifests WHERE n = ?", (n,))
    connection.execute("DELETE FROM manifest.name WHERE NOT is_its_own")


def _rename_settings(connection: sqlite3.Connection) -> None:
    """Gives settings that were hashed as they were written the hash of their canonical form. `done_config` goes on
    saying what the transcript in the output says, until `refresh` has that written anew."""
    connection.execute(
        """UPDATE OR REPLACE clips SET key = replace(key, s.written, s.canonical),
               config = iif(config = s.written, s.canonical, config)
           FROM (SELECT u.n, s.written, s.config_hash AS canonical FROM manifest.scan s JOIN utterances u USING (id)
                 WHERE s.written IS NOT NULL) s WHERE s.n = clips.n"""
    )
    connection.execute(
        """UPDATE utterances SET config_hash = iif(config_hash = s.written, s.canonical, config_hash),
               refresh = refresh OR coalesce(done_config = s.written, 0)
           FROM (SELECT id, written, config_hash AS canonical FROM manifest.scan WHERE written IS NOT NULL) s
           WHERE s.id = utterances.id AND s.written IN (utterances.config_hash, utterances.done_config)"""
    )


_JOIN = "FROM manifest.scan s LEFT JOIN utterances u ON u.id = s.id"
_KNOWN = f"""{_STATE} AS state, coalesce(u.suspect, 0) AS suspect, u.done_audio,
    iif(u.done_config = s.written, s.config_hash, u.done_config) AS done_config, u.marks,
    coalesce(u.error, s.error) AS error, coalesce(u.due, 0) AS due,
    u.n IS NOT NULL AND s.failure IS NULL AND {_GONE} AS gone"""
_OTHER_PATH = "row <> excluded.row AND audio_of(row) <> audio_of(excluded.row)"
_KEEPS = f"""(excluded.size IS NULL AND done_audio IS NOT NULL AND done_config <> '{PARTIAL}'
    AND NOT other_path AND NOT ({_OTHER_PATH}))"""
"""`_GONE` in an update."""
_MINE = f"(manifest IS NULL OR manifest IN (SELECT n {THIS}))"
"""Rows that this manifest saw last; those of an older version of this program say nothing about that."""
_ASKED = f"({_MINE} AND asks_for((SELECT name FROM manifests m WHERE m.n = utterances.manifest), id))"  # noqa: S608 fixed texts
"""Those that the scan would have found, were they there: it may be of a part of a folder."""
_NOT_SCANNED = "NOT EXISTS (SELECT 1 FROM manifest.scan s WHERE s.id = utterances.id)"
_GONE_BAD = f"n IN (SELECT n FROM manifest.rest) AND config_hash = ? AND {_MINE} AND {_NOT_SCANNED}"  # noqa: S608 fixed texts
# what `tables.ORDER` goes by, as a merge leaves it; new rows come after all known ones
_IN_TURN = """coalesce(u.tries + (u.selected AND u.sent <> ''), 0) AS tries,
    coalesce(iif(u.selected AND u.sent <> '', u.sent, u.tried), '') AS tried"""
_SCANNED = f"""SELECT id, row, iif(gone, NULL, size) AS size, config_hash, NULL AS written, NULL AS failure, state,
        suspect, done_audio, done_config, marks, error, due, gone, {_IN_TURN}, longest, n
        FROM utterances u WHERE NOT ({NOT_KEPT})
    UNION ALL SELECT s.id, s.row, s.size, s.config_hash, s.written, s.failure, {_KNOWN}, {_IN_TURN},
        -CAST(s.expected_s / 15 AS INTEGER), coalesce(u.n, {1 << 62} + s.rowid) {_JOIN}"""  # noqa: S608 fixed texts


def _had_file(row: str) -> str:
    """Whether the last run over its manifest found a row and its recording."""
    return f"({row}.size IS NOT NULL AND NOT {row}.gone AND {row}.vanished <> {Seen.VANISHED:d})"


def _where(only: Sequence[str]) -> str:
    kinds = " OR ".join(f"({_SELECTED_BY[kind]})" for kind in only or DEFAULT_ONLY)
    return f"({kinds}) AND {IS_NAMED}"
