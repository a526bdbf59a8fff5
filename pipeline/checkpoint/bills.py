"""The bills of the newest runs, from which the price is worked out. Nothing else needs them.

A row is the bill without its lengths and, packed, these: steps from one length to the next, and counts.
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import suppress
from itertools import accumulate

import msgspec

from pipeline.bill import Bill
from pipeline.checkpoint.codec import encode
from pipeline.checkpoint.connection import Database, reads

MOST_BILLS = 50
_decode = msgspec.msgpack.Decoder(tuple[Bill, bytes]).decode
_decode_lengths = msgspec.msgpack.Decoder(list[int]).decode


def keep_bill(db: sqlite3.Connection, bill: Bill) -> None:
    """Inserts a bill, in place of an earlier one of the same run, and forgets the oldest ones."""
    db.execute("INSERT OR REPLACE INTO bills (run_id, row) VALUES (?, ?)", (bill.run_id, packed(bill)))
    db.execute("DELETE FROM bills WHERE n NOT IN (SELECT n FROM bills ORDER BY n DESC LIMIT ?)", (MOST_BILLS,))


def packed(bill: Bill) -> bytes:
    flat, last = [], 0
    for length, count in bill.lengths:
        flat += [length - last, count]
        last = length
    return encode((msgspec.structs.replace(bill, lengths=()), zlib.compress(encode(flat))))


def unpacked(row: bytes) -> Bill:
    """Raises what a damaged row raises: msgspec.DecodeError, zlib.error."""
    bill, lengths = _decode(row)
    flat = _decode_lengths(zlib.decompress(lengths))
    return msgspec.structs.replace(bill, lengths=tuple(zip(accumulate(flat[::2]), flat[1::2], strict=False)))


class Bills(Database):
    """Queries for bills."""

    @reads
    def bills(self) -> list[Bill]:
        """The bills that can be read, the oldest first."""
        found: list[Bill] = []
        for (row,) in self._db.execute("SELECT row FROM bills ORDER BY n"):
            with suppress(msgspec.DecodeError, zlib.error, TypeError):
                found.append(unpacked(row))
        return found
