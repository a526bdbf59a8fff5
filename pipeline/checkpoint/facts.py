"""Single values of an output, among them the credits spent: in total, by calendar month (UTC), and by whether they
were billed or only may have been.

The sums change in the transaction of each attempt, so that they are right after any crash and are read without going
through the attempts. Where the months do not add up to the total, which is all that older versions kept, they are
summed again from the ledger's parts.
"""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

from pipeline.checkpoint.codec import decode_attempt
from pipeline.checkpoint.connection import Database, reads, writes
from pipeline.checkpoint.schema import CREDITS, PLACES
from pipeline.checkpoint.sqlite_errors import unusable
from pipeline.model import Attempt

F = TypeVar("F", str, int, float)
_OF_MONTH = "credits of "
_BILLED = {"yes": "credits billed", "maybe": "credits maybe billed"}
"""The facts with the credits billed, and maybe billed; older versions kept none."""
_NUMBERS = "SELECT key, value FROM facts WHERE typeof(value) IN ('real', 'integer')"


class Facts(Database):
    """Single values."""

    @reads
    def fact(self, key: str, kind: type[F]) -> F | None:
        """The value of a fact, of type `kind`; None where it is not set."""
        found = self._db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        [value] = found
        if isinstance(value, str) != (kind is str) or not isinstance(value, str | int | float):
            raise unusable(self.path, TypeError(f"its fact {key} is a {type(value).__name__}"))
        return kind(value)

    @writes
    def set_fact(self, key: str, value: str | float) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

    def places(self) -> list[str]:
        """The paths that the output folder has had, as far as known, the newest last."""
        return (self.fact(PLACES, str) or "").splitlines()

    @reads
    def credits_of_month(self, month: str) -> float | None:
        """The credits of a month (`2026-11`, UTC), requests in flight included; None where they were not summed."""
        numbers: dict[str, float] = dict(self._db.execute(_NUMBERS).fetchall())
        months = sum(value for key, value in numbers.items() if key.startswith(_OF_MONTH))
        if not _is_all(months, numbers):
            return None
        return float(numbers.get(_OF_MONTH + month, 0.0)) + self._by_month("open_attempts").get(month, 0.0)

    @reads
    def unpublished_credits(self) -> tuple[dict[str, float], float]:
        """The credits of the unpublished attempts, by month, and how many of them only may have been billed."""
        attempts = (decode_attempt(row) for (row,) in self._db.execute("SELECT row FROM attempts"))
        maybe = sum(attempt.credits for attempt in attempts if attempt.billed != "yes")
        return self._by_month("attempts"), maybe

    @writes
    def set_credits(self, months: Mapping[str, float], maybe: float) -> None:
        """Sets the credits spent, by month and in total; `maybe` of them only may have been billed."""
        self._db.execute("DELETE FROM facts WHERE key GLOB ?", (f"{_OF_MONTH}*",))
        in_all = sum(months.values())
        sums = {CREDITS: in_all, _BILLED["yes"]: in_all - maybe, _BILLED["maybe"]: maybe}
        sums |= {_OF_MONTH + month: credits_ for month, credits_ in months.items()}
        self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", sums.items())

    def _by_month(self, table: str) -> dict[str, float]:
        sums = defaultdict[str, float](float)
        for (row,) in self._db.execute(f"SELECT row FROM {table}"):  # noqa: S608 fixed texts
            attempt = decode_attempt(row)
            sums[month_of(attempt.started_at)] += attempt.credits
        return sums


def month_of(moment: datetime) -> str:
    """The calendar month in UTC, as `2026-11`."""
    return f"{moment.astimezone(UTC):%Y-%m}"


def add_cost(db: sqlite3.Connection, attempt: Attempt) -> None:
    """Adds what an attempt cost, or may have cost, within the transaction of its event."""
    if attempt.credits:
        billed = _BILLED["yes" if attempt.billed == "yes" else "maybe"]
        add = "INSERT INTO facts VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = value + excluded.value"
        for key in (CREDITS, _OF_MONTH + month_of(attempt.started_at), billed):
            db.execute(add, (key, attempt.credits))


def maybe_billed(db: sqlite3.Connection) -> float | None:
    """The credits that only may have been billed, requests in flight included; None where not all were summed."""
    numbers: dict[str, float] = dict(db.execute(_NUMBERS).fetchall())
    sure, maybe = (numbers.get(key, 0.0) for key in _BILLED.values())
    if not _is_all(sure + maybe, numbers):
        return None
    return float(maybe) + float(db.execute("SELECT coalesce(sum(credits), 0) FROM open_attempts").fetchone()[0])


def _is_all(parts: float, numbers: Mapping[str, float]) -> bool:
    return math.isclose(parts, numbers.get(CREDITS, 0.0), rel_tol=1e-8, abs_tol=1e-3)
