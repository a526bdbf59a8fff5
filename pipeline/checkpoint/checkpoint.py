"""The open checkpoint of an output: blocking, for one thread at a time, which during a run is the store's.

Each of its parts has a module. `apply` writes events in one durable transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from pipeline.bill import Bill
from pipeline.checkpoint.applying import apply
from pipeline.checkpoint.bills import Bills, keep_bill
from pipeline.checkpoint.codec import decode_attempt
from pipeline.checkpoint.connection import reads, writes
from pipeline.checkpoint.conversion import Conversion
from pipeline.checkpoint.events import Event, Sent
from pipeline.checkpoint.lookup import Lookup
from pipeline.checkpoint.merge import Planning
from pipeline.checkpoint.publishing import Publishing
from pipeline.checkpoint.rebuilding import Rebuilding
from pipeline.checkpoint.removing import Removing
from pipeline.checkpoint.replaced import Replaced
from pipeline.checkpoint.same_audio import SameAudio
from pipeline.checkpoint.selection import Selection
from pipeline.checkpoint.sharing import Sharing
from pipeline.checkpoint.sqlite_errors import unusable
from pipeline.checkpoint.subtracted import Subtracted
from pipeline.model import Attempt


class Checkpoint(
    Planning,
    Sharing,
    Selection,
    Lookup,
    Publishing,
    Subtracted,
    Conversion,
    Replaced,
    Rebuilding,
    Removing,
    SameAudio,
    Bills,
):
    """All methods on the checkpoint of an output; those of `scan`, `figures` and `facts` come with `Planning`."""

    @writes
    def apply(self, events: Sequence[Event]) -> None:
        """Writes the events in one transaction; when this returns they survive a power cut."""
        for event in events:
            apply(self._db, event)

    @writes
    def end_open_attempts(self) -> list[Attempt]:
        """Records an attempt for each request whose end no run has seen, in one transaction; returns the attempts."""
        found = self._db.execute("SELECT row FROM open_attempts ORDER BY rowid").fetchall()
        attempts = [decode_attempt(row) for (row,) in found]
        for attempt in attempts:
            apply(self._db, Sent(attempt=attempt))
        return attempts

    @writes
    def save_run(self, run_id: str, started_at: str, figures: bytes | None, bill: Bill | None = None) -> None:
        """Records a run: at its start without its figures, at its end with them and with its bill."""
        self._db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (run_id, started_at, figures))
        if bill is not None:
            keep_bill(self._db, bill)

    @reads
    def check_integrity(self) -> None:
        """Raises DamagedCheckpoint where SQLite finds damage in the file."""
        [found] = self._db.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise unusable(self.path, sqlite3.DatabaseError(found))
