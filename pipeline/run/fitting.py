"""Priced utterances in the order in which a run does them: what of them is within its limit and its budget.

Works in a table beside a scan, so that memory does not grow with rows.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterable
from enum import IntEnum

import msgspec

from pipeline.audio.wanted import Estimate
from pipeline.built import built
from pipeline.gradium.wire import CREDITS_PER_S
from pipeline.pool.budget import ROUNDING
from pipeline.report.figures import NAMED

PROBLEMS_NAMED = 100


class Kind(IntEnum):
    """What a run does with an utterance."""

    SENT = 0
    UNCHANGED = 1
    """Its file only looks changed."""
    COPY = 2
    """Its audio has a transcript."""
    WAITS = 3
    """Its audio failed before, and is left out for some runs."""
    FAILS = 4
    """Before anything is sent."""


@built
class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance with what it takes."""

    place: int
    id: str
    kind: Kind
    key: str | None = None
    """What it is, where others that are sent may be the same."""
    takes: Estimate | None = None
    runs: int = 0
    error: str = ""
    message: str = ""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may do at most."""

    limit: int | None = None
    budget: float | None = None
    """Credits, …"""
    most: float | None = None
    """… and what a single request may cost for it to be sent some day."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance that would fail before anything is sent."""

    id: str
    error: str
    message: str


class Fitting(msgspec.Struct, frozen=True, kw_only=True):
    """What a budget lets through."""

    utterances: int
    """That get their transcript."""
    requests: int
    credits: float
    passed_over: int
    """Utterances that are left for another run, some of whose requests may be sent."""


class Bill(msgspec.Struct, kw_only=True):
    """The sum. Grows while it is counted."""

    unsendable: Counter[str] = msgspec.field(default_factory=Counter)
    waits: Counter[int] = msgspec.field(default_factory=Counter)
    """Those that are left out because their audio failed before, by the runs that leave them out."""
    problems: list[Problem] = []
    unchanged: int = 0
    copies: int = 0
    answered: int = 0
    requests: int = 0
    audio_s: float = 0.0
    sent_s: float = 0.0
    guessed_s: float = 0.0
    """Of what is sent, what only decoding tells rightly."""
    taken: int = 0
    """Utterances that the limit lets through, with those that are passed over."""
    above: int = 0
    least: float = math.inf
    most: float = 0.0
    """What costs more than the budget, and what its dearest requests cost."""
    above_ids: list[str] = []
    done: int = 0
    passed_over: int = 0
    fitting_requests: int = 0
    fitting_s: float = 0.0

    @property
    def credits(self) -> float:
        return self.sent_s * CREDITS_PER_S

    @property
    def guessed_credits(self) -> float:
        return round(self.guessed_s * CREDITS_PER_S, 6)

    @property
    def fitting(self) -> Fitting:
        """What of it the budget lets through."""
        return Fitting(
            utterances=self.done,
            requests=self.fitting_requests,
            credits=round(self.fitting_s * CREDITS_PER_S, 6),
            passed_over=self.passed_over,
        )


def make_table(connection: sqlite3.Connection) -> None:
    """Makes the table for `keep`."""
    connection.executescript(
        """CREATE TABLE manifest.priced (place INTEGER PRIMARY KEY, key TEXT, row BLOB NOT NULL);
        CREATE TABLE manifest.passed_over (key TEXT PRIMARY KEY, needs REAL NOT NULL) WITHOUT ROWID;"""
    )


def keep(connection: sqlite3.Connection, priced: Iterable[Priced]) -> None:
    """Takes priced utterances in, in any order."""
    connection.executemany(
        "INSERT INTO manifest.priced VALUES (?, ?, ?)",
        ((one.place, one.key, msgspec.msgpack.encode(one)) for one in priced),
    )


def in_turn(connection: sqlite3.Connection, bounds: Bounds) -> Bill:
    """Sums up what was kept, in the order of its places, as far as a run within `bounds` comes."""
    bill, decode = Bill(), msgspec.msgpack.Decoder(Priced).decode
    places = 0
    """Of the limit that are taken."""
    for row, is_copy in connection.execute(
        """SELECT row, key IS NOT NULL AND row_number() OVER (PARTITION BY key ORDER BY place) > 1
           FROM manifest.priced ORDER BY place"""
    ):
        if bounds.limit is not None and places >= bounds.limit:
            break
        one = decode(row)
        bill.taken += 1
        places += 1
        if is_copy:
            needs, sent = _needs_of(connection, one.key), False
            bill.copies += 1
        else:
            needs, sent = _add(bill, one, bounds)
            if needs and one.key is not None:
                connection.execute("INSERT INTO manifest.passed_over VALUES (?, ?)", (one.key, needs))
        if needs:
            places -= not sent
            _pass_over(bill, one.id, needs, bounds)
        elif one.kind not in (Kind.WAITS, Kind.FAILS):
            bill.done += 1
    return bill


def _needs_of(connection: sqlite3.Connection, key: str | None) -> float:
    """What the audio of a copy needs, where it was passed over; 0 where it gets its transcript."""
    found = connection.execute("SELECT needs FROM manifest.passed_over WHERE key = ?", (key,)).fetchone()
    return 0.0 if found is None else float(found[0])


def _add(bill: Bill, one: Priced, bounds: Bounds) -> tuple[float, bool]:
    """Counts an utterance; (credits of the dearest of its requests that do not fit, or 0; whether others are sent)."""
    match one.kind:
        case Kind.UNCHANGED:
            bill.unchanged += 1
        case Kind.COPY:
            bill.copies += 1
        case Kind.WAITS:
            bill.waits[one.runs] += 1
        case Kind.FAILS:
            bill.unsendable[one.error] += 1
            if len(bill.problems) < PROBLEMS_NAMED:
                bill.problems.append(Problem(id=one.id, error=one.error, message=one.message))
    if one.takes is None:
        return 0.0, False
    takes, needs, fitting = one.takes, 0.0, 0
    bill.requests += takes.requests
    bill.answered += takes.answered
    bill.audio_s += takes.audio_s
    bill.sent_s += takes.sent_s
    bill.guessed_s += takes.sent_s if takes.is_guess else 0.0
    for count, seconds in takes.pieces:
        fit = _fit(bill, count, seconds, bounds.budget)
        fitting += fit
        if fit < count:
            needs = max(needs, round(seconds * CREDITS_PER_S, 6))
    return needs, fitting > 0


def _fit(bill: Bill, count: int, seconds: float, budget: float | None) -> int:
    """How many of so many requests of this length fit, which are then sent."""
    if budget is not None:
        left = budget - bill.fitting_s * CREDITS_PER_S + ROUNDING
        count = max(0, min(count, math.floor(left / max(seconds * CREDITS_PER_S, ROUNDING))))
    bill.fitting_requests += count
    bill.fitting_s += count * seconds
    return count


def _pass_over(bill: Bill, id_: str, needs: float, bounds: Bounds) -> None:
    bill.passed_over += 1
    if bounds.most is None or needs <= bounds.most + ROUNDING:
        return
    bill.above += 1
    bill.least, bill.most = min(bill.least, needs), max(bill.most, needs)
    if len(bill.above_ids) < NAMED:
        bill.above_ids.append(id_)
