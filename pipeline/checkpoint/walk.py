"""Merge join of a manifest with the known rows, both in their order: finds the unchanged rows.

Known rows are numbered in the order in which they came, and most manifests keep theirs or grow, so that a row's
counterpart is among the next few known ones, in a window in memory. SQL handles the rows that are not found there.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_right
from hashlib import sha256
from itertools import islice

from pipeline.checkpoint.schema import BAD_ROW

AHEAD = 4_096
"""How far the window reads past the latest match: so many rows may be removed in a row."""
MOST = 16_384
"""Known rows in the window, some 8 MB: so many rows, less AHEAD, may be inserted in a row."""
PULLED = 256

Compared = tuple[bytes, str | None, str, int | None]
"""What rows are compared by: the encoded row, the version of its recording, config_hash, manifest."""

LONG = 1_024


def _shortened(row: bytes) -> bytes:
    """An encoded row, or the hash of a long one. Damaged rows pass, and are reported when they are decoded."""
    return sha256(row).digest() if isinstance(row, bytes) and len(row) > LONG else row


class Walk:
    """One pass over a manifest: `is_unchanged` for each row, then `note_missed` for the known rows not found."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._known = connection.execute(
            """SELECT n, id, row, iif(gone, NULL, version), config_hash, manifest
               FROM utterances WHERE NOT vanished ORDER BY n"""
        )
        self._window: dict[str, tuple[int, Compared]] = {}
        self._last = 0
        """The number of the row pulled last."""
        self._is_over = False
        self._misses = 0
        # lines by row number: (number, line) of the start of each stretch in which both count up together
        self._starts, self._lines = array("q"), array("q")
        self._next_n = self._next_line = -1
        self._pull()

    def is_unchanged(self, id_: str, seen: Compared, line: int | None) -> bool:
        """Whether a row is known and unchanged; true only once for each known row."""
        found = self._window.get(id_)
        if found is None:
            self._misses += 1
            if self._misses % PULLED == 0:
                self._pull()
            return False
        n, before = found
        seen = (_shortened(seen[0]), *seen[1:])
        if self._last - n < AHEAD and not self._is_over:
            self._pull()
        if before != seen or before[2] == BAD_ROW:
            return False
        del self._window[id_]
        if line is not None:
            if n != self._next_n or line != self._next_line:
                self._starts.append(n)
                self._lines.append(line)
            self._next_n, self._next_line = n + 1, line + 1
        return True

    def line_of(self, n: int) -> int | None:
        """The line of an unchanged row; None for manifests without lines."""
        at = bisect_right(self._starts, n) - 1
        return None if at < 0 else self._lines[at] + n - self._starts[at]

    def note_missed(self) -> None:
        """Inserts the known rows that were not found into manifest.missed."""
        self._note(list(self._window.values()))
        self._window.clear()
        if not self._is_over:
            self._db.execute(
                "INSERT INTO manifest.missed SELECT n FROM utterances WHERE NOT vanished AND n > ?", (self._last,)
            )

    def close(self) -> None:
        """Closes the query: an open statement keeps SQLite from checkpointing its log."""
        self._known.close()

    def _pull(self) -> None:
        count = n = 0
        for n, id_, *seen in () if self._is_over else islice(self._known, PULLED):
            count += 1
            self._window[id_] = (n, (_shortened(seen[0]), *seen[1:]))
        if count < PULLED:
            self._is_over = True
        if count:
            self._last = n
        if len(self._window) > MOST:
            oldest = [id_ for id_, _ in zip(self._window, range(PULLED), strict=False)]
            self._note([self._window.pop(id_) for id_ in oldest])

    def _note(self, found: list[tuple[int, Compared]]) -> None:
        self._db.executemany("INSERT INTO manifest.missed VALUES (?)", [(n,) for n, _ in found])
