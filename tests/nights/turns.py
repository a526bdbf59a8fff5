"""Whose turn it is, as the nights told: how often each row was tried, when last, and how long it may be let wait.

What a killed night did to a row is not known, so neither is its turn until it gets a transcript.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from tests.nights.answers import Identity
from tests.nights.night import Ended
from tests.nights.outputs import Output, Row
from tests.nights.world import Wanted

Version = tuple[str, tuple[object, ...]]
"""A row and the stamp of its recording."""


@dataclass(frozen=True)
class Turn:
    """Where a row stands in the order of work."""

    tries: int = 0
    """Nights that tried it since it got a transcript."""
    tried: str = ""
    """The last of them, or the one that transcribed it."""
    is_sure: bool = True
    setbacks: int = 0
    """Nights in a row, at most, in which requests were sent for it in vain …"""
    at: int = 0
    """… and the number of the last one."""
    wanted: Identity | None = None
    """What was sent then."""
    done_as: tuple[object, ...] | None = None
    """The stamp of its recording while it certainly counts as done."""

    @property
    def rests(self) -> int:
        """Nights that it may be let wait at most: none after the first setback, then 1, 3, 7 …"""
        return 2 ** (self.setbacks - 1) - 1 if self.setbacks > 1 else 0

    def key(self, *, redone: bool) -> tuple[int, str]:
        """Lower comes first. What is `redone` has a transcript, and comes by the night that made it."""
        return self.tries, self.tried if self.tries or redone else ""


@dataclass
class Waiting:
    """A row that was passed over by nights with --limit."""

    version: Version
    nights: int = 0
    places: int = 0
    """That those nights gave to others."""
    ahead: set[Version] = field(default_factory=set)
    """Who may have come first."""


class Turns:
    """The turns of all rows of an output."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self._waiting: dict[str, Waiting] = {}
        self._nights = 0
        """That are certainly among the runs of the output."""

    def of(self, id_: str) -> Turn:
        return self._turns.get(id_, Turn())

    def may_rest(self, one: Wanted) -> bool:
        """Whether a row that failed again and again may be left alone in the night that comes."""
        turn = self.of(one.id)
        same = one.identity == turn.wanted or not turn.is_sure
        return same and self._nights + 1 - turn.at <= turn.rests

    def killed(self, ended: Ended, wanted: Iterable[Wanted]) -> None:
        """A night was killed."""
        asked = {one.identity for one in ended.asked}
        for one in wanted:
            turn = replace(self.of(one.id), is_sure=False)
            turn = replace(turn, done_as=turn.done_as if turn.done_as == one.stamp else None)
            self._turns[one.id] = self._set_back(turn, one, self._nights + 1) if one.identity in asked else turn

    def note(
        self, ended: Ended, wanted: list[Wanted], before: Mapping[str, Row], output: Output, *, whole: bool
    ) -> None:
        """A night came to its end."""
        run_id = (ended.figures or {})["run_id"]
        self._nights += 1
        asked = {one.identity for one in ended.asked}
        for id_ in before.keys() - output.rows.keys():  # moved to another name
            self._turns.pop(id_, None)
        for one in wanted:
            turn, row, problem = self.of(one.id), output.rows.get(one.id), output.errors.get(one.id)
            if row is not None and row.run_id == run_id:
                turn = Turn(tried=run_id)
                self._waiting.pop(one.id, None)
            elif row is not None and one.id not in before:  # moved here, or by a night that was killed
                turn = Turn(is_sure=False)
                self._waiting.pop(one.id, None)
            elif problem is not None and problem.run_id == run_id:
                turn = replace(turn, tries=turn.tries + 1, tried=run_id)
                self._waiting.pop(one.id, None)
                if one.identity in asked:
                    turn = self._set_back(turn, one, self._nights)
            elif one.identity in asked:  # the night broke off, or has redone it in vain
                alone = [other.identity for other in wanted].count(one.identity) == 1
                turn = replace(turn, tries=turn.tries + 1, tried=run_id, is_sure=turn.is_sure and alone)
                turn = self._set_back(turn, one, self._nights)
            elif row is not None and turn.tries:
                turn = replace(turn, is_sure=False)  # it may have turned out to be as it was
            is_done = whole and problem is None and row is not None and row.identity == one.identity
            done_as = one.stamp if is_done or turn.done_as == one.stamp else None
            self._turns[one.id] = replace(turn, done_as=done_as)

    def starved(self, limit: int, passed: Iterable[Version], others: set[Version]) -> Iterator[str]:
        """What waits for longer than its rank allows, after a night that gave all `limit` places away and passed these
        rows over; `others` may have come first."""
        for version in passed:
            id_ = version[0]
            waiting = self._waiting.get(id_)
            if waiting is None or waiting.version != version:
                waiting = self._waiting[id_] = Waiting(version)
            waiting.nights += 1
            waiting.places += limit
            waiting.ahead |= others - {version}
            turn = self.of(id_)
            most = (turn.tries + 1 if turn.is_sure else 100) * len(waiting.ahead)
            if waiting.places > most:
                yield f"{id_} waits since {waiting.nights} nights with {waiting.places} places, {most} others are due"

    def _set_back(self, turn: Turn, one: Wanted, at: int) -> Turn:
        return replace(turn, setbacks=turn.setbacks + 1, at=at, wanted=one.identity)
