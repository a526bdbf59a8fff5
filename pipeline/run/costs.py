"""What priced utterances cost together, and what of them fits a run's limit and budget, in the order of the run.

Works in a temporary database, so that memory does not grow with rows.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from enum import IntEnum
from typing import Self

import msgspec

from pipeline.audio.upload import Estimate
from pipeline.built import built
from pipeline.pool.budget import ROUNDING
from pipeline.price import Price
from pipeline.report.figures import NAMED

PROBLEMS_NAMED = 100


class Kind(IntEnum):
    """What a run does with an utterance."""

    SENT = 0
    UNCHANGED = 1
    """Its file only looks changed."""
    COPY = 2
    """Its audio has a transcript, or is sent for an utterance before it."""
    WAITS = 3
    """Its audio failed before, and is left out for some runs."""
    FAILS = 4
    """Before anything is sent."""


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance with what it takes."""

    place: int
    id: str
    kind: Kind
    key: str | None = None
    """Its identity, where others that are sent may have the same."""
    runs: int = 0
    """Runs that still leave it out."""
    error: str = ""
    message: str = ""
    takes: Estimate | None = None


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may do at most."""

    limit: int | None = None
    budget: float | None = None
    """Credits, …"""
    most: float | None = None
    """… and what a single request may cost for it to be sent some day."""


@built
class Problem(msgspec.Struct, frozen=True):
    """An utterance that would fail before anything is sent."""

    id: str
    error: str
    message: str


@built
class Fitting(msgspec.Struct, frozen=True, kw_only=True):
    """What a budget lets through."""

    utterances: int = 0
    """That get their transcript."""
    requests: int = 0
    credits: float = 0.0
    passed_over: int = 0
    """Utterances that are left for another run, some of whose requests may be sent."""


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """The costs of the selected utterances within the limit."""

    within_limit: int = 0
    """Utterances that the limit lets through, with those that the budget passes over; what follows is of them."""
    postponed: int = 0
    """Those that the run leaves out, because their audio failed run after run, and …"""
    postponed_runs: int = 0
    """… how many runs leave out the first of them."""
    unsendable: dict[str, int] = {}
    """Those that would fail before anything is sent, by class of error."""
    problems: list[Problem] = []
    """The first of them."""
    unchanged: int = 0
    """Those whose file only looks changed: nothing is sent for them."""
    copies: int = 0
    """Those whose very audio is sent for another one, or has a transcript already: nothing is sent for them either."""
    answered_clips: int = 0
    """Pieces of long recordings that were answered in runs that did not finish them; not among …"""
    requests: int = 0
    """… those that a run within the limit sends if it has no budget: with one, others take the place of what is passed
    over."""
    audio_s: float = 0.0
    """Seconds of recordings that they carry, however many channels are sent separately."""
    sent_s: float = 0.0
    """Seconds that they carry: of each separately sent channel what has no answer yet, and the lead silence."""
    credits: float = 0.0
    """What they cost."""
    estimated_credits: float = 0.0
    """What of that is an estimate: no header counts how long the recordings are, several channels are priced that may
    turn out to be silent or alike, or pauses decide how many units the pieces of a recording are billed for; and …"""
    estimated_share: float = 0.0
    """… what part of the whole it is."""
    fitting: Fitting | None = None
    """What the budget lets through; None where there is none."""
    above_budget: int = 0
    """Utterances that have a request which costs more than the whole budget, as far as headers show."""
    above_credits: tuple[float, float] | None = None
    """What those requests cost, the least and the most."""
    above_ids: list[str] = []
    """The first of those utterances."""

    @property
    def fitting_credits(self) -> float:
        """What is spent within the budget, if there is one."""
        return self.credits if self.fitting is None else self.fitting.credits


_TABLES = """PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
CREATE TABLE priced (place INTEGER PRIMARY KEY, id TEXT NOT NULL, kind INTEGER NOT NULL, key TEXT,
    runs INTEGER NOT NULL, error TEXT NOT NULL, message TEXT NOT NULL, requests INTEGER, answered INTEGER,
    audio_s REAL, sent_s REAL, credits REAL, guessed REAL, pieces BLOB);
