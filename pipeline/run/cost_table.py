"""Sums up what priced utterances cost together, and what of them fits a run's limit and budget, in the run's order.

Works in a temporary database, so that memory does not grow with rows.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from typing import Self

import msgspec

from pipeline.pool.budget import ROUNDING
from pipeline.price import Price
from pipeline.report.figures import NAMED
from pipeline.run.costs import Bounds, Costs, Fitting, Kind, Priced, Problem

PROBLEMS_NAMED = 100
_TABLES = """PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
CREATE TABLE priced (place INTEGER PRIMARY KEY, id TEXT NOT NULL, kind INTEGER NOT NULL, key TEXT,
    runs INTEGER NOT NULL, error TEXT NOT NULL, message TEXT NOT NULL, is_uncompared INTEGER NOT NULL,
    requests INTEGER, answered INTEGER, audio_s REAL, sent_s REAL, credits REAL, guessed REAL, pieces BLOB);
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
        self._db.executemany("INSERT INTO priced VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", rows)

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
        uncompared, requests, answered, audio_s, sent_s, credits_, guessed = ask(
            """SELECT total(is_uncompared AND kind = 0), total(requests), total(answered), total(audio_s),
                      total(sent_s), total(credits), total(guessed)
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
            uncompared=int(uncompared),
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
