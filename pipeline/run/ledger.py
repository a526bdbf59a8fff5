"""The spend ledger of one run: a line for every request, also for one that is interrupted; and its sums."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import datetime
from typing import Any

from pipeline.bill import LengthCounts
from pipeline.checkpoint import Sent, Started, Store
from pipeline.errors import AttemptError, CutOff, ProtocolFault, UnknownFault
from pipeline.exchange import Answer
from pipeline.failures import consequence_of
from pipeline.model import CREDITS_DIGITS, LATENCY_DIGITS, Attempt
from pipeline.pool import Job
from pipeline.report.figures import format_credits
from pipeline.run.budget import RunBudget
from pipeline.texts import plural

MAX_UNKNOWN_TEXTS = 20
log = logging.getLogger(__name__)


class Ledger:
    """Hands each request to the store as it starts and as it ends, and counts them."""

    def __init__(self, store: Store, run_id: str, budget: RunBudget) -> None:
        self.requests = self.retries = self.refusals = 0
        self.credits = self.credits_maybe = 0.0
        """All that was spent, and what of it only may have been billed."""
        self.unknown: Counter[str] = Counter()
        """Refusals that no rule matches or that are a fault of ours, by reason and code, and how often they came."""
        self.lengths = LengthCounts()
        """Of the requests that were billed for sure."""
        self._store = store
        self._run_id = run_id
        self._budget = budget
        self.price = budget.price

    async def end_open_attempts(self) -> None:
        """Notes requests that were in flight when the last run was killed as cut off."""
        cut = await self._store.end_open_attempts()
        if cut:
            were, they = ("was", "it") if len(cut) == 1 else ("were", "they")
            spent = sum(attempt.credits for attempt in cut)
            log.warning(
                "%s %s in flight when the last run was ended; %s may have been billed (%s)",
                plural(len(cut), "request"), were, they, format_credits(spent),
            )  # fmt: skip

    async def sending(self, job: Job, started_at: datetime) -> None:
        """A request is sent when this returns."""
        attempt = self._attempt(
            job,
            started_at,
            latency_s=0.0,
            outcome=CutOff.__name__,
            billed="maybe",
            credits=round(self.price.of(job.request), CREDITS_DIGITS),
            bytes_sent=0,
        )
        self._store.add(Started(attempt=attempt))
        if self._budget.credits.is_limited:  # else a kill would hide spending from the budget
            await self._store.committed()

    def sent(self, job: Job, started_at: datetime, latency_s: float, ended: Answer | AttemptError) -> None:
        answered = isinstance(ended, Answer)
        billed = "yes" if isinstance(ended, Answer) else ended.billed
        cost = 0.0 if billed == "no" else self.price.of(job.request)
        self.requests += 1
        self.retries += job.requests > 1
        self.refusals += isinstance(ended, AttemptError) and consequence_of(ended).retry == "wait"
        self.credits += cost
        self.credits_maybe += cost if billed == "maybe" else 0.0
        if billed == "yes":
            self.lengths.add(job.request.sent_s)
        if isinstance(ended, UnknownFault | ProtocolFault):
            text = ended.said if ended.code is None else f"{ended.said} (code {ended.code})"
            if text in self.unknown or len(self.unknown) < MAX_UNKNOWN_TEXTS:
                self.unknown[text] += 1
        attempt = self._attempt(
            job,
            started_at,
            latency_s=round(latency_s, LATENCY_DIGITS),
            outcome="ok" if answered else type(ended).__name__,
            billed=billed,
            credits=round(cost, CREDITS_DIGITS),
            bytes_sent=ended.bytes_sent,
            http_status=ended.http_status,
            code=None if isinstance(ended, Answer) else ended.code,
            request_id=ended.request_id,
            residency=ended.residency,
        )
        self._store.add(Sent(attempt=attempt))

    def _attempt(self, job: Job, started_at: datetime, **ended: Any) -> Attempt:
        """A line of the ledger; `ended` are the fields that its end decides."""
        return Attempt(
            id=job.request.id,
            clip=job.request.clip,
            attempt=job.requests,
            run_id=self._run_id,
            started_at=started_at,
            **ended,
        )
