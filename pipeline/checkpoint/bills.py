"""The bills of the newest runs, from which the price is worked out. Nothing else needs them."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

import msgspec

from pipeline.bill import Bill
from pipeline.checkpoint.codec import encode
from pipeline.checkpoint.connection import Database, reads

MOST_BILLS = 50
_decode = msgspec.msgpack.Decoder(Bill).decode


def keep_bill(db: sqlite3.Connection, bill: Bill) -> None:
    """Inserts a bill, in place of an earlier one of the same run, and forgets the oldest ones."""
    db.execute("INSERT OR REPLACE INTO bills (run_id, row) VALUES (?, ?)", (bill.run_id, encode(bill)))
    db.execute("DELETE FROM bills WHERE n NOT IN (SELECT n FROM bills ORDER BY n DESC LIMIT ?)", (MOST_BILLS,))


class Bills(Database):
    """Queries for bills."""

    @reads
    def bills(self) -> list[Bill]:
        """The bills that can be read, the oldest first."""
        found: list[Bill] = []
        for (row,) in self._db.execute("SELECT row FROM bills ORDER BY n"):
            with suppress(msgspec.DecodeError, UnicodeDecodeError, TypeError):
                found.append(_decode(row))
        return found
