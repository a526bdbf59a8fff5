"""Decides whether a failed attempt is tried again, and when: exponential backoff with full jitter.

The policies are tenacity's, evaluated one attempt at a time: the pool does the waiting, because a waiting clip must not
take a slot.
"""

from __future__ import annotations

import math

import tenacity

from pipeline.config.settings import RetrySettings
from pipeline.errors import AttemptError
from pipeline.failures import consequence_of

ROUNDING = 1e-9


class RetryPolicy:
    """The rules of `retry.*`; has no state."""

    def __init__(self, settings: RetrySettings) -> None:
        self._longest_s = settings.max_s
        self._rules = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(settings.max_attempts),
            wait=tenacity.wait_random_exponential(multiplier=settings.base_s, max=settings.max_s),
        )

    def pause_s(self, error: AttemptError, attempts: float) -> float | None:
        """Seconds to wait before the next attempt, None to give up.

        `attempts` are used up, this one included. Refusals for the service's limits are retried without end, unless
        the request may have been billed. A Retry-After is respected up to `retry.max_s`.
        """
        state = tenacity.RetryCallState(self._rules, None, (), {})
        state.attempt_number = math.floor(attempts + ROUNDING)
        retry = consequence_of(error).retry
        waited_out = retry == "wait" and error.billed == "no"
        if not waited_out and (retry in {"no", "shorter"} or self._rules.stop(state)):
            return None
        state.attempt_number = max(1, state.attempt_number)
        return max(self._rules.wait(state), min(error.retry_after_s or 0.0, self._longest_s))
