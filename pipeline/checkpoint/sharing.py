"""Queries on manifests that share one output: rows of a scan whose ids were last seen in another manifest."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from pipeline.checkpoint.codec import decode_utterance
from pipeline.checkpoint.connection import Database, reads
from pipeline.checkpoint.schema import BAD_ROW, UNKNOWN, UNREADABLE, Seen
from pipeline.checkpoint.sqlite_errors import translated
from pipeline.model import Utterance
from pipeline.source.addresses import OBJECTS, is_address, scheme_of

SAMPLES = 16
"""How many rows of another manifest are searched for."""
CANDIDATES = 4
"""How many recordings of the same size are compared for each."""
UNTOLD = (None, UNREADABLE, UNKNOWN)
"""Versions of recordings of which nothing is known."""
_SHARED = f"""FROM manifest.scan s JOIN utterances u USING (id) JOIN manifests m ON m.n = u.manifest
    WHERE m.name NOT IN (SELECT name FROM manifest.name) AND s.failure IS NULL AND u.config_hash <> '{BAD_ROW}'"""  # noqa: S608 fixed texts


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A transcribed row of another manifest, and recordings of the scan that may be the same, by size."""

    audio_hash: str
    audio: Sequence[str]
    """Paths and addresses, the likeliest first."""
    is_here: bool
    """Whether the scan has its address, with the version that it had; or elsewhere in object stores a copy, which has
    the same version."""
    here: str | None
    """The path of its id in the scan, if any."""
    is_missing: bool
    """Whether that path has the same file name and no file."""


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was sent for another manifest, and has another path or span in the scan."""

    manifest: str
    source: int
    """The number of the manifest in the scan that has it now."""
    before: Utterance
    now: Utterance
    same_size: bool
    is_copy: bool
    """Whether both are objects in stores with the same version, so that their content is the same."""
    audio_hash: str | None
    """Of its transcript."""


class Sharing(Database):
    """Manifests that share an output. All methods but `manifests` need a scan."""

    @reads
    def manifests(self) -> list[str]:
        """The names of all known manifests."""
        return [name for (name,) in self._db.execute("SELECT DISTINCT name FROM manifests")]

    @reads
    def manifests_sharing_ids(self) -> list[str]:
        """The names of other manifests that ids of the scan were last seen in."""
        return [name for (name,) in self._db.execute(f"SELECT DISTINCT m.name {_SHARED}").fetchall()]

    @reads
    def samples_of(self, name: str) -> list[Sample]:
        """Transcribed rows of another manifest, evenly spread."""
        rows = f"""FROM utterances WHERE manifest IN (SELECT n FROM manifests WHERE name = ?)
            AND vanished <> {Seen.REMOVED:d} AND done_audio IS NOT NULL"""  # noqa: S608 fixed texts
        [count] = self._db.execute(f"SELECT count(*) {rows}", (name,)).fetchone()
        found = self._db.execute(
            f"""SELECT id, row, size, version, done_audio FROM (SELECT *, row_number() OVER (ORDER BY n) AS k {rows})
                WHERE k % ? = 0 LIMIT ?""",  # noqa: S608 fixed texts
            (name, max(1, math.ceil(count / SAMPLES)), SAMPLES),
        ).fetchall()
        same_sizes: dict[int, list[str]] = defaultdict(list)
        by_name: dict[tuple[int, str], str] = {}
        formerly = [decode_utterance(row).audio for _, row, *_ in found]
        remote = {audio: None for audio in formerly if is_address(audio)}
        """The versions that their addresses have here."""
        stored = {
            (size, known)
            for audio, (_, _, size, known, _) in zip(formerly, found, strict=True)
            if in_store(audio) and known not in UNTOLD
        }
        copied: set[tuple[int, str]] = set()
        """Those `stored` that an object here has."""
        sizes = {size for _, _, size, _, _ in found}
        for size, audio, version in self._db.execute(
            f"SELECT size, audio_of(row), version FROM manifest.scan WHERE size IN ({', '.join('?' * len(sizes))})",  # noqa: S608 fixed texts
            (*sizes,),
        ):
            if audio in remote:
                remote[audio] = version
            if (size, version) in stored and in_store(audio):
                copied.add((size, version))
            by_name[size, os.path.basename(audio)] = audio  # noqa: PTH119 a Path object per row would cost more
            if len(same_sizes[size]) < CANDIDATES:
                same_sizes[size].append(audio)
        samples = []
        for former, (id_, _, size, known, audio_hash) in zip(formerly, found, strict=True):
            same_id, same_size, version = self._db.execute(
                "SELECT audio_of(row), size, version FROM manifest.scan WHERE id = ?", (id_,)
            ).fetchone() or (None, None, None)
            name = os.path.basename(former)  # noqa: PTH119
            there = version if same_id == former else remote.get(former)
            is_there = there is not None and (known in UNTOLD or there in UNTOLD or there == known)
            same_name = by_name.get((size, name))
            # the size is unknown after a rebuild
            likely = [same_id if size in (None, same_size) else None, same_name, *same_sizes[size]]
            samples.append(
                Sample(
                    audio_hash=audio_hash,
                    audio=list(dict.fromkeys(audio for audio in likely if audio is not None)),
                    here=same_id,
                    is_here=is_address(former) and (is_there or (in_store(former) and (size, known) in copied)),
                    is_missing=same_id is not None and version is None and os.path.basename(same_id) == name,  # noqa: PTH119
                )
            )
        return samples

    @reads
    def share_of_ids(self, name: str) -> float:
        """The share of rows of another manifest whose ids are in the scan, from 0 to 1."""
        [share] = self._db.execute(
            f"""SELECT avg(id IN (SELECT id FROM manifest.scan)) FROM utterances
                WHERE manifest IN (SELECT n FROM manifests WHERE name = ?) AND vanished <> {Seen.REMOVED:d}""",  # noqa: S608 fixed texts
            (name,),
        ).fetchone()
        return share or 0.0

    def claimed(self) -> Iterator[Claimed]:
        """Rows sent for other manifests that have another path or span in the scan."""
        with translated(self.path):
            found = self._db.execute(
                f"""SELECT m.name, s.source, u.row, s.row, u.size IS s.size, u.version, s.version, u.done_audio
                    {_SHARED}
                    AND u.row <> s.row AND u.vanished <> {Seen.REMOVED:d} AND (u.done_audio IS NOT NULL OR u.attempts)
                    ORDER BY s.rowid"""
            )
            for manifest, source, former, row, same_size, version, version_now, audio_hash in found:
                before, now = decode_utterance(former), decode_utterance(row)
                is_known = version == version_now and version not in UNTOLD
                one = Claimed(
                    manifest=manifest,
                    source=source,
                    before=before,
                    now=now,
                    same_size=bool(same_size),
                    is_copy=is_known and in_store(before.audio) and in_store(now.audio),
                    audio_hash=audio_hash,
                )
                if one.before.audio != one.now.audio or span_of(one.before) != span_of(one.now):
                    yield one

    @reads
    def also_named(self, names: Iterable[tuple[str, int]]) -> None:
        """Records other names of manifests of the scan, as (name, number): rows of these names are theirs."""
        self._db.executemany("INSERT INTO manifest.name VALUES (?, ?, 0)", names)


def in_store(audio: str) -> bool:
    """Whether it is an object in a store: there the version is a hash of the content, or unlike all others."""
    return scheme_of(audio) in OBJECTS


def span_of(utterance: Utterance) -> tuple[float, float | None, int | None]:
    """The span and channel of a row."""
    return utterance.offset_s, utterance.duration_s, utterance.channel
