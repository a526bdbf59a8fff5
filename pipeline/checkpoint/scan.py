"""The manifest taken in: what of it is not plainly as it was goes into the scan's own tables.

Rows that are as they were are told by `walk` and cost no more than that; the others stream into a temporary table, so
that memory does not grow with rows. The checkpoint itself stays as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing

import msgspec

from pipeline.built import built
from pipeline.checkpoint.schema import transaction
from pipeline.checkpoint.tables import DROP_SCAN, SCAN_TABLES
from pipeline.checkpoint.walk import Compared, Walk
from pipeline.model import Failure, NamedByPath, Utterance

UNREADABLE = -1
"""The size of a file that the system does not tell."""
UNSEEN = -1
"""The number of a manifest that was never taken in: no row has it, and those of an older version have none at all."""
THIS = "FROM manifests JOIN manifest.name USING (name)"
"""The manifest of the scan, where it is known, also under other names."""
NOT_KEPT = "vanished OR n IN (SELECT n FROM manifest.rest)"
"""Known rows that the scan did not find as they were."""


@built
class _Path(msgspec.Struct, frozen=True):
    """Of an utterance nothing but where its recording lies."""

    audio: str


_path = msgspec.msgpack.Decoder(_Path).decode


def _audio_of(row: bytes | None) -> str | None:
    """For SQL: the path in an encoded utterance; of one that cannot be read, which whoever decodes it will tell, no
    path that there is."""
    if row is None:
        return None
    try:
        return _path(row).audio
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):  # a TypeError: not even bytes
        return ""


class ScannedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest row with what the file system and the configuration say about it."""

    utterance: Utterance
    config_hash: str
    expected_s: float
    """Expected seconds of audio: for the order of work and the progress bar only."""
    size: int | None
    """Bytes; None where there is no file, UNREADABLE where the system does not say."""
    mtime_ns: int | None
    written_hash: str | None = None
    """The config_hash that versions before the canonical form gave the same settings, where it is another."""
    failure: Failure | None = None
    """Set for a row that was skipped as bad: it is in the errors and is never sent."""


def scan_manifest(
    connection: sqlite3.Connection, rows: Iterable[ScannedRow], manifest: str
) -> list[tuple[str, list[int]]]:
    """Fills the scan tables and returns ids that several rows claim, with the lines they stand on (at most 100).

    `manifest` is its name: a row remembers which manifest saw it last.
    """
    connection.create_function("audio_of", 1, _audio_of, deterministic=True)
    if any(name == "manifest" for _, name, _ in connection.execute("PRAGMA database_list").fetchall()):
        connection.execute(DROP_SCAN)
    connection.executescript(SCAN_TABLES)
    connection.execute("INSERT INTO manifest.name VALUES (?, 1)", (manifest,))
    numbers = dict(connection.execute(f"SELECT by_path, n {THIS}").fetchall())
    with (
        transaction(connection, "DEFERRED"),  # it writes no table of the checkpoint, and a run beside a check writes on
        closing(Walk(connection)) as walk,
    ):
        connection.executemany(
            "INSERT INTO manifest.scan VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", _not_as_it_was(rows, walk, numbers)
        )
        walk.note_missed()
    connection.execute("CREATE INDEX manifest.scan_id ON scan (id)")
    return _repeated(connection, walk)


def _not_as_it_was(
    rows: Iterable[ScannedRow], walk: Walk, manifests: Mapping[bool, int]
) -> Iterator[tuple[object, ...]]:
    """The values of the rows that `walk` does not know. `manifests` are the numbers of the one that is read."""
    encode, replace, knows = msgspec.msgpack.encode, msgspec.structs.replace, walk.knows
    told: tuple[bytes | None, str | None, float | None]
    for row in rows:
        utterance, failure = row.utterance, row.failure
        # without its line: a row that only moved within the manifest is the row it was
        encoded = encode(replace(utterance, line=None))
        by_path = isinstance(utterance, NamedByPath)
        seen: Compared = (encoded, row.size, row.mtime_ns, row.config_hash, manifests.get(by_path, UNSEEN))
        if failure is None:
            if knows(utterance.id, seen, utterance.line):
                continue
            told = None, None, None
        else:
            told = encode(failure), failure.error, failure.first_seen.timestamp()
        yield utterance.id, encoded, utterance.line, row.expected_s, *seen[1:4], row.written_hash, by_path, *told


def _repeated(connection: sqlite3.Connection, walk: Walk) -> list[tuple[str, list[int]]]:
    """Ids that rows of the scan share with each other, or with a row that is as it was."""
    found = connection.execute(
        f"""SELECT s.id, group_concat(s.line), u.n FROM manifest.scan s
            LEFT JOIN utterances u ON u.id = s.id AND NOT ({NOT_KEPT})
            GROUP BY s.id HAVING count(*) > 1 OR u.n IS NOT NULL ORDER BY min(s.line) LIMIT 100"""  # noqa: S608 fixed texts
    )
    repeated = []
    for id_, told, n in found:
        lines = [int(line) for line in (told or "").split(",") if line]
        if n is not None and (line := walk.line_of(n)) is not None:
            lines.append(line)
        repeated.append((id_, sorted(lines)))
    return sorted(repeated, key=lambda one: one[1][:1])
