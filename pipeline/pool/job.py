"""What the pool works with: a clip on its way, the limits it keeps, and who listens to what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from pipeline.errors import AttemptError
from pipeline.model import Answer, Request
from pipeline.pool.budget import Budget
from pipeline.pool.capacity import Capacity
from pipeline.pool.outage import Outage
from pipeline.pool.retry import RetryPolicy


class Job(msgspec.Struct, kw_only=True, eq=False):
    """A clip on its way through the pool. The one record that changes: it counts."""

    request: Request
    requests: int = 0
    """Requests sent."""
    attempts: float = 0.0
    """Attempts used up: a whole one by each request that failed and was or may have been billed; `judge` says by what
    else."""
    latency_s: float = 0.0
    """Time spent in requests."""
    probes: int = 0
    """How often it was a probe in an outage."""
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
    capacity: Capacity
    outage: Outage[Job]
    budget: Budget
    price: Callable[[Request], float]
    """Credits that a request may cost."""
    outage_max_s: float
    settings_answered: bool = False
    """These request settings were answered in an earlier run: they are not what empty answers are about."""
    doubts_refusals: bool = True
    """Where a run's first recordings are refused with the same words, that is not believed (see `refusals`)."""


class Outcomes(Protocol):
    """Listens to the pool. Called in the event loop; must not block."""

    async def room(self) -> None:
        """Waits while outcomes come faster than they can be stored; a slot stays taken meanwhile."""

    async def started(self, job: Job, started_at: datetime) -> None:
        """A request is about to be sent; its end follows as `sent`, unless this process is killed. It is sent when this
        returns."""

    def sent(self, job: Job, started_at: datetime, latency_s: float, ended: Answer | AttemptError) -> None:
        """A request came to its end."""

    def retrying(self, job: Job, error: AttemptError, pause_s: float) -> None:
        """The clip will be sent again after a pause."""

    def done(self, job: Job, answer: Answer) -> None:
        """The clip has its answer."""

    def failed(self, job: Job, error: AttemptError) -> None:
        """The clip is given up."""

    def passed_over(self, job: Job) -> None:
        """A request for the clip costs more than is left of the budget: it is not sent any more in this run."""
