"""Compares the scanned manifest with the known rows: which are new, changed, done or failed, and which a run does.

The SQL expressions are shared by `run`, which merges the scan into the checkpoint, and `check`, which only counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from pipeline.checkpoint.connection import named
from pipeline.checkpoint.failing import NEXT_RUN, POSTPONED
from pipeline.checkpoint.identity import PARTIAL
from pipeline.checkpoint.scan import NOT_KEPT, THIS
from pipeline.checkpoint.schema import BAD_ROW, IS_DONE, IS_FAILED, ORDER, Seen, State

# A failed row is compared like any other, so that a repaired file is CHANGED. Versions are only compared under the same
# path: another recording may have the same one.
_SAME_PATH = "(u.row = s.row OR audio_of(u.row) = audio_of(s.row))"
SAME = f"""(u.version IS s.version AND u.config_hash IN (s.config_hash, coalesce(s.written, s.config_hash))
    AND {_SAME_PATH})"""
# An utterance with a transcript whose recording is missing is done, and keeps its columns.
_GONE = f"""(s.version IS NULL AND u.done_audio IS NOT NULL AND u.done_config <> '{PARTIAL}'
    AND NOT u.other_path AND {_SAME_PATH})"""
_STATE = f"""CASE
    WHEN s.failure IS NOT NULL THEN {State.FAILED_ITEM:d}
    WHEN u.n IS NULL THEN {State.NEW:d}
    WHEN {_GONE} OR {SAME} OR u.state = {State.NEW:d} THEN u.state
    ELSE {State.CHANGED:d} END"""

_SELECTED_BY = {
    "new": f"state = {State.NEW:d}",
    "changed": f"state = {State.CHANGED:d}",
    # a failed file that was repaired is CHANGED, and still part of `--only failed`
    "failed": f"{IS_FAILED} OR (state = {State.CHANGED:d} AND n IN (SELECT n FROM failures))",  # noqa: S608 fixed texts
    "passing": f"state = {State.FAILED_PASSING:d} AND due <= {NEXT_RUN}",
    "suspect": f"{IS_DONE} AND suspect",
    "all": "1",
}
IS_NAMED = "(NOT EXISTS (SELECT 1 FROM manifest.named) OR id IN (SELECT id FROM manifest.named))"
"""Whether no ids were named, or the row's is one of them."""
DEFAULT_ONLY = ("new", "changed", "passing")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of utterances from a scan."""

    rows: int = 0
    new: int = 0
    changed: int = 0
    done: int = 0
    failed: int = 0
    vanished: int = 0
    """Rows removed from the manifest."""
    selected: int = 0
    postponed: int = 0
    """Failed ones that this run postpones (see `failing`), and …"""
    postponed_runs: int = 0
    """… for how many runs, with this one, the first of them is postponed."""
    missing: int = 0
    """Rows whose recording is missing."""
    gone: int = 0
    """Those of them with a transcript, which count as done."""
    known: int = 0
    """Rows of this manifest whose recording the last run found; only counted where one of the next two is not 0."""
    newly_missing: int = 0
    """Those of them whose recording is missing now."""
    newly_removed: int = 0
    """Those of them, of folders, that were removed."""


def plan_of(connection: sqlite3.Connection, only: Sequence[str]) -> Plan:
    """Counts what a run with `only` would find and select; the checkpoint stays unchanged."""
    # where `only` excludes failed rows, none is counted as postponed
    waits = f"failure IS NULL AND NOT gone AND {POSTPONED}" if "passing" in (only or DEFAULT_ONLY) else "0"
    counts = named(
        connection.execute(
            f"""SELECT count(*) AS rows, sum(state = {State.NEW:d} AND NOT gone) AS new,
                  sum(state = {State.CHANGED:d} AND NOT gone) AS changed, sum({IS_DONE} OR gone) AS done,
                  sum({IS_FAILED} AND NOT gone AND failure IS NULL) AS failed,
                  sum(failure IS NULL AND NOT gone AND ({where_asked(only)})) AS selected,
                  sum(version IS NULL AND failure IS NULL) AS missing, sum(gone) AS gone, sum({waits}) AS postponed,
                  min(due) FILTER (WHERE {waits}) - {NEXT_RUN} AS postponed_runs FROM ({_SCANNED})"""  # noqa: S608 fixed texts
        )
    )
    removed, newly_removed = connection.execute(
        f"""SELECT coalesce(sum(vanished = {Seen.REMOVED:d} OR {ASKED}), 0),
                   coalesce(sum(manifest IN (SELECT n {THIS} WHERE is_folder(name)) AND {ASKED}
                                AND {_had_file("utterances")}), 0)
            FROM utterances WHERE config_hash <> ? AND ({NOT_KEPT}) AND {NOT_SCANNED}""",  # noqa: S608 fixed texts
        (BAD_ROW,),
    ).fetchone()
    [newly_missing] = connection.execute(
        f"SELECT coalesce(sum(s.version IS NULL AND {MINE} AND {_had_file('u')}), 0) {JOIN}"
    ).fetchone()
    [known] = connection.execute(
        f"SELECT count(*) FROM utterances WHERE ? AND {ASKED} AND {_had_file('utterances')}",  # noqa: S608 fixed texts
        (newly_removed + newly_missing > 0,),
    ).fetchone()
    counts = {name: value or 0 for name, value in counts.items()}
    return Plan(**counts, vanished=removed, known=known, newly_missing=newly_missing, newly_removed=newly_removed)


def where_selected(only: Sequence[str]) -> str:
    """The query for the rows that a run would do after a scan, in the order of work, with their columns id, row, size,
    version, config_hash, written, state, done_audio, done_config, marks."""
    return f"""SELECT * FROM ({_SCANNED}) WHERE failure IS NULL AND NOT gone AND ({where_asked(only)})
        ORDER BY tries, iif(tries = 0 AND state <> {State.DONE:d}, '', tried), step, n"""  # noqa: S608 fixed texts


ALL_SELECTED = f"SELECT *, NULL AS written FROM utterances WHERE selected ORDER BY {ORDER}"  # noqa: S608 fixed texts
"""The same for the rows that the current run has selected."""


JOIN = "FROM manifest.scan s LEFT JOIN utterances u ON u.id = s.id"
KNOWN = f"""{_STATE} AS state, coalesce(u.suspect, 0) AS suspect, u.done_audio,
    iif(u.done_config = s.written, s.config_hash, u.done_config) AS done_config, u.marks,
    coalesce(u.due, 0) AS due,
    u.n IS NOT NULL AND s.failure IS NULL AND {_GONE} AS gone"""
MINE = f"(manifest IS NULL OR manifest IN (SELECT n {THIS}))"
"""Rows last seen in this manifest; rows of older versions have no manifest."""
ASKED = f"({MINE} AND asks_for((SELECT name FROM manifests m WHERE m.n = utterances.manifest), id))"  # noqa: S608 fixed texts
"""Those that the scan covers: it may be restricted to a part of a folder."""
NOT_SCANNED = "NOT EXISTS (SELECT 1 FROM manifest.scan s WHERE s.id = utterances.id)"
# the columns of `schema.ORDER` as a merge sets them; new rows come after all known ones
_IN_TURN = """coalesce(u.tries + (u.selected AND u.sent <> ''), 0) AS tries,
    coalesce(iif(u.selected AND u.sent <> '', u.sent, u.tried), '') AS tried"""
_SCANNED = f"""SELECT id, row, iif(gone, NULL, size) AS size, iif(gone, NULL, version) AS version, config_hash,
        NULL AS written, NULL AS failure, state,
        suspect, done_audio, done_config, marks, due, gone, {_IN_TURN}, step, n
        FROM utterances u WHERE NOT ({NOT_KEPT})
    UNION ALL SELECT s.id, s.row, s.size, s.version, s.config_hash, s.written, s.failure, {KNOWN}, {_IN_TURN},
        iif(s.remote_span, 1, -CAST(s.expected_s / 15 AS INTEGER)), coalesce(u.n, {1 << 62} + s.rowid) {JOIN}"""  # noqa: S608 fixed texts


def _had_file(row: str) -> str:
    """SQL: whether the last run over its manifest found the row and its recording."""
    return f"({row}.version IS NOT NULL AND NOT {row}.gone AND {row}.vanished <> {Seen.REMOVED:d})"


def where_asked(only: Sequence[str]) -> str:
    """SQL: whether `--only` and the named ids select a row."""
    kinds = " OR ".join(f"({_SELECTED_BY[kind]})" for kind in only or DEFAULT_ONLY)
    return f"({kinds}) AND {IS_NAMED}"
