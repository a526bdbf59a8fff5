"""A service that counts sessions, in virtual time: how fast a pool gets through, and how often it is refused.

sent = through(limit=3, answer_s=0.1, linger_s=0.5, for_s=120)
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import msgspec

from pipeline import errors
from pipeline.config.settings import RetrySettings
from pipeline.exchange import Answer, Request
from pipeline.model import Word
from pipeline.pool import AdaptiveLimiter, Budget, CircuitBreaker, Limits, Pool, Put, RetryPolicy
from tests.pool.accounts import account_with
from tests.pool.test_every_run_ends import Ended, _Listener
from tests.pool.test_pool import clip
from tests.pool.virtual import in_virtual_time

OK = Answer(words=(Word(text="ok", start_s=0.0),))
REFUSED_AFTER_S = 0.02
Seconds = float | tuple[float, float]
"""One length, or two between which each is drawn."""


class Sent(msgspec.Struct):
    """What a pool achieved."""

    answers: list[float] = []
    """When each answer came, in seconds from the beginning."""
    refusals: list[float] = []
    learned: int | None = None

    def rate(self, from_s: float, to_s: float) -> float:
        """Answers a second between two moments."""
        return sum(from_s <= at < to_s for at in self.answers) / (to_s - from_s)

    def refused(self, from_s: float, to_s: float) -> float:
        """Refusals per answer between two moments."""
        answers = sum(from_s <= at < to_s for at in self.answers)
        return sum(from_s <= at < to_s for at in self.refusals) / max(1, answers)


class Counting:
    """Takes so many sessions at a time; each stays counted for a while after its answer."""

    def __init__(self, sent: Sent, limit: Callable[[float], int], answer_s: Seconds, linger_s: Seconds, seed: int):
        self._sent, self._limit = sent, limit
        self._answer_s, self._linger_s = answer_s, linger_s
        self._draw = random.Random(seed)
        self._counted = 0
        self._began = asyncio.get_running_loop().time()

    def _drawn(self, seconds: Seconds) -> float:
        return seconds if isinstance(seconds, float) else self._draw.uniform(*seconds)

    def _released(self) -> None:
        self._counted -= 1

    async def transcribe(self, clip: Request) -> Answer:
        loop = asyncio.get_running_loop()
        if self._counted >= self._limit(loop.time() - self._began):
            await asyncio.sleep(REFUSED_AFTER_S)
            self._sent.refusals.append(loop.time() - self._began)
            raise errors.ConcurrencyLimit("Concurrency limit exceeded", http_status=500, code=1008)
        self._counted += 1
        await asyncio.sleep(self._drawn(self._answer_s))
        loop.call_later(self._drawn(self._linger_s), self._released)
        self._sent.answers.append(loop.time() - self._began)
        return OK


def through(
    limit: int | Callable[[float], int],
    *,
    answer_s: Seconds,
    linger_s: Seconds,
    for_s: float,
    learned: int | None = None,
    concurrency: int = 32,
    seed: int = 1,
) -> Sent:
    """What a pool with more than enough to send achieves in so many seconds, and the limit that it learned by then."""
    random.seed(seed)  # of the pauses between attempts
    limit_at = limit if callable(limit) else lambda at_s: limit

    async def run() -> Sent:
        sent, loop = Sent(), asyncio.get_running_loop()
        limiter = AdaptiveLimiter(concurrency, learned=learned, clock=loop.time)
        limits = Limits(
            retry=RetryPolicy(RetrySettings()),
            limiter=limiter,
            breaker=CircuitBreaker(clock=loop.time),
            budget=Budget(None),
            price=lambda _: 1.0,
            outage_max_s=1e9,
            account=account_with("nobody was asked"),
        )
        service = Counting(sent, limit_at, answer_s, linger_s, seed)
        ended = Ended(requests=None, billed=None)  # type: ignore[arg-type]
        pool = Pool(service, _Listener(ended), limits, queue=concurrency, drain_s=60)

        async def fill(put: Put) -> None:
            n = 0
            while True:
                await put(clip(f"clip{n}"))
                n += 1

        loop.call_later(for_s, pool.stop)
        await pool.run(fill)
        sent.learned = limiter.learned
        return sent

    return in_virtual_time(run())