CREATE INDEX priced_keys ON priced (key) WHERE key IS NOT NULL;
CREATE TABLE passed_over (place INTEGER PRIMARY KEY, id TEXT NOT NULL, key TEXT, needs REAL NOT NULL);
CREATE INDEX passed_over_keys ON passed_over (key) WHERE key IS NOT NULL;"""


class CostTable:
    """Sums up priced utterances in their order, whichever order they come in; a temporary database."""

    def __init__(self, price: Price) -> None:
        self._price = price
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._db.close()

    def keep(self, priced: Iterable[Priced]) -> None:
        """Adds utterances, in any order."""
        rows = (_row(one, self._price) for one in priced)
        self._db.executemany("INSERT INTO priced VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", rows)

    def sum_up(self, bounds: Bounds) -> Costs:
        """Sums up what was kept, in the order of its places, as far as a run within `bounds` comes."""
        ask = self._db.execute
        ask(
            """UPDATE priced AS p
               SET kind = ?, requests = NULL, answered = NULL, audio_s = NULL, sent_s = NULL, credits = NULL,
                   guessed = NULL
               WHERE key IS NOT NULL AND place > (SELECT min(place) FROM priced WHERE key = p.key)""",
            (Kind.COPY,),
        )
        fitting = None if bounds.budget is None else self._spend(bounds.budget, bounds.limit)
        kinds = dict(ask("SELECT kind, count(*) FROM priced GROUP BY kind"))
        requests, answered, audio_s, sent_s, credits_, guessed = ask(
            """SELECT total(requests), total(answered), total(audio_s), total(sent_s), total(credits), total(guessed)
               FROM (SELECT * FROM priced ORDER BY place LIMIT ?)""",
            (-1 if bounds.limit is None else bounds.limit,),
        ).fetchone()
        [runs] = ask("SELECT coalesce(min(runs), 0) FROM priced WHERE kind = ?", (Kind.WAITS,)).fetchone()
        most = math.inf if bounds.most is None else bounds.most + ROUNDING
        above, least, dearest = ask(
            "SELECT count(*), min(needs), max(needs) FROM passed_over WHERE needs > ?", (most,)
        ).fetchone()
        above_ids = ask("SELECT id FROM passed_over WHERE needs > ? ORDER BY place LIMIT ?", (most, NAMED))
        unsendable = "SELECT error, count(*) FROM priced WHERE kind = ? GROUP BY error ORDER BY min(place)"
        problems = "SELECT id, error, message FROM priced WHERE kind = ? ORDER BY place LIMIT ?"
        return Costs(
            within_limit=sum(kinds.values()),
            postponed=kinds.get(Kind.WAITS, 0),
            postponed_runs=runs,
            unsendable=dict(ask(unsendable, (Kind.FAILS,))),
            problems=[Problem(*one) for one in ask(problems, (Kind.FAILS, PROBLEMS_NAMED))],
            unchanged=kinds.get(Kind.UNCHANGED, 0),
            copies=kinds.get(Kind.COPY, 0),
            answered_clips=int(answered),
            requests=int(requests),
            audio_s=round(audio_s, 6),
            sent_s=round(sent_s, 6),
            credits=round(credits_, 6),
            estimated_credits=round(guessed, 6),
            estimated_share=round(guessed / credits_, 4) if credits_ else 0.0,
            fitting=fitting,
            above_budget=above,
            above_credits=(least, dearest) if above else None,
            above_ids=[id_ for (id_,) in above_ids],
        )

    def _spend(self, budget: float, limit: int | None) -> Fitting:
        """Goes through what was kept as a run with this budget does, notes what is passed over, and drops what is
        beyond the limit."""
        last, within_limit = -1, 0
        utterances = requests = passed_over = 0
        credits_ = 0.0
        pieces_in = msgspec.msgpack.Decoder(tuple[tuple[int, float], ...]).decode
        for place, id_, kind, key, pieces in self._db.execute(
            "SELECT place, id, kind, key, pieces FROM priced ORDER BY place"
        ):
            if limit is not None and within_limit >= limit:
                break
            last, needs, fitting = place, 0.0, 0
            if kind == Kind.COPY and key is not None:
                found = self._db.execute("SELECT needs FROM passed_over WHERE key = ?", (key,)).fetchone()
                needs = found[0] if found else 0.0
            elif kind == Kind.SENT:
                for count, seconds in pieces_in(pieces):
                    left, price = budget - credits_ + ROUNDING, self._price.of_s(seconds)
                    fit = max(0, min(count, math.floor(left / max(price, ROUNDING))))
                    credits_ += fit * price
                    fitting += fit
                    if fit < count:
                        needs = max(needs, round(price, 6))
            requests += fitting
            passed_over += needs > 0
            utterances += not needs and kind <= Kind.COPY
            if needs:
                self._db.execute("INSERT INTO passed_over VALUES (?, ?, ?, ?)", (place, id_, key, needs))
            within_limit += not needs or fitting > 0  # what is passed over as a whole takes no place of the limit
        self._db.execute("DELETE FROM priced WHERE place > ?", (last,))
        credits_ = round(credits_, 6)
        return Fitting(utterances=utterances, requests=requests, credits=credits_, passed_over=passed_over)


def _row(one: Priced, price: Price) -> tuple[object, ...]:
    *about, takes = msgspec.structs.astuple(one)
    if takes is None:
        return (*about, *[None] * 7)
    credits_ = sum(count * price.of_s(seconds) for count, seconds in takes.pieces)
    guessed = credits_ if takes.is_guess or takes.depends_on_pauses else 0.0
    pieces = msgspec.msgpack.encode(takes.pieces)
    return (*about, takes.requests, takes.answered, takes.audio_s, takes.sent_s, credits_, guessed, pieces)
