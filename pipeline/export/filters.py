"""Which rows an export takes: a condition in SQL on the columns of a row, and whether suspect ones are wanted.

SQLite evaluates the condition, on a table in memory that holds a few hundred rows at a time.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence

import msgspec

from pipeline.errors import UsageError
from pipeline.model import Transcript
from pipeline.texts import nearest, visible

COLUMNS = {
    "id": "TEXT", "audio": "TEXT", "text": "TEXT", "duration_s": "REAL", "offset_s": "REAL", "span_s": "REAL",
    "channel": "INTEGER", "sample_rate": "INTEGER", "channels": "INTEGER", "status": "TEXT", "issues": "TEXT",
    "language": "TEXT", "model": "TEXT", "service": "TEXT", "attempts": "INTEGER", "latency_s": "REAL",
    "credits": "REAL", "run_id": "TEXT", "finished_at": "TEXT", "reference": "TEXT", "wer": "REAL", "metadata": "TEXT",
}  # fmt: skip
"""The columns that a condition may name; `issues` and `metadata` are JSON."""
MAX_CONDITION = 10_000
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}
_encode = msgspec.json.Encoder().encode


class RowFilter:
    """Selects rows. The condition is checked when it is made: UsageError says what is wrong with it."""

    def __init__(self, where: str | None = None, *, only_ok: bool = False) -> None:
        self._where = where
        self._only_ok = only_ok
        if where is None:
            return
        if not where.strip() or len(where) > MAX_CONDITION or "\0" in where:
            raise UsageError('--where: give a condition on the columns of a row, such as "wer > 0.3"')
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        self._db.execute(f"CREATE TABLE row (number INTEGER PRIMARY KEY, {columns})")
        self._insert = f"INSERT INTO row VALUES ({', '.join('?' * (1 + len(COLUMNS)))})"  # noqa: S608 fixed texts
        # the line end ends a comment; the condition is one expression: nothing may stand behind its closing bracket
        self._select = f"SELECT number FROM row WHERE (\n{where}\n)"  # noqa: S608 the user's own condition
        self._selected()

    def selects(self, rows: Sequence[Transcript]) -> list[bool]:
        """Whether each of the rows is wanted. Raises UsageError where the condition fails on one of them."""
        wanted = [not self._only_ok or row.status == "ok" for row in rows]
        if self._where is None:
            return wanted
        self._db.execute("DELETE FROM row")
        self._db.executemany(self._insert, ((number, *_values(row)) for number, row in enumerate(rows)))
        found = self._selected()
        return [is_wanted and number in found for number, is_wanted in enumerate(wanted)]

    def _selected(self) -> set[int]:
        self._db.set_authorizer(_authorize)
        try:
            return {number for (number,) in self._db.execute(self._select)}
        except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError) as error:
            raise UsageError(f"--where: {_reason(error)} (in {visible(str(self._where))!r})") from None
        finally:
            self._db.set_authorizer(None)


def _authorize(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _reason(error: Exception) -> str:
    text = visible(str(error))
    if unknown := re.fullmatch(r"no such column: (?:row\.)?(.+?)(?: - should this be .*)?", text):
        name = unknown[1].strip("\"'")
        near = nearest(name, [*COLUMNS], cutoff=0.7)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(COLUMNS)}, and"
        return (
            f"there is no column {name!r}; {hint} a column of the manifest is metadata ->> {name!r}, a text is 'TEXT'"
        )
    if "not authorized" in text or "prohibited" in text:
        return "only the columns of a row and functions of them may be asked for"
    return f"this is no condition (there is no need of WHERE, and no place for ORDER BY): {text}"


def _values(row: Transcript) -> tuple[object, ...]:
    found = {name: getattr(row, name) for name in COLUMNS}
    found |= {
        "issues": _encode(row.issues).decode(),
        "metadata": _encode(row.metadata).decode(),
        "finished_at": row.finished_at.isoformat(),
    }
    return tuple(found.values())
