"""What was sent in vain, whichever rows it was sent for: how long it must be let alone, and how long it may be.

Whether a night that was killed counts as a run, and what it knows of what it sent, nobody can say: both are allowed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.nights.answers import Identity
from tests.nights.night import Ended, Night
from tests.nights.outputs import Output
from tests.nights.world import Wanted

REFUSED = {"AudioRefused", "RepeatedStreamError"}
DRAWN = {
    "refused": {"AudioRefused", "UnconfirmedRefusal"},
    "unavailable": {"ServerFault"},
    "internal": {"ServerFault"},
    "cut": {"StreamCut"},
    "malformed": {"StreamMalformed"},
    "empty": {"EmptyAnswer"},
    "reset": {"ConnectionFailed", "StreamCut"},
    "html_403": {"AccessDenied"},
    "overloaded_sentence": {"UnknownFault"},
    "stream_error": {"StreamError", "RepeatedStreamError"},
}
"""What each fault of the service may be told as."""
MOST_APART = 16


@dataclass
class Past:
    """How one identity failed since it was answered."""

    surely: int = 0
    """Setbacks at least, and …"""
    since: int = 0
    """… the number of the last of them, counting all nights that may be runs."""
    perhaps: int = 0
    """Setbacks at most."""
    until: int = 0
    """The number, counting nights that certainly are runs, of the last one that may let it alone."""
    is_final: bool = False
    """The service has certainly refused it."""
    may_be_final: bool = False
    errors: set[str] = field(default_factory=set)
    """What it may have failed of."""


class Failing:
    """The past of all that was sent."""

    def __init__(self) -> None:
        self._past: defaultdict[Identity | None, Past] = defaultdict(Past)
        self._runs = 0
        """Nights that certainly are among the runs of the output."""
        self._begun = 0
        """Nights that may be."""

    def may_wait(self, identity: Identity | None) -> bool:
        """Whether the night that comes may let it alone, for what it failed of before."""
        return self._runs + 1 <= self._past[identity].until or self._past[identity].may_be_final

    def errors_of(self, identity: Identity | None) -> set[str]:
        """What a row that wants it may fail of without a request."""
        return self._past[identity].errors

    def sent_too_early(self, night: Night, ended: Ended) -> Iterator[str]:
        """What failed before is sent only when it is due, or when the user asks for what failed."""
        if {"failed", "suspect", "all"} & set(night.only):
            return
        for identity in {one.identity for one in ended.asked}:
            past = self._past[identity]
            if past.is_final:
                yield f"{identity} was sent, though the service had refused it"
            elif (nights := self._begun + 1 - past.since) < _apart(past.surely):
                yield f"{identity} was sent {nights} nights after it had failed for the {past.surely}th time"

    def killed(self, ended: Ended) -> None:
        """A night was killed."""
        self._begun += 1
        self._set_back(ended)
        for one in ended.asked:
            past = self._past[one.identity]
            past.may_be_final |= bool(REFUSED & DRAWN.get(one.end, set()))
            if one.answered:
                past.surely, past.is_final = 0, False

    def ended(self, ended: Ended, wanted: Sequence[Wanted], output: Output) -> None:
        """A night came to its end."""
        self._begun += 1
        self._runs += 1
        self._set_back(ended)
        run_id = (ended.figures or {})["run_id"]
        told = {
            (one.identity, problem.error)
            for one in wanted
            if (problem := output.errors.get(one.id)) is not None and problem.run_id == run_id
        }
        answered = {one.identity for one in ended.asked if one.answered}
        for identity in {one.identity for one in ended.asked} - answered:
            past = self._past[identity]
            drawn = {error for one in ended.asked if one.identity == identity for error in DRAWN.get(one.end, ())}
            said = {error for of, error in told if of == identity}
            past.may_be_final |= bool(said & REFUSED)
            if said & REFUSED:
                past.is_final, past.surely = True, 0
            elif said & drawn:
                past.surely, past.since = past.surely + 1, self._begun
        done = {one.identity for one in ended.asked if one.answered and one.span is None}
        for identity in done | {row.identity for row in output.rows.values() if row.identity is not None}:
            # a row that has failed meanwhile waits as long as it did
            self._past[identity] = Past(until=self._past[identity].until)

    def _set_back(self, ended: Ended) -> None:
        for one in ended.asked:
            self._past[one.identity].errors |= DRAWN.get(one.end, set())
        for identity in {one.identity for one in ended.asked if not one.answered}:
            past = self._past[identity]
            past.perhaps += 1
            past.until = max(past.until, self._runs + _apart(past.perhaps) - 1)


def _apart(setbacks: int) -> int:
    """Runs from one try to the next."""
    return min(2 ** (setbacks - 1), MOST_APART) if setbacks else 0
