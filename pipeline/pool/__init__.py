"""Requests side by side: who is sent next, how many at a time, how often again, when to stop.

`pool` sends and carries out what the others decide: `judge` what the end of a request means, `refusals` whose fault the
first ones are, `retry` when a failure is tried again, `capacity` how many at a time, `outage` whether the service is
out, `budget` what may still be spent; `line` holds who waits, `job` is what they speak about. No HTTP, files or
database here.
"""

from pipeline.pool.budget import Budget
from pipeline.pool.capacity import Capacity
from pipeline.pool.job import Job, Limits, Outcomes
from pipeline.pool.judge import out_sentence
from pipeline.pool.outage import Outage
from pipeline.pool.pool import Pool
from pipeline.pool.retry import RetryPolicy

__all__ = ["Budget", "Capacity", "Job", "Limits", "Outage", "Outcomes", "Pool", "RetryPolicy", "out_sentence"]
