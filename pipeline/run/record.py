"""The pool's listener: writes requests into the ledger, and passes results of clips on to their utterances.

Called in the event loop; never blocks.
"""

from __future__ import annotations

import logging
from collections import deque
from datetime import UTC, datetime

from pipeline.checkpoint import Store
from pipeline.checkpoint.events import Event, Noted
from pipeline.errors import AttemptError
from pipeline.exchange import Answer
from pipeline.pool import Job, OverBudget, TooLong
from pipeline.run.delay import DelayCorrection
from pipeline.run.in_flight import InFlight
from pipeline.run.ledger import Ledger
from pipeline.run.lengths import ClipLengths
from pipeline.run.outcomes import Outcomes
from pipeline.run.settlement import Settlement

log = logging.getLogger(__name__)


class Recorder:
    """The pool's listener for one run."""

    def __init__(
        self,
        settlement: Settlement,
        outcomes: Outcomes,
        ledger: Ledger,
        lengths: ClipLengths,
        store: Store,
        delay: DelayCorrection,
        answered_fact: str,
    ) -> None:
        """`answered_fact` is noted with the first answer."""
        self.again = deque[InFlight]()
        """Utterances that are to be prepared again, in shorter clips."""
        self._settlement = settlement
        self._outcomes = outcomes
        self._ledger = ledger
        self._lengths = lengths
        self._store = store
        self._delay = delay
        self._answered_fact: str | None = answered_fact
        self._in_flight: dict[str, InFlight] = {}
        """Utterances whose clips are with the pool, by id."""

    def expect(self, in_flight: InFlight) -> None:
        """Clips of this utterance go to the pool."""
        self._in_flight[in_flight.selected.utterance.id] = in_flight

    async def wait_for_room(self) -> None:
        await self._store.has_room()

    async def sending(self, job: Job, started_at: datetime) -> None:
        await self._ledger.sending(job, started_at)

    def sent(self, job: Job, started_at: datetime, latency_s: float, ended: Answer | AttemptError) -> None:
        self._ledger.sent(job, started_at, latency_s, ended)

    def retrying(self, job: Job, error: AttemptError, pause_s: float) -> None:
        in_flight = self._in_flight[job.request.id]
        in_flight.retried(in_flight.clips[job.request.clip], error)
        self._outcomes.retried(job.request, error, pause_s)

    def settled(self, job: Job, result: Answer | AttemptError | OverBudget | TooLong) -> None:
        in_flight = self._in_flight[job.request.id]
        in_flight.requests += job.requests
        clip, events = in_flight.clips[job.request.clip], list[Event]()
        match result:
            case Answer():
                events = self._answered(job, in_flight, result)
            case TooLong(limit_s, failed):
                events = self._too_long(job, limit_s, failed)
                in_flight.withdrawn()
            case OverBudget(price):
                in_flight.over_budget(price)
            case AttemptError():
                in_flight.given_up(clip, result, requests=job.requests)
        if in_flight.is_settled:
            del self._in_flight[job.request.id]
            if not in_flight.comes_again:
                self._settlement.settle(in_flight, *events)
                return
            self._settlement.put_back(in_flight)
            self.again.append(in_flight)
        self._outcomes.note(*events)

    def _too_long(self, job: Job, limit_s: float, failed: AttemptError | None) -> list[Event]:
        events = self._lengths.too_long(limit_s, datetime.now(UTC))
        if events:
            clip = f"a clip of {job.request.sent_s:,.4g} s"
            log.warning(
                "%s: clips of at most %s from now on, and in the next runs",
                f"the service refused {clip} as too long" if failed is None
                else f"{clip} failed as often as it may ({type(failed).__name__}), perhaps because it is too long",
                f"{limit_s:,.4g} s",
            )  # fmt: skip
        return events

    def _answered(self, job: Job, in_flight: InFlight, answer: Answer) -> list[Event]:
        """The events of an answer, which go into one commit with the outcome that follows."""
        clip, events = in_flight.clips[job.request.clip], self._delay.heard(answer)
        result = in_flight.answered(clip, answer, latency_s=job.latency_s, cost=self._ledger.price.of(job.request))
        if self._answered_fact is not None:
            events.append(Noted(fact=self._answered_fact))
            self._answered_fact = None
        events += self._lengths.answered(job.request.sent_s)
        if in_flight.has_several_clips:
            events.append(self._outcomes.clip_answered(in_flight, clip, result))
        return events
