"""Utterances that are asked for by their ids, beside a scan: the plan selects no others then."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from pipeline.checkpoint.one import ids_near
from pipeline.checkpoint.schema import transaction
from pipeline.errors import ManifestError
from pipeline.texts import nearest_few, shown_id

SHOWN = 5
IS_NAMED = "(NOT EXISTS (SELECT 1 FROM manifest.named) OR id IN (SELECT id FROM manifest.named))"
"""Whether a row is asked for by its id, or none is."""
_UNKNOWN = """FROM manifest.named d WHERE NOT EXISTS (SELECT 1 FROM manifest.scan s WHERE s.id = d.id)
    AND NOT EXISTS (SELECT 1 FROM utterances u WHERE u.id = d.id AND NOT u.vanished
        AND u.n NOT IN (SELECT n FROM manifest.rest))"""


def name_ids(connection: sqlite3.Connection, ids: Iterable[str], manifest: str) -> None:
    """Has the plan select only rows of these ids. Raises ManifestError where the scanned manifest lacks some."""
    with transaction(connection, "DEFERRED"):
        connection.executemany("INSERT OR IGNORE INTO manifest.named VALUES (?)", ((id_,) for id_ in ids))
    [count] = connection.execute(f"SELECT count(*) {_UNKNOWN}").fetchone()
    if not count:
        return
    unknown = [id_ for (id_,) in connection.execute(f"SELECT id {_UNKNOWN} ORDER BY rowid LIMIT {SHOWN}")]
    if count == 1:
        near = nearest_few(unknown[0], ids_near(connection, unknown[0], "manifest.scan", "utterances"))
        meant = f"; did you mean {' or '.join(map(shown_id, near))}?" if near else ""
        raise ManifestError(f"{manifest}: no row has the id {shown_id(unknown[0])}, nothing was sent{meant}")
    more = f" and {count - len(unknown):,} more" if count > len(unknown) else ""
    told = ", ".join(map(shown_id, unknown))
    raise ManifestError(f"{manifest}: {count:,} ids that were asked for are in no row, nothing was sent: {told}{more}")
