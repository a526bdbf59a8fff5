"""Transcripts of done utterances, wherever they are: still in the checkpoint, or in a part or the JSONL.

Reads the output folder. A part that is asked for again is unpacked into a database of its own, which the system takes
away with this process: rows that change places ask for a few transcripts of every part, over and over.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence

from pipeline.checkpoint import Identity, Stored
from pipeline.checkpoint.replaced import packed, unpacked
from pipeline.model import Transcript
from pipeline.sink import Sink


class Published:
    """Reads transcripts back for one run."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._asked: set[int] = set()
        self._unpacked: set[int] = set()
        self._db: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    async def read(self, stored: Sequence[Stored]) -> list[Transcript | None]:
        """The transcripts in the order of `stored`; None for those that cannot be found."""
        return await asyncio.to_thread(self._read, stored)

    async def read_of(self, stored: dict[Identity, Stored]) -> dict[Identity, Transcript]:
        """The transcripts by what they answer to. A row that has got another transcript meanwhile is left out."""
        found = await self.read([*stored.values()])
        return {
            identity: transcript
            for identity, transcript in zip(stored, found, strict=True)
            if transcript is not None and Identity.of(transcript) == identity
        }

    async def check(self, parts: Iterable[int], rows: Mapping[int, int]) -> None:
        """Raises OutputError where one of the parts has other rows than it had."""
        for part in set(parts):
            await asyncio.to_thread(deque, self._sink.part(part, rows.get(part, 0)), 0)

    def close(self) -> None:
        """Lets go of what was unpacked."""
        if self._db is not None:
            self._db.close()

    def _read(self, stored: Sequence[Stored]) -> list[Transcript | None]:
        by_part: dict[int, set[str]] = defaultdict(set)
        for one in stored:
            if one.transcript is None and one.part is not None:
                by_part[one.part].add(one.id)
        with self._lock:
            known = {part: self._in_part(part, ids) for part, ids in by_part.items()}
        return [
            one.transcript if one.transcript is not None or one.part is None else known[one.part].get(one.id)
            for one in stored
        ]

    def rewritten(self, parts: Iterable[int]) -> None:
        """These parts are no longer what they were when they were unpacked."""
        self._unpacked.difference_update(parts)

    def _in_part(self, part: int, ids: set[str]) -> dict[str, Transcript]:
        if part not in self._asked:
            self._asked.add(part)
            return self._sink.read(ids, part)
        found = self._unpack(part, ids)
        if missing := ids - found.keys():  # rows that were added since
            found |= self._sink.read(missing, part)
        return found

    def _unpack(self, part: int, ids: set[str]) -> dict[str, Transcript]:
        if self._db is None:
            self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._db.execute(
                "CREATE TABLE rows (part INTEGER, id TEXT, row BLOB, PRIMARY KEY (part, id)) WITHOUT ROWID"
            )
        if part not in self._unpacked:
            self._unpacked.add(part)
            rows = self._sink.part(part) if part else self._sink.lines()
            values = ((part, row.id, packed(row)) for row in rows)
            with self._db:  # a damaged line ends it
                self._db.execute("BEGIN")
                self._db.execute("DELETE FROM rows WHERE part = ?", (part,))
                self._db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", values)
        found = {}
        for id_ in ids:
            row = self._db.execute("SELECT row FROM rows WHERE part = ? AND id = ?", (part, id_)).fetchone()
            if row is not None:
                found[id_] = unpacked(row[0])
        return found
