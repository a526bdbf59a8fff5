"""Reads a manifest into temporary tables beside the checkpoint, which stays unchanged.

Unchanged rows are recognized by `walk` and not stored; the others stream into a table, so that memory does not grow
with rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing

import msgspec

from pipeline.built import built
from pipeline.checkpoint.codec import decode_utterance, encode
from pipeline.checkpoint.connection import Database, reads, transaction
from pipeline.checkpoint.schema import UNKNOWN, UNREADABLE
from pipeline.checkpoint.walk import Compared, Walk
from pipeline.model import Failure, NamedByPath, Utterance

UNSEEN = -1
"""The number of a manifest that was never scanned: no row has it, and rows of older versions have NULL."""
THIS = "FROM manifests JOIN manifest.name USING (name)"
"""The manifests of the scan that the checkpoint knows, also under other names."""
NOT_KEPT = "vanished OR n IN (SELECT n FROM manifest.missed)"
"""Known rows that the scan did not find unchanged."""
# `scan`: new or changed rows; `missed`: known rows that are changed or no longer there; `named`: ids that the user asks
# for; `name`: current and other names of the scanned manifests, numbered by `source`. They are in a separate database,
# so that planning works with a read-only checkpoint, and dropping them costs nothing.
_TABLES = """
CREATE TABLE manifest.scan (
    id          TEXT    NOT NULL,
    row         BLOB    NOT NULL,
    line        INTEGER,
    expected_s  REAL    NOT NULL,
    size        INTEGER,
    version     TEXT,
    config_hash TEXT    NOT NULL,
    written     TEXT,
    by_path     INTEGER NOT NULL,
    failure     BLOB,
    error       TEXT,
    first_seen  REAL,
    remote_span INTEGER NOT NULL,
    source      INTEGER NOT NULL
);
CREATE TABLE manifest.missed (n INTEGER PRIMARY KEY);
CREATE TABLE manifest.named (id TEXT NOT NULL UNIQUE);
CREATE TABLE manifest.name (name TEXT NOT NULL, source INTEGER NOT NULL, is_its_own INTEGER NOT NULL);
"""
DROP_SCAN = "DETACH manifest"


@built
class _Path(msgspec.Struct, frozen=True):
    """The path of an utterance, which is all that is decoded of it."""

    audio: str


_path = msgspec.msgpack.Decoder(_Path).decode


def _audio_of(row: bytes | None) -> str | None:
    """For SQL: the path in an encoded utterance; "" where it is damaged, which is reported when it is decoded."""
    if row is None:
        return None
    try:
        return _path(row).audio
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):  # a TypeError: not even bytes
        return ""


def _span_of(row: bytes) -> str:
    """For SQL: the span and channel of an encoded utterance; "" where it is damaged."""
    try:
        utterance = decode_utterance(row)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return ""
    return f"{utterance.offset_s} {utterance.duration_s} {utterance.channel}"


class ScannedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest row, with its recording's version and its settings."""

    utterance: Utterance
    config_hash: str
    expected_s: float
    """An estimate of the seconds of audio, for the order of work and the progress bar only."""
    version: str | None
    """Changes with the content; None where there is no recording, UNREADABLE where it cannot be found out, UNKNOWN
    where its source did not answer."""
    size: int | None
    """Bytes, where known: recordings are compared by them."""
    written_hash: str | None = None
    """The config_hash that versions before the canonical form computed for the same settings; None if it is equal."""
    remote_span: bool = False
    """It is a span of a recording that has to be fetched: rows of one are sent together."""
    failure: Failure | None = None
    """Set for a row that was skipped as invalid: it is in errors.*, and is never sent."""
    source: int = 0
    """The number of its manifest in the scan."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The place of a row of the scan."""

    source: int
    """The number of its manifest in the scan."""
    line: int | None
    audio: str


class Repeated(msgspec.Struct, frozen=True, kw_only=True):
    """An id that several rows have."""

    id: str
    places: list[Place]


class Scope:
    """What a scan covers: here whole manifests, all of them folders."""

    def asks_for(self, manifest: str | None, id_: str) -> bool:
        """Whether the scan covers an id of a manifest."""
        return True

    def is_folder(self, manifest: str) -> bool:
        """Whether the rows of a manifest are files of a folder, which may disappear with an unmounted disk."""
        return True


WHOLE = Scope()


class Scanning(Database):
    """Scanning of manifests."""

    @reads
    def scan(self, rows: Iterable[ScannedRow], *manifests: str, scope: Scope = WHOLE) -> list[Repeated]:
        """Reads the rows of manifests into the scan's tables; returns ids that several rows have (at most 100).

        `manifests` are their names: each row stores in which one it was last seen.
        """
        db = self._db
        db.create_function("audio_of", 1, _audio_of, deterministic=True)
        db.create_function("asks_for", 2, scope.asks_for)
        db.create_function("is_folder", 1, scope.is_folder)
        attach_scan(db)
        db.executescript(_TABLES)
        db.executemany("INSERT INTO manifest.name VALUES (?, ?, 1)", ((name, n) for n, name in enumerate(manifests)))
        numbers = {(source, bool(by_path)): n for source, by_path, n in db.execute(f"SELECT source, by_path, n {THIS}")}
        with (
            transaction(db, "DEFERRED"),  # locks nothing in the checkpoint, so that a run beside a check can write
            closing(Walk(db)) as walk,
        ):
            db.executemany(
                "INSERT INTO manifest.scan VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", _changed(rows, walk, numbers)
            )
            walk.note_missed()
            _keep_versions(db)
        db.execute("CREATE INDEX manifest.scan_id ON scan (id)")
        if len(manifests) > 1:
            _drop_duplicates(db)
        return _repeated(db, walk)


