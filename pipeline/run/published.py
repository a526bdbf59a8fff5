"""Transcripts of done utterances, wherever they are: still in the checkpoint, or in a part or the JSONL.

Reads the output folder. A part that is asked for again is unpacked into a database of its own, which the system takes
away with this process: rows that change places ask for a few transcripts of every part, over and over.
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


class Published:
    """Reads transcripts back for one run."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._asked: set[int] = set()
        self._checked: set[int] = set()
        self._read_to: dict[int, int] = {}
        """Parts that are unpacked, and how much of them: a part as a whole, the JSONL (0) up to so many bytes."""
        self._unpacked: sqlite3.Connection | None = None
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
        for part in set(parts) - self._checked:
            self._checked.add(part)
            await asyncio.to_thread(deque, self._sink.part(part, rows.get(part, 0)), 0)

    def close(self) -> None:
        """Lets go of what was unpacked."""
        if self._unpacked is not None:
            self._unpacked.close()

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

    def _in_part(self, part: int, ids: set[str]) -> dict[str, Transcript]:
        if part and part not in self._asked:
            self._asked.add(part)
            return {row.id: row for row in self._sink.read(ids.intersection, part)}
        return self._from_unpacked(part, ids)

    def _from_unpacked(self, part: int, ids: set[str]) -> dict[str, Transcript]:
        db = self._unpacked
        if db is None:
            db = self._unpacked = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            db.execute("CREATE TABLE rows (part INTEGER, id TEXT, row BLOB, PRIMARY KEY (part, id)) WITHOUT ROWID")
        with db:  # a damaged row ends it
            db.execute("BEGIN")
            read = self._read_to.get(part, 0)
            for end, row in self._unread(part, read):
                read = end
                db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (part, row.id, packed(row)))
        self._read_to[part] = read
        query = "SELECT row FROM rows WHERE part = ? AND id = ?"
        found = ((id_, db.execute(query, (part, id_)).fetchone()) for id_ in ids)
        return {id_: unpacked(row[0]) for id_, row in found if row is not None}

    def _unread(self, part: int, read: int) -> Iterator[tuple[int, Transcript]]:
        """Rows that were not unpacked, each with how much is unpacked then. Rows are appended to the JSONL while a run
        goes on; a part stays as it is."""
        if not part:
            return iter(()) if self._sink.lines_bytes() == read else self._sink.lines_behind(read)
        return iter(() if read else enumerate(self._sink.part(part), 1))
