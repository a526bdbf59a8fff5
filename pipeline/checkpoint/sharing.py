"""Rows of a scan whose ids another manifest had last: which manifest, and whether the audio is the same.

Reads beside a scan; `take_over` writes into the scan's own tables only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

import msgspec

from pipeline.checkpoint.schema import Seen
from pipeline.checkpoint.tables import BAD_ROW
from pipeline.model import Utterance

_decode = msgspec.msgpack.Decoder(Utterance).decode
_SHARED = f"""FROM manifest.scan s JOIN utterances u USING (id) JOIN manifests m ON m.n = u.manifest
    WHERE m.name NOT IN (SELECT name FROM manifest.name) AND s.failure IS NULL AND u.config_hash <> '{BAD_ROW}'"""  # noqa: S608 fixed texts


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """Another manifest that had some of the scan's ids last."""

    name: str
    known: int
    """Rows that it had when it was read last."""
    shared: int
    """Those of them that are in the scan, and …"""
    same_size: int
    """… whose file is as long as it was."""


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was sent for another manifest, and is of another path in the scan."""

    manifest: str
    before: Utterance
    now: Utterance
    same_size: bool
    same_time: bool
    audio_hash: str | None
    """Of the audio that its transcript answers to."""


def manifests(connection: sqlite3.Connection) -> list[str]:
    """The names of all manifests that rows came from."""
    return [name for (name,) in connection.execute("SELECT DISTINCT name FROM manifests")]


def shared(connection: sqlite3.Connection) -> list[Shared]:
    """The other manifests."""
    found = connection.execute(
        f"SELECT m.name, count(*), sum(u.size IS s.size AND s.size IS NOT NULL) {_SHARED} GROUP BY m.name"
    ).fetchall()
    known = f"""SELECT count(*) FROM utterances WHERE manifest IN (SELECT n FROM manifests WHERE name = ?)
        AND vanished <> {Seen.VANISHED:d} AND config_hash <> '{BAD_ROW}'"""  # noqa: S608 fixed texts
    return [
        Shared(name=name, known=connection.execute(known, (name,)).fetchone()[0], shared=count, same_size=same)
        for name, count, same in found
    ]


def claimed(connection: sqlite3.Connection) -> Iterator[Claimed]:
    """Rows of other manifests that something was paid for, and that are of another path in the scan."""
    found = connection.execute(
        f"""SELECT m.name, u.row, s.row, u.size IS s.size, u.mtime_ns IS s.mtime_ns, u.done_audio {_SHARED}
            AND u.row <> s.row AND u.vanished <> {Seen.VANISHED:d} AND (u.done_audio IS NOT NULL OR u.attempts)
            ORDER BY s.rowid"""
    )
    for manifest, before, now, same_size, same_time, audio_hash in found:
        one = Claimed(
            manifest=manifest,
            before=_decode(before),
            now=_decode(now),
            same_size=bool(same_size),
            same_time=bool(same_time),
            audio_hash=audio_hash,
        )
        if one.before.audio != one.now.audio:
            yield one


def take_over(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    """These are other names of the manifest of the scan: their rows are its own."""
    connection.executemany("INSERT INTO manifest.name VALUES (?, 0)", ((name,) for name in names))
