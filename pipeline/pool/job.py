"""What the pool works with: a request on its way, the limits it keeps, what is judged, and who listens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from pipeline.errors import AttemptError, GradiumBatchError
from pipeline.exchange import Request
from pipeline.model import Answer
from pipeline.pool.breaker import CircuitBreaker
from pipeline.pool.budget import Budget
from pipeline.pool.limiter import AdaptiveLimiter
from pipeline.pool.retry import RetryPolicy


class Job(msgspec.Struct, kw_only=True, eq=False):
    """A clip's request on its way through the pool. The one record that changes: it counts."""

    request: Request
    requests: int = 0
    """How often it was sent."""
    attempts: float = 0.0
    """Attempts used up: a whole one by each request that failed and was or may have been billed; `judge` says by what
    else."""
    latency_s: float = 0.0
    """Time spent in requests."""
    probes: int = 0
    """How often it was a probe of the circuit breaker."""
    order: int = 0
    """Number of its last request among all that were sent."""
    suspect: bool = False
    """It failed, and what was sent after it was answered: its failures say nothing about the service."""
    refused: int = 0
    """How often it was refused for the service's limits."""
    unconfirmed: bool = False
    """It was answered with a silence that counts when it comes again."""
    stream_error: str = ""
    same_errors: int = 0
    """How many times running the stream ended in `stream_error`."""


class Limits(msgspec.Struct, kw_only=True, eq=False):
    """What a pool keeps to."""

    retry: RetryPolicy
    limiter: AdaptiveLimiter
    breaker: CircuitBreaker
    budget: Budget
    price: Callable[[Request], float]
    """Credits that a request may cost."""
    outage_max_s: float
    settings_answered: bool = False
    """These request settings were answered in an earlier run: they are not what empty answers are about."""
    doubts_refusals: bool = True
    """Where a run's first recordings are refused with the same words, that is not believed (see `refusals`)."""


class OverBudget(msgspec.Struct, frozen=True):
    """The request costs more than is left of the budget: it is not sent any more in this run."""

    price: float


class Listener(Protocol):
    """Told what becomes of requests, in the event loop; must not block."""

    async def sending(self, job: Job, started_at: datetime) -> None:
        """A request is sent as soon as this returns; its end follows as `sent`, unless this process is killed."""

    def sent(self, job: Job, started_at: datetime, latency_s: float, ended: Answer | AttemptError) -> None:
        """A request came to its end."""

    def retrying(self, job: Job, error: AttemptError, pause_s: float) -> None:
        """It will be sent again after a pause."""

    def settled(self, job: Job, result: Answer | AttemptError | OverBudget) -> None:
        """The clip has its answer, or is given up for this run."""

    async def wait_for_room(self) -> None:
        """Waits while more comes than can be stored; a slot stays taken meanwhile."""


class Again(msgspec.Struct, frozen=True):
    """The clip is sent again after a pause."""

    error: AttemptError
    pause_s: float


class EndRun(msgspec.Struct, frozen=True):
    """Nothing more is sent; the clip stays as it was."""

    error: GradiumBatchError


Verdict = Answer | AttemptError | Again | EndRun | None
"""What becomes of a clip at the end of a request: it is settled with an answer or an error; None depends on what
becomes of others, and is told later."""