def _keep_versions(db: sqlite3.Connection) -> None:
    """Gives rows whose source did not answer the versions that are known: what is done stays done."""
    db.execute(
        f"""UPDATE manifest.scan AS s SET (version, size) = (coalesce(u.version, '{UNREADABLE}'), u.size)
            FROM utterances u WHERE s.version = '{UNKNOWN}' AND u.id = s.id AND audio_of(u.row) = audio_of(s.row)"""  # noqa: S608 fixed texts
    )
    db.execute(f"UPDATE manifest.scan SET version = '{UNREADABLE}' WHERE version = '{UNKNOWN}'")  # noqa: S608 fixed texts


def attach_scan(db: sqlite3.Connection) -> None:
    """Attaches an empty temporary database `manifest`, which SQLite deletes when it is detached."""
    if any(name == "manifest" for _, name, _ in db.execute("PRAGMA database_list").fetchall()):
        db.execute(DROP_SCAN)
    db.execute("ATTACH '' AS manifest")


def _changed(
    rows: Iterable[ScannedRow], walk: Walk, manifests: Mapping[tuple[int, bool], int]
) -> Iterator[tuple[object, ...]]:
    """Column values of the new and changed rows. `manifests`: numbers in the checkpoint by (source, by_path)."""
    replace, is_unchanged = msgspec.structs.replace, walk.is_unchanged
    failed: tuple[bytes | None, str | None, float | None]
    for row in rows:
        utterance, failure, source = row.utterance, row.failure, row.source
        # without its line: a row that only moved within the manifest is unchanged
        encoded = encode(replace(utterance, line=None))
        by_path = isinstance(utterance, NamedByPath)
        seen: Compared = (encoded, row.version, row.config_hash, manifests.get((source, by_path), UNSEEN))
        if failure is None:
            if is_unchanged(utterance.id, seen, utterance.line):
                continue
            failed = None, None, None
        else:
            failed = encode(failure), failure.error, failure.first_seen.timestamp()
        yield (
            *(utterance.id, encoded, utterance.line, row.expected_s, row.size, row.version, row.config_hash),
            *(row.written_hash, by_path, *failed, row.remote_span, source),
        )


def _drop_duplicates(connection: sqlite3.Connection) -> None:
    """Deletes rows that another manifest has too: the same id, path, span and channel."""
    connection.create_function("span_of", 1, _span_of, deterministic=True)
    same = "audio_of({0}.row) = audio_of(s.row) AND span_of({0}.row) = span_of(s.row)"
    connection.execute(
        f"""DELETE FROM manifest.scan AS s WHERE failure IS NULL AND (
            EXISTS (SELECT 1 FROM manifest.scan f WHERE f.id = s.id AND f.rowid < s.rowid AND f.source <> s.source
                    AND f.failure IS NULL AND {same.format("f")})
            OR EXISTS (SELECT 1 FROM utterances u WHERE u.id = s.id AND NOT ({NOT_KEPT}) AND {same.format("u")}
                       AND u.manifest NOT IN (SELECT n {THIS} WHERE source = s.source)))"""  # noqa: S608 fixed texts
    )


def _repeated(connection: sqlite3.Connection, walk: Walk) -> list[Repeated]:
    """Ids of several rows of the scan, or of a row of the scan and an unchanged one."""
    places: dict[str, list[Place]] = {}
    known: dict[str, Place] = {}
    for id_, source, line, audio, n, known_source, known_audio in connection.execute(
        f"""SELECT s.id, s.source, s.line, audio_of(s.row), u.n,
                   (SELECT source {THIS} WHERE manifests.n = u.manifest), audio_of(u.row)
            FROM (SELECT s.id FROM manifest.scan s LEFT JOIN utterances u ON u.id = s.id AND NOT ({NOT_KEPT})
                  GROUP BY s.id HAVING count(*) > 1 OR u.n IS NOT NULL ORDER BY min(s.rowid) LIMIT 100) r
            JOIN manifest.scan s USING (id) LEFT JOIN utterances u ON u.id = s.id AND NOT ({NOT_KEPT})
            ORDER BY s.rowid"""  # noqa: S608 fixed texts
    ):
        places.setdefault(id_, []).append(Place(source=source, line=line, audio=audio))
        if n is not None:
            known[id_] = Place(source=known_source or 0, line=walk.line_of(n), audio=known_audio)
    repeated = []
    for id_, found in places.items():
        if id_ in known:
            found.append(known[id_])
        repeated.append(Repeated(id=id_, places=sorted(found, key=_in_order)))
    return sorted(repeated, key=lambda one: _in_order(one.places[0]))


def _in_order(place: Place) -> tuple[int, int]:
    return place.source, place.line or 0
