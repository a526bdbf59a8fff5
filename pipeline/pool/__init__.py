"""N requests at a time: who is sent next, how often a failure is tried again, when to stop.

`retry` decides about one failure, `pool` carries it out. Knows clips, answers and errors; no HTTP, files or database.
"""

from pipeline.pool.pool import Job, Outcomes, Pool
from pipeline.pool.retry import RetryPolicy

__all__ = ["Job", "Outcomes", "Pool", "RetryPolicy"]
