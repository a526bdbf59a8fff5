"""What was spent, in all, in each calendar month (UTC), and by how sure that is: facts that change in the very
transaction of each attempt.

So they are right after any crash, and are read at once however many attempts there are. The ledger's parts say the
same, and the months are summed from them again where they do not come to what was spent in all: an older version of
this program kept only that.
"""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from pipeline.model import Attempt

CREDITS = "credits"
"""The fact that holds what was spent in all runs, counting what may have been billed."""
_OF_MONTH = "credits of "
_BILLED = {"yes": "credits billed", "maybe": "credits maybe billed"}
"""The facts that hold what of it was billed, and what may have been; an older version of this program kept none."""
_ADD = "INSERT INTO facts VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = value + excluded.value"
_attempt = msgspec.msgpack.Decoder(Attempt).decode


def month_of(moment: datetime) -> str:
    """The calendar month in UTC, as `2026-11`."""
    return f"{moment.astimezone(UTC):%Y-%m}"


def add(db: sqlite3.Connection, attempt: Attempt) -> None:
    """Adds what an attempt cost, or may have cost."""
    if attempt.credits:
        billed = _BILLED["yes" if attempt.billed == "yes" else "maybe"]
        for key in (CREDITS, _OF_MONTH + month_of(attempt.started_at), billed):
            db.execute(_ADD, (key, attempt.credits))


def replace(db: sqlite3.Connection, months: Mapping[str, float], maybe: float) -> None:
    """Makes these the months' sums, their sum what was spent in all, and of that `maybe` what may have been billed."""
    db.execute("DELETE FROM facts WHERE key GLOB ?", (f"{_OF_MONTH}*",))
    in_all = sum(months.values())
    sums = {CREDITS: in_all, _BILLED["yes"]: in_all - maybe, _BILLED["maybe"]: maybe}
    sums |= {_OF_MONTH + month: credits_ for month, credits_ in months.items()}
    db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", sums.items())


def of_month(db: sqlite3.Connection, month: str) -> float | None:
    """What was spent in a month, requests in flight included; None where not all was summed by month."""
    query = "SELECT key, value FROM facts WHERE (key = ? OR key GLOB ?) AND typeof(value) IN ('real', 'integer')"
    months = dict(db.execute(query, (CREDITS, f"{_OF_MONTH}*")).fetchall())
    in_all = months.pop(CREDITS, 0.0)
    if not math.isclose(sum(months.values()), in_all, rel_tol=1e-8, abs_tol=1e-3):
        return None
    return float(months.get(_OF_MONTH + month, 0.0)) + _in(db, "open_attempts").get(month, 0.0)


def maybe_billed(db: sqlite3.Connection) -> float | None:
    """What of all that was spent only may have been billed, requests in flight included; None where that was not
    summed for all of it."""
    found = dict(db.execute("SELECT key, value FROM facts WHERE typeof(value) IN ('real', 'integer')").fetchall())
    sure, maybe = (found.get(key, 0.0) for key in _BILLED.values())
    if not math.isclose(sure + maybe, found.get(CREDITS, 0.0), rel_tol=1e-8, abs_tol=1e-3):
        return None
    return float(maybe) + float(db.execute("SELECT coalesce(sum(credits), 0) FROM open_attempts").fetchone()[0])


def unpublished(db: sqlite3.Connection) -> tuple[dict[str, float], float]:
    """What the attempts that are in no part of the ledger cost, by month, and what of it only may have been billed."""
    attempts = (_attempt(row) for (row,) in db.execute("SELECT row FROM attempts"))
    return _in(db, "attempts"), sum(attempt.credits for attempt in attempts if attempt.billed != "yes")


def _in(db: sqlite3.Connection, table: str) -> dict[str, float]:
    sums = defaultdict[str, float](float)
    for (row,) in db.execute(f"SELECT row FROM {table}"):  # noqa: S608 fixed texts
        attempt = _attempt(row)
        sums[month_of(attempt.started_at)] += attempt.credits
    return sums
