"""Requests side by side: who is sent next, how many at a time, how often again, when to stop.

`pool` sends and carries out what the others decide: `judge` what the end of a request means, `refusals` whose fault the
first ones are, `retry` when a failure is tried again, `limiter` how many at a time, `breaker` whether the service is
out, `budget` what may still be spent; `pending` holds who waits, `job` is what they speak about. No HTTP, files or
database here.
"""

from pipeline.pool.breaker import CircuitBreaker
from pipeline.pool.budget import Budget
from pipeline.pool.job import Job, Limits, Listener, OverBudget
from pipeline.pool.judge import outage_sentence
from pipeline.pool.limiter import AdaptiveLimiter
from pipeline.pool.pending import Put
from pipeline.pool.pool import Pool
from pipeline.pool.retry import RetryPolicy

__all__ = [
    "AdaptiveLimiter", "Budget", "CircuitBreaker", "Job", "Limits", "Listener", "OverBudget", "Pool", "Put",
    "RetryPolicy", "outage_sentence",
]  # fmt: skip
