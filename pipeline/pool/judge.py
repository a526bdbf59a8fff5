"""What the end of a request means for its clip, for the service and for the run: the one place that decides.

Counts and asks the circuit breaker, the limiter and the retry rules; the pool carries the verdicts out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from pipeline.errors import (
    AttemptError,
    CompressedAnswer,
    GradiumBatchError,
    RepeatedStreamError,
    ServiceOut,
    SettingsRefused,
    UnconfirmedSilence,
)
from pipeline.failures import Consequence, consequence_of
from pipeline.model import Answer
from pipeline.pool.job import Again, EndRun, Job, Limits, Verdict
from pipeline.pool.refusals import FirstRefusals, unconfirmed

log = logging.getLogger(__name__)

EMPTY_AT_FIRST = 4
"""Empty answers, and nothing else, from the start: that is how refused settings look."""
COMPRESSED_IN_A_ROW = 4
"""Answers whose compression cannot be undone, and none between them that counts: each of them may be paid for."""
MOST_OF_A_FAULT = 0.75
"""What part of an unbilled failure can be the service's doing; the rest uses up the clip's attempts, so that they
end."""
SAME_STREAM_ERRORS = 3
"""A clip is given up as its own fault when the same error in its stream came so many times running …"""
HEALTHY = 0.3
"""… while fewer of the clips than this meet any fault."""


class Judge:
    """Judges one run's requests.

    Each failed request that was or may have been billed uses up an attempt of its clip, however others fare. One that
    was not billed uses up only a part of one while other clips fail as well, and none in an outage or where nothing
    could be reached. So no clip costs more than `retry.max_attempts` requests in a run.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.answered = 0
        """Answers that count."""
        self.paused_until = 0.0
        """Before this moment nothing is sent: whatever is sent meets the service's limits."""
        self._limits = limits
        self._clock = clock
        self._ended = self._empty = 0
        """Requests that the service answered in any way, and those whose answer was empty."""
        self._compressed = 0
        """Answers since the last one that counts whose compression could not be undone."""
        self._refused_in_a_row = 0
        self._refusing_since: float | None = None
        self.firsts = FirstRefusals(watches=limits.doubts_refusals)

    def accepted(self, job: Job, ended: Answer | AttemptError) -> Answer | AttemptError:
        """What a request counts for: a silence without end_of_stream counts when it comes again."""
        if not isinstance(ended, Answer) or ended.is_certain or job.unconfirmed:
            return ended
        job.unconfirmed = True
        return UnconfirmedSilence(
            "the stream closed without words and without end_of_stream; the same once more is silence",
            http_status=ended.http_status,
            billed="maybe",
            bytes_sent=ended.bytes_sent,
            request_id=ended.request_id,
        )

    def judge(self, job: Job, ended: Answer | AttemptError, *, others: int, at_limit: bool) -> Verdict:
        """The class of the error decides. `others` are still in flight; `at_limit`: no more could be sent lately."""
        if isinstance(ended, Answer):
            return self._answer(job, ended, at_limit=at_limit)
        follows = consequence_of(ended)
        if follows.is_of_the_file:
            return ended  # it says nothing about the service
        self._ended += ended.http_status is not None
        self._empty += follows.ends_run == "all empty"
        self._compressed += follows.ends_run == "in a row"
        if (end := self._end(ended, follows)) is not None:
            return EndRun(end)
        if follows.retry == "wait":
            return self._limit(job, ended, others)
        if follows.ends_run == "first alike" and self.firsts.refused(job, ended):
            return None if self.firsts.end is None else EndRun(self.firsts.end)
        return self._own(job, ended)

    def _answer(self, job: Job, answer: Answer, *, at_limit: bool) -> Answer:
        breaker = self._limits.breaker
        open_for_s = breaker.open_for_s
        self.answered += 1
        self._ended += 1
        self._compressed = 0
        self.firsts.answered(job)
        self._service_works(job)
        if open_for_s and not breaker.is_open:
            log.warning("the service answers again after %.0f s", open_for_s)
        self._limits.limiter.answered(at_limit=at_limit)
        return answer

    def _end(self, error: AttemptError, follows: Consequence) -> GradiumBatchError | None:
        """What the run ends with, where this error is enough for it."""
        answered_before = self._limits.settings_answered
        match follows.ends_run:
            case "at once":
                return error
            case "unanswered settings" if not self.answered and not answered_before:
                return error
            case "all empty" if self._ended == self._empty == EMPTY_AT_FIRST and not answered_before:
                return SettingsRefused(
                    f"the first {EMPTY_AT_FIRST} answers were all an empty 200, which is how the service refuses "
                    "request settings; check service.json_config and service.model"
                )
            case "in a row" if self._compressed >= COMPRESSED_IN_A_ROW:
                return CompressedAnswer(
                    f"{error.message}; {COMPRESSED_IN_A_ROW} times with no other answer in between, so nothing "
                    "more is sent: have what compresses on the way (a proxy?) leave answers as they are, then run "
                    "the same command again"
                )
        return None

    def release(self, *, over: bool = False, stalled: bool = False) -> list[tuple[Job, Verdict]]:
        """What becomes of clips that are held no longer: each is refused by itself once others were answered; it may
        pass where the refusal met most, or several and all is `over`, or nothing can be sent before they go
        (`stalled`)."""
        unknown = stalled or self.firsts.end is not None
        held = self.firsts.release(over=over, stalled=stalled)
        return [(job, unconfirmed(error) if unknown else self._own(job, error)) for job, error in held]

    def time_is_up_at(self, in_flight: int, drain_s: float) -> float | None:
        """When the run ends unless something is answered before; None where nothing is waited out."""
        longest_s, moments = self._limits.outage_max_s, []
        if self._limits.breaker.open_since is not None:
            moments.append(self._limits.breaker.open_since + longest_s)
        if self._refusing_since is not None:
            # those in flight may hold all the sessions that the plan has
            moments.append(self._refusing_since + longest_s + (drain_s if in_flight else 0.0))
        return min(moments, default=None)

    def postpone(self, seconds: float) -> None:
        """For so long nothing could be sent, for no fault of the service: it is waited for longer by that."""
        self._limits.breaker.postpone(seconds)
        if self._refusing_since is not None:
            self._refusing_since += seconds

    def service_out(self) -> ServiceOut:
        """The error of a run whose time is up."""
        if self._limits.breaker.is_open:
            return ServiceOut(outage_sentence("failed for everybody", self._limits.breaker.open_for_s))
        refusing_s = self._clock() - (self._refusing_since or 0.0)
        return ServiceOut(outage_sentence("answered with nothing but refusals for its limits", refusing_s))

    def _own(self, job: Job, error: AttemptError) -> Verdict:
        follows = consequence_of(error)
        if follows.breaker == "answer":
            self._service_works(job)
        if follows.is_final:
            return unconfirmed(error) if self.firsts.none_answered else error
        if job.probes and self._limits.breaker.is_open and follows.ends_run == "probes alike":
            self.firsts.probe_refused(error)
            if self.firsts.end is not None:
                return EndRun(self.firsts.end)
        return self._passing(job, error, follows)

    def _service_works(self, job: Job) -> None:
        self._limits.breaker.answered(job)
        self._refused_in_a_row, self._refusing_since = 0, None

    def _limit(self, job: Job, error: AttemptError, others: int) -> Verdict:
        limits, now = self._limits, self._clock()
        limits.breaker.refused(job)
        limits.limiter.refused(others)
        self._refused_in_a_row += 1
        job.refused += 1
        if self._refusing_since is None:
            self._refusing_since = now
        # more refusals than may be in flight: others hold the plan's sessions, so all wait, and longer each time
        rounds = self._refused_in_a_row // (limits.limiter.limit + 1)
        billed = error.billed != "no"
        job.attempts += billed
        pause_s = limits.retry.pause_s(error, job.attempts if billed else rounds)
        if pause_s is None:
            return error
        if rounds or error.retry_after_s:
            self.paused_until = max(self.paused_until, now + pause_s)
        return Again(error, pause_s)

    def _passing(self, job: Job, error: AttemptError, follows: Consequence) -> Verdict:
        breaker, billed = self._limits.breaker, error.billed != "no"
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
                    "the service fails for everybody (%s): one probe is sent now and then until it answers", error
                )
        own_fault = self._is_own_fault(job, error)
        pause_s = self._limits.retry.pause_s(error, job.attempts)
        if pause_s is None:
            return RepeatedStreamError.of(error) if own_fault else error
        return Again(error, pause_s)

    def _is_own_fault(self, job: Job, error: AttemptError) -> bool:
        """Whether a clip met the same error in the stream again and again, while others were answered."""
        if not consequence_of(error).may_be_the_audio or error.http_status != 200:
            job.same_errors = 0
            return False
        job.same_errors = job.same_errors + 1 if error.message == job.stream_error else 1
        job.stream_error = error.message
        healthy = self.answered and self._limits.breaker.failure_rate() < HEALTHY
        return bool(healthy) and job.same_errors >= SAME_STREAM_ERRORS


def outage_sentence(what: str, seconds: float) -> str:
    """The sentence about a service that does not come back."""
    return (
        f"the service has {what} for {seconds:.0f} s (retry.outage_max_s); nothing is lost, "
        "run the same command again when it is back"
    )
