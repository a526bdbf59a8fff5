"""Reads transcripts of earlier runs: from the checkpoint, a part, or the JSONL.

A part that is asked for again is unpacked into a temporary database, so that a run that needs a few
transcripts of every part again and again reads each part twice at most.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.checkpoint import Identity, Stored
from pipeline.checkpoint.replaced import packed, unpacked
from pipeline.model import Transcript
from pipeline.sink import Sink


class StoredTranscripts:
    """Reads for one run. Methods raise OutputError."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._asked: set[int] = set()
        self._checked: set[int] = set()
        self._unpacked_to: dict[int, int] = {}
        """How much of a part is unpacked: of the JSONL (0) so many bytes, of any other all of it."""
        self._unpacked: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    async def read(self, stored: Sequence[Stored]) -> list[Transcript | None]:
        """The transcripts in the order of `stored`; None for those that cannot be found."""
        return await asyncio.to_thread(self._read, stored)

    async def read_of(self, stored: dict[Identity, Stored]) -> dict[Identity, Transcript]:
        """The transcripts by identity. A row whose transcript was replaced meanwhile is left out."""
        found = zip(stored, await self.read([*stored.values()]), strict=True)
        return {identity: row for identity, row in found if row is not None and Identity.of(row) == identity}

    async def check(self, parts: Iterable[int], rows: Mapping[int, int]) -> None:
        """Raises OutputError where one of the parts has other rows than it had."""
        for part in set(parts) - self._checked:
            self._checked.add(part)
            await asyncio.to_thread(deque, self._sink.rows(part, had=rows.get(part, 0)), 0)

    def close(self) -> None:
        """Removes what was unpacked."""
        if self._unpacked is not None:
            self._unpacked.close()

    def _read(self, stored: Sequence[Stored]) -> list[Transcript | None]:
        by_part: dict[int, set[str]] = defaultdict(set)
        for one in stored:
            if one.transcript is None and one.part is not None:
                by_part[one.part].add(one.id)
        with self._lock:
            found = {part: self._in_part(part, ids) for part, ids in by_part.items()}
        return [_of(one, found) for one in stored]

    def _in_part(self, part: int, ids: set[str]) -> dict[str, Transcript]:
        if part and part not in self._asked:
            self._asked.add(part)
            return {row.id: row for row in self._sink.rows(part, ids.intersection)}
        db = self._unpack(part)
        query = "SELECT row FROM rows WHERE part = ? AND id = ?"
        found = ((id_, db.execute(query, (part, id_)).fetchone()) for id_ in ids)
        return {id_: unpacked(row[0]) for id_, row in found if row is not None}

    def _unpack(self, part: int) -> sqlite3.Connection:
        db = self._unpacked
        if db is None:
            db = self._unpacked = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            db.execute("CREATE TABLE rows (part INTEGER, id TEXT, row BLOB, PRIMARY KEY (part, id)) WITHOUT ROWID")
        done = self._unpacked_to.get(part, 0)
        with db:  # a damaged row ends it
            db.execute("BEGIN")
            for end, row in self._not_unpacked(part, done):
                done = end
                db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (part, row.id, packed(row)))
        self._unpacked_to[part] = done
        return db

    def _not_unpacked(self, part: int, done: int) -> Iterator[tuple[int, Transcript]]:
        """Rows that are not unpacked, each with how much is then. Rows are appended to the JSONL while a run goes on; a
        part stays as it is."""
        if part:
            return iter(()) if done else enumerate(self._sink.rows(part), 1)
        return iter(()) if self._sink.lines.size() == done else self._sink.lines.rows_behind(done)


def _of(stored: Stored, found: Mapping[int, Mapping[str, Transcript]]) -> Transcript | None:
    """The transcript: the stored one, or what was `found` in its part."""
    if stored.transcript is not None or stored.part is None:
        return stored.transcript
    row = found[stored.part].get(stored.id)
    return None if row is None else stored.read(row)
