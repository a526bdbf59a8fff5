"""Which names were seen before: of a million, without taking memory for each."""

from __future__ import annotations

import sqlite3


class SeenNames:
    """Names, each with the number of the first who had it. In a temporary database, which SQLite deletes."""

    def __init__(self) -> None:
        self._db: sqlite3.Connection | None = None

    def add(self, name: str, owner: int = 0) -> bool:
        """Whether the name is new."""
        if self._db is None:
            self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._db.execute("CREATE TABLE names (name BLOB PRIMARY KEY, owner INTEGER) WITHOUT ROWID")
            self._db.execute("BEGIN")  # never committed: faster
        done = self._db.execute("INSERT OR IGNORE INTO names VALUES (?, ?)", (_key(name), owner))
        return bool(done.rowcount)

    def owner(self, name: str) -> int | None:
        """Who had it first; None for a name that was not seen."""
        if self._db is None:
            return None
        found = self._db.execute("SELECT owner FROM names WHERE name = ?", (_key(name),)).fetchone()
        return None if found is None else int(found[0])


def _key(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")  # names of files need not be UTF-8
