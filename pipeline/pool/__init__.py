"""Sends requests concurrently: which one next, how many at a time, how often again, when to stop.

`pool` decides what is sent, `attempt` sends it once, and both act on what the others decide: `judge` what the end of a
request means, `account` whether the account is to blame, `refusals` whether the service refuses one recording or all,
`retry` when a failure is tried again, `limiter` how many requests at a time, `breaker` whether the service is out,
`lengths` how long clips may be, `budget` what may still be spent; `pending` is the queue, `job` has
the records.
No HTTP, files or database here.
"""

from pipeline.pool.account import Account
from pipeline.pool.breaker import CircuitBreaker, outage_sentence
from pipeline.pool.budget import Budget
from pipeline.pool.job import Job, Limits, Listener, OverBudget, TooLong
from pipeline.pool.lengths import Lengths
from pipeline.pool.limiter import AdaptiveLimiter
from pipeline.pool.pending import Put
from pipeline.pool.pool import Pool
from pipeline.pool.retry import RetryPolicy

__all__ = [
    "Account", "AdaptiveLimiter", "Budget", "CircuitBreaker", "Job", "Lengths", "Limits", "Listener", "OverBudget",
    "Pool", "Put", "RetryPolicy", "TooLong", "outage_sentence",
]  # fmt: skip
