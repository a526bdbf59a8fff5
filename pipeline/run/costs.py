"""The records of a forecast: what each utterance takes, and what those of a run cost together; `cost_table` sums up."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from pipeline.audio.upload import Estimate
from pipeline.built import built


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
    is_uncompared: bool = False
    """Only its content would show whether it is sent, and that is not read, because it lies elsewhere."""
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
    uncompared: int = 0
    """Of those that are sent: as long as others or as what was transcribed, so that a run may send less, or nothing.
    They lie elsewhere, and are not fetched to compare them."""
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
