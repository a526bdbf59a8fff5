"""Updates the known rows from the scan, and selects what this run does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from pipeline.checkpoint.connection import reads, transaction
from pipeline.checkpoint.figures import FiguresOf
from pipeline.checkpoint.identity import PARTIAL
from pipeline.checkpoint.plan import ASKED, JOIN, KNOWN, MINE, NOT_SCANNED, SAME, Plan, plan_of, where_asked
from pipeline.checkpoint.scan import DROP_SCAN, THIS, Scanning
from pipeline.checkpoint.schema import BAD_ROW, ERRORS_STALE, NOW, Seen
from pipeline.errors import ManifestError
from pipeline.texts import shown_id

SHOWN = 5
_UNKNOWN = """FROM manifest.named d WHERE NOT EXISTS (SELECT 1 FROM manifest.scan s WHERE s.id = d.id)
    AND NOT EXISTS (SELECT 1 FROM utterances u WHERE u.id = d.id AND NOT u.vanished
        AND u.n NOT IN (SELECT n FROM manifest.missed))"""
_OTHER_PATH = "row <> excluded.row AND audio_of(row) <> audio_of(excluded.row)"
_KEEPS = f"""(excluded.version IS NULL AND done_audio IS NOT NULL AND done_config <> '{PARTIAL}'
    AND NOT other_path AND NOT ({_OTHER_PATH}))"""
"""`plan._GONE` in an update."""
_REMOVED_BAD = f"n IN (SELECT n FROM manifest.missed) AND config_hash = ? AND {MINE} AND {NOT_SCANNED}"  # noqa: S608 fixed texts


class Planning(Scanning, FiguresOf):
    """Planning of a run from a scan."""

    @reads
    def knows_rows(self) -> bool:
        """Whether the checkpoint has rows of the scanned manifest."""
        query = f"SELECT EXISTS (SELECT 1 FROM utterances WHERE {MINE})"  # noqa: S608 fixed texts
        return bool(self._db.execute(query).fetchone()[0])

    @reads
    def plan(self, only: Sequence[str]) -> Plan:
        """Counts what a run would find; the checkpoint stays unchanged."""
        return plan_of(self._db, only)

    @reads
    def merge(self, only: Sequence[str]) -> Plan:
        """Updates the checkpoint from the scan, selects what this run does, and returns the counts."""
        found = plan_of(self._db, only)
        merge_scan(self._db, only)
        return found

    @reads
    def name_ids(self, ids: Iterable[str], manifest: str) -> None:
        """Restricts the plan to rows of these ids. Raises ManifestError where the scanned manifest lacks some."""
        with transaction(self._db, "DEFERRED"):
            self._db.executemany("INSERT OR IGNORE INTO manifest.named VALUES (?)", ((id_,) for id_ in ids))
        [count] = self._db.execute(f"SELECT count(*) {_UNKNOWN}").fetchone()
        if not count:
            return
        unknown = [id_ for (id_,) in self._db.execute(f"SELECT id {_UNKNOWN} ORDER BY rowid LIMIT {SHOWN}")]
        if count == 1:
            from pipeline.texts import nearest_few  # loads the configuration, which not every caller needs

            near = nearest_few(unknown[0], self.ids_near(unknown[0], "manifest.scan", "utterances"))
            hint = f"; did you mean {' or '.join(map(shown_id, near))}?" if near else ""
            raise ManifestError(f"{manifest}: no row has the id {shown_id(unknown[0])}, nothing was sent{hint}")
        more = f" and {count - len(unknown):,} more" if count > len(unknown) else ""
        shown = ", ".join(map(shown_id, unknown))
        raise ManifestError(
            f"{manifest}: {count:,} ids that were asked for are in no row, nothing was sent: {shown}{more}"
        )


def merge_scan(connection: sqlite3.Connection, only: Sequence[str]) -> None:
    """Updates the checkpoint from the scan, in one transaction, and selects what this run does.

    Unchanged rows are not written, so that a run with nothing new costs only a comparison.
    """
    before = connection.total_changes
    with transaction(connection):
        # a row with requests and no outcome was tried by the run that sent them
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
        _adopt_other_names(connection)
        connection.execute(
            # a new row is inserted as selected: an update of a million rows would cost as much as the insert
            f"""INSERT INTO utterances (id, row, state, selected, expected_s, size, version, config_hash, manifest,
                    remote_span)
                SELECT id, row, state, n IS NULL AND failure IS NULL AND ({where_asked(only)}),
                       expected_s, size, version, config_hash, seen_by, remote_span
                FROM (SELECT s.*, {KNOWN}, u.n, m.n AS seen_by,
                             NOT {SAME} OR u.row <> s.row OR u.vanished OR u.gone OR u.manifest IS NOT m.n AS differs
                      {JOIN} JOIN (SELECT * {THIS}) m ON m.by_path = s.by_path AND m.source = s.source)
                WHERE n IS NULL OR differs
                ON CONFLICT (id) DO UPDATE SET row = excluded.row, state = excluded.state, vanished = 0,
                    removed = NULL,
                    manifest = excluded.manifest, remote_span = excluded.remote_span,
                    refresh = refresh OR (done_audio IS NOT NULL AND row <> excluded.row),
                    other_path = other_path OR (done_audio IS NOT NULL AND {_OTHER_PATH}),
                    gone = {_KEEPS}, expected_s = iif({_KEEPS}, expected_s, excluded.expected_s),
                    size = iif({_KEEPS}, size, excluded.size), version = iif({_KEEPS}, version, excluded.version),
                    config_hash = iif({_KEEPS}, config_hash, excluded.config_hash)"""  # noqa: S608 fixed texts
        )
        connection.execute(
            """INSERT OR REPLACE INTO failures SELECT u.n, s.failure, s.error, s.first_seen
               FROM manifest.scan s JOIN utterances u USING (id) WHERE s.failure IS NOT NULL"""
        )
        bad = f"utterances WHERE {_REMOVED_BAD}"
        connection.execute(f"DELETE FROM failures WHERE n IN (SELECT n FROM {bad})", (BAD_ROW,))  # noqa: S608 fixed texts
        connection.execute(f"DELETE FROM {bad}", (BAD_ROW,))  # noqa: S608 fixed texts
        connection.execute(
            f"""UPDATE utterances SET vanished = iif({ASKED}, {Seen.REMOVED:d}, {Seen.ELSEWHERE:d}),
                    removed = iif({ASKED}, {NOW}, NULL)
                WHERE NOT vanished AND n IN (SELECT n FROM manifest.missed) AND {NOT_SCANNED}"""  # noqa: S608 fixed texts
        )
        connection.execute(
            f"""UPDATE utterances SET vanished = {Seen.REMOVED:d}, removed = {NOW}
                WHERE vanished = {Seen.ELSEWHERE:d} AND {ASKED} AND {NOT_SCANNED}"""  # noqa: S608 fixed texts
        )
        connection.execute(
            f"""UPDATE utterances SET selected = 1
                WHERE NOT selected AND NOT vanished AND NOT gone AND config_hash <> ? AND ({where_asked(only)})""",  # noqa: S608 fixed texts
            (BAD_ROW,),
        )
        if connection.total_changes != before:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, 1)", (ERRORS_STALE,))
    connection.execute(DROP_SCAN)


def _adopt_other_names(connection: sqlite3.Connection) -> None:
    """Gives rows that the manifest had under another name to its current name."""
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
    """Replaces hashes of settings as they were written by those of their canonical form. `done_config` stays as in the
    published transcript until `refresh` rewrites that."""
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
