"""The pool's records: a clip's job, the limits, the verdicts on a request, and the listener's protocol."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from pipeline.errors import AttemptError, GradiumBatchError
from pipeline.exchange import Answer, Request
from pipeline.pool.account import Account
from pipeline.pool.breaker import CircuitBreaker
from pipeline.pool.budget import Budget
from pipeline.pool.lengths import Lengths
from pipeline.pool.limiter import AdaptiveLimiter
from pipeline.pool.retry import RetryPolicy


class Job(msgspec.Struct, kw_only=True, eq=False):
    """A clip in the pool: its request and its counters, the only mutable record."""

    request: Request
    requests: int = 0
    """How often it was sent."""
    attempts: float = 0.0
    """Attempts used up: one by each failed request that may have been billed, part of one by others, see `Judge`."""
    latency_s: float = 0.0
    """Time spent in requests."""
    probes: int = 0
    """How often it was sent as a probe of the circuit breaker."""
    order: int = 0
    """Number of its last request among all requests of the pool."""
    sent_at: float = 0.0
    """When that was sent, on the event loop's clock."""
    suspect: bool = False
    """It failed while a later request was answered: its failures are no evidence about the service."""
    refused: int = 0
    """How often the service's limits refused it."""
    unconfirmed: bool = False
    """It had an empty answer without end_of_stream, which is accepted the second time."""
    stream_error: str = ""
    same_errors: int = 0
    """How many times in a row the stream ended in `stream_error`."""


class Limits(msgspec.Struct, kw_only=True, eq=False):
    """The rules and limits of a pool."""

    retry: RetryPolicy
    limiter: AdaptiveLimiter
    breaker: CircuitBreaker
    budget: Budget
    price: Callable[[Request], float]
    """Credits that a request may cost."""
    outage_max_s: float
    account: Account
    settings_answered: bool = False
    """These request settings were answered in an earlier run: empty answers do not mean that they are refused."""
    doubts_refusals: bool = True
    """Whether the same refusal of a run's first recordings is taken for the service's fault, see `refusals`."""
    lengths: Lengths = msgspec.field(default_factory=Lengths)


class OverBudget(msgspec.Struct, frozen=True):
    """The request costs more than is left of the budget: it is not sent in this run."""

    price: float


class TooLong(msgspec.Struct, frozen=True):
    """The service takes no more than `limit_s` in one request: the audio of the clip is to come in shorter ones."""

    limit_s: float
    failed: AttemptError | None = None
    """The clip was not refused as too long, it only failed like this until it was given up."""


class Listener(Protocol):
    """Receives what happens to requests, in the event loop; must not block."""

    async def sending(self, job: Job, started_at: datetime) -> None:
        """Called before a request is sent; `sent` follows at its end, unless this process is killed."""

    def sent(self, job: Job, started_at: datetime, latency_s: float, ended: Answer | AttemptError) -> None:
        """A request ended."""

    def retrying(self, job: Job, error: AttemptError, pause_s: float) -> None:
        """The clip will be sent again after a pause."""

    def settled(self, job: Job, result: Answer | AttemptError | OverBudget | TooLong) -> None:
        """The clip has its answer, or is not sent again in this run."""

    async def wait_for_room(self) -> None:
        """Waits while results come faster than they can be stored; the request keeps its slot meanwhile."""


class Again(msgspec.Struct, frozen=True):
    """The clip is sent again after a pause."""

    error: AttemptError
    pause_s: float


class EndRun(msgspec.Struct, frozen=True):
    """Nothing more is sent; the clip stays pending for the next run."""

    error: GradiumBatchError


Verdict = Answer | AttemptError | TooLong | Again | EndRun | None
"""What happens to a clip at the end of a request: settled, sent again, or the run ends.
None: `Judge.release` decides it later, by what happens to others."""
