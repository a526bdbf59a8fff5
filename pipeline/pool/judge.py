"""Decides what the end of a request means for its clip, for the service and for the run.

Counts, and consults the circuit breaker, the limiter and the retry rules; the pool acts on the verdicts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from pipeline.errors import (
    AccountDoubted,
    AttemptError,
    AudioRefused,
    GradiumBatchError,
    RepeatedStreamError,
    ServiceOut,
    UnconfirmedSilence,
)
from pipeline.exchange import Answer
from pipeline.failures import Consequence, by_class, consequence_of
from pipeline.pool.breaker import outage_sentence
from pipeline.pool.job import Again, EndRun, Job, Limits, TooLong, Verdict
from pipeline.pool.refusals import FirstRefusals, unconfirmed
from pipeline.pool.unusable import UnusableAnswers

log = logging.getLogger(__name__)

MOST_OF_A_FAULT = 0.75
"""The largest part of an unbilled failure that is blamed on the service; the rest uses up the clip's attempts, so that
they end."""
SAME_STREAM_ERRORS = 3
"""A clip is given up when its stream had the same error so many times in a row …"""
HEALTHY = 0.3
"""… while the share of failing clips is below this."""


class Judge:
    """Judges one run's requests.

    A failed request that may have been billed always uses up an attempt of its clip. One that was not billed uses up
    only part of an attempt while other clips fail as well, and none in an outage or when the service is unreachable.
    So no clip is paid for more than `retry.max_attempts` times in a run.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.answered = 0
        """Answers with a transcript."""
        self.paused_until = 0.0
        """Nothing is sent before this moment: the service's limits refuse every request."""
        self._limits = limits
        self._clock = clock
        self._unusable = UnusableAnswers(settings_answered=limits.settings_answered)
        self._refused_in_a_row = 0
        self._refusing_since: float | None = None
        self._doubted: AccountDoubted | None = None
        """The last failure, if it blamed the account."""
        self.firsts = FirstRefusals(watches=limits.doubts_refusals)

    def confirmed(self, job: Job, ended: Answer | AttemptError) -> Answer | AttemptError:
        """The end of a request; an empty answer without end_of_stream is an error the first time."""
        if not isinstance(ended, Answer) or ended.is_certain or job.unconfirmed:
            return ended
        job.unconfirmed = True
        return UnconfirmedSilence(
            "the stream closed without words and without end_of_stream; if it does so again, the clip counts as silent",
            http_status=ended.http_status,
            billed="maybe",
            bytes_sent=ended.bytes_sent,
            request_id=ended.request_id,
            residency=ended.residency,
        )

    def judge(self, job: Job, ended: Answer | AttemptError, *, others: int, at_limit: bool) -> Verdict:
        """The verdict. `others` requests are in flight; `at_limit`: the limit was reached after the last dispatch."""
        if isinstance(ended, Answer):
            return self._answer(job, ended, at_limit=at_limit)
        follows = consequence_of(ended)
        if follows.is_of_the_file:
            return ended  # no evidence about the service
        if (end := self._unusable.end(ended)) is not None:
            return EndRun(end)
        if follows.retry == "wait":
            return self._limit(job, ended, others)
        if follows.retry == "shorter":
            if (limit_s := self._limits.lengths.refused(job, ended)) is not None:
                self._limits.breaker.refused(job)
                return TooLong(limit_s)
            ended, follows = ended.as_class(AudioRefused), by_class(AudioRefused)
        if follows.ends_run == "first alike" and self.firsts.refused(job, ended):
            return None if self.firsts.end is None else EndRun(self.firsts.end)
        return self._failure(job, ended)

    def _answer(self, job: Job, answer: Answer, *, at_limit: bool) -> Answer:
        breaker = self._limits.breaker
        open_for_s = breaker.open_for_s
        self.answered += 1
        self._unusable.answered()
        self.firsts.answered(job)
        self._limits.lengths.answered(job)
        self._service_works(job)
        if open_for_s and not breaker.is_open:
            log.warning("the service answers again after %.0f s", open_for_s)
        self._limits.limiter.answered(at_limit=at_limit)
        return answer

    def release(self, *, over: bool = False, stalled: bool = False) -> list[tuple[Job, Verdict]]:
        """The verdicts on clips that are no longer held: each refusal is final once others were answered; it may be
        tried again if most were refused alike, or several and the source is `over`, or nothing else can be sent
        (`stalled`)."""
        unknown = stalled or self.firsts.end is not None
        held = self.firsts.release(over=over, stalled=stalled)
        return [(job, unconfirmed(error) if unknown else self._failure(job, error)) for job, error in held]

    def time_is_up_at(self, in_flight: Collection[Job], drain_s: float) -> float | None:
        """When the run ends unless something is answered before; None if there is no outage."""
        breaker, longest_s, moments = self._limits.breaker, self._limits.outage_max_s, []
        more_s = self._limits.lengths.more_s  # the answer to a long clip may take that much longer
        if breaker.open_since is not None:
            moments.append(breaker.open_since + longest_s + (more_s(breaker.probe) if breaker.probe else 0.0))
        if self._refusing_since is not None:
            # the requests in flight may take all sessions of the plan
            most_s = max(map(more_s, in_flight), default=None)
            moments.append(self._refusing_since + longest_s + (0.0 if most_s is None else drain_s + most_s))
        return min(moments, default=None)

    def postpone(self, seconds: float) -> None:
        """Extends the time limits: nothing could be sent for so long, which was not the service's fault."""
        self._limits.breaker.postpone(seconds)
        if self._refusing_since is not None:
            self._refusing_since += seconds

    def service_out(self) -> GradiumBatchError:
        """The error of a run that gives up on the service."""
        if self._limits.breaker.is_open:
            out = ServiceOut(outage_sentence("failed for everybody", self._limits.breaker.open_for_s))
            return out if self._doubted is None else self._doubted.as_account(f"{self._doubted.message}; {out}")
        refusing_s = self._clock() - (self._refusing_since or 0.0)
        return ServiceOut(outage_sentence("only refused requests for its limits", refusing_s))

    def _failure(self, job: Job, error: AttemptError) -> Verdict:
        follows = consequence_of(error)
        if follows.breaker == "answer":
            self._service_works(job)
        if follows.is_final:
            return unconfirmed(error) if self.firsts.none_answered else error
        if job.probes and self._limits.breaker.is_open and follows.ends_run == "probes alike":
            self.firsts.probe_refused(error)
            if self.firsts.end is not None:
                return EndRun(self.firsts.end)
        return self._retryable(job, error, follows)

    def _service_works(self, job: Job) -> None:
        self._limits.breaker.answered(job)
        self._refused_in_a_row, self._refusing_since, self._doubted = 0, None, None

    def _limit(self, job: Job, error: AttemptError, others: int) -> Verdict:
        limits, now = self._limits, self._clock()
        limits.breaker.refused(job)
        allowed = limits.limiter.limit
        limits.limiter.refused(others, job.sent_at)
        # those that lower the limit are explained by it
        self._refused_in_a_row = self._refused_in_a_row + 1 if limits.limiter.limit == allowed else 0
        job.refused += 1
        if self._refusing_since is None:
            self._refusing_since = now
        # more refusals in a row than requests in flight: other users take the sessions, so all wait, each time longer
        rounds = self._refused_in_a_row // (limits.limiter.limit + 1)
        billed = error.billed != "no"
        job.attempts += billed
        pause_s = limits.retry.pause_s(error, job.attempts if billed else rounds)
        if pause_s is None:
            return error
        if rounds or error.retry_after_s:
            self.paused_until = max(self.paused_until, now + pause_s)
        return Again(error, pause_s)

    def _retryable(self, job: Job, error: AttemptError, follows: Consequence) -> Verdict:
        breaker, billed = self._limits.breaker, error.billed != "no"
        self._doubted = error if isinstance(error, AccountDoubted) else None
        unreachable = follows.may_be_unreachable and not (error.bytes_sent or billed)
        if billed:
            used = 1.0
        elif unreachable or breaker.is_open:
            used = 0.0
        else:
            used = 1 - min(breaker.failure_rate(), MOST_OF_A_FAULT)
        job.attempts += used
        if follows.breaker == "failure":
            reached = None if error.http_status is None else False
            if breaker.failed(job, unreachable=unreachable or reached, used=0.0 if billed else used):
                log.warning(
                    "the service is out (%s): circuit breaker open, one probe at a time until it answers",
                    error,
                )
        is_repeated = self._is_repeated(job, error)
        pause_s = self._limits.retry.pause_s(error, job.attempts)
        if pause_s is None:
            if self._doubted is not None and not self._doubted.is_known and not self.answered:
                return EndRun(self._doubted.as_account(f"{error.message}; nothing was answered in this run"))
            if (limit_s := self._limits.lengths.given_up(job, error)) is not None:
                return TooLong(limit_s, error)
            return error.as_class(RepeatedStreamError) if is_repeated else error
        return Again(error, pause_s)

    def _is_repeated(self, job: Job, error: AttemptError) -> bool:
        """Whether the clip repeatedly had the same error in its stream, while others were answered."""
        if not consequence_of(error).may_be_the_audio or error.http_status != 200:
            job.same_errors = 0
            return False
        job.same_errors = job.same_errors + 1 if error.said == job.stream_error else 1
        job.stream_error = error.said
        healthy = self.answered and self._limits.breaker.failure_rate() < HEALTHY
        return bool(healthy) and job.same_errors >= SAME_STREAM_ERRORS
