"""The worker pool: sends clips, as many at a time as the service carries, and decides what a failure means for others.

One dispatcher decides from the pool's state what is sent next; attempts run as tasks and report back to it. Nothing is
stored here: outcomes go to whoever listens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from pipeline.errors import (
    AccountError,
    AttemptError,
    ConnectionFailed,
    CutOff,
    EmptyAnswer,
    ItemError,
    LimitError,
    RepeatedStreamError,
    ServerFault,
    ServiceOut,
    SettingsRefused,
    StreamError,
)
from pipeline.model import Answer, Clip, Transcriber
from pipeline.pool.capacity import UNREFUSED_S
from pipeline.pool.job import Job, Limits, Outcomes
from pipeline.pool.line import Line

log = logging.getLogger(__name__)

EMPTY_AT_FIRST = 4
"""Empty answers, and nothing else, from the start: that is how refused settings look."""
MOST_OF_A_FAULT = 0.75
"""What part of a failure can be the service's doing; the rest uses up the clip's attempts, so that they end."""
SAME_STREAM_ERRORS = 3
"""A clip is given up as its own fault when the same error in its stream came so many times running …"""
HEALTHY = 0.3
"""… while fewer of the clips than this meet any fault."""


class Pool:
    """Runs clips through a transcriber. One `run` per pool."""

    def __init__(
        self, transcriber: Transcriber, outcomes: Outcomes, limits: Limits, *, look_ahead: int, drain_s: float
    ) -> None:
        """`look_ahead` clips are taken from the source before they can be sent; `drain_s` is how long answers in flight
        may take to come once the pool was stopped."""
        self._transcriber = transcriber
        self._outcomes = outcomes
        self._limits = limits
        self._drain_s = drain_s
        self._changed = asyncio.Event()
        self._line = Line(look_ahead, self._changed.set)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._probe: Job | None = None
        self._closed_until = 0.0
        self._full = False
        """No more could be sent when last something was."""
        self._last_sent = 0.0
        self._stopping = False
        self._cut_later: asyncio.TimerHandle | None = None
        self._fatal: Exception | None = None
        self._ended = self._empty = self._answered = 0
        """Requests that ended, that ended in an empty answer, that were answered."""
        self._refused_in_a_row = 0
        self._refusing_since: float | None = None
        self.budget_reached = False

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    def stop(self) -> None:
        """Sends nothing more; answers in flight still come. Clips that wait are dropped without an outcome."""
        if not self._stopping:
            self._stopping = True
            self._cut_later = asyncio.get_running_loop().call_later(self._drain_s, self.cut)
        self._changed.set()

    def cut(self) -> None:
        """Ends the requests in flight now; each is reported as sent, none as failed."""
        self.stop()
        for task in list(self._in_flight):
            task.cancel()

    def end_with(self, error: Exception) -> None:
        """Stops, and lets `run` raise this once the requests in flight have ended; the first error is kept."""
        self._fatal = self._fatal or error
        self.stop()

    async def run(self, clips: AsyncGenerator[Clip, None]) -> None:
        """Returns when every clip has its outcome or the pool was stopped. Closes `clips`.

        Raises AccountError, SettingsRefused or ServiceOut as soon as the requests in flight have ended, what `end_with`
        was given, and whatever is our own bug.
        """
        source = asyncio.create_task(self._line.fill(clips))
        source.add_done_callback(self._task_ended)
        try:
            while not self._finished():
                self._changed.clear()
                self._dispatch()
                self._full = self.in_flight >= self._limits.capacity.now
                if not self._finished():
                    await self._sleep()
        except BaseException:
            self.cut()
            raise
        finally:
            source.cancel()
            await asyncio.gather(source, *self._in_flight, return_exceptions=True)
            if self._cut_later is not None:
                self._cut_later.cancel()
        if self._fatal is not None:
            raise self._fatal

    # -- what is sent next ------------------------------------------------------------------------------------------

    def _finished(self) -> bool:
        return not self._in_flight and (self._stopping or self._line.ended)

    def _dispatch(self) -> None:
        """Starts what may start now."""
        outage, budget = self._limits.outage, self._limits.budget
        if outage.lasts_s > self._limits.outage_max_s:
            self.end_with(ServiceOut(_out_sentence("failed for everybody", outage.lasts_s)))
        if not outage.going_on:
            self._limits.capacity.unrefused(self.in_flight, time.monotonic() - self._last_sent)
        while not self._stopping and self._may_send():
            # an outage is probed with clips that are not under suspicion, where there are any
            job = self._line.next(fresh_first=outage.going_on)
            if job is None:
                return
            room = budget.room(self._limits.price(job.clip))
            if room != "yes":
                self._line.hold(job)
                if room == "no":
                    self.budget_reached = True
                    self.stop()
                return
            budget.set_aside(self._limits.price(job.clip))
            if outage.going_on:
                self._probe = job
                outage.probe_sent()
            self._last_sent = time.monotonic()
            task = asyncio.create_task(self._attempt(job))
            self._in_flight.add(task)
            task.add_done_callback(self._task_ended)

    def _may_send(self) -> bool:
        outage = self._limits.outage
        if outage.going_on:
            return self._probe is None and outage.next_probe_in_s() == 0
        return self.in_flight < self._limits.capacity.now and time.monotonic() >= self._closed_until

    async def _sleep(self) -> None:
        """Until something changes, or the moment comes at which something may be sent."""
        try:
            async with asyncio.timeout_at(self._wake_at()):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _wake_at(self) -> float | None:
        """That moment, on the event loop's clock; None where only a change can bring it."""
        now, due, fresh = time.monotonic(), self._line.next_due, self._line.has_fresh
        if self._stopping or self._line.holds_back:
            return None
        if self._limits.outage.going_on:
            if self._probe is not None or (due is None and not fresh):
                return None
            probe_at = now + self._limits.outage.next_probe_in_s()
            return probe_at if fresh or due is None else max(probe_at, due)
        capacity = self._limits.capacity
        if self.in_flight >= capacity.now:
            return self._last_sent + UNREFUSED_S if capacity.grows_unrefused else None
        return self._closed_until if self._closed_until > now else due

    # -- one attempt ------------------------------------------------------------------------------------------------

    async def _attempt(self, job: Job) -> None:
        job.requests += 1
        started_at, started = datetime.now(UTC), time.monotonic()
        self._outcomes.started(job, started_at)
        ended: Answer | AttemptError
        try:
            ended = await self._transcriber.transcribe(job.clip)
        except AttemptError as error:
            ended = error
        except BaseException:  # cut off, or a bug of ours: it was sent all the same
            cut = CutOff("cut off before the answer came", billed="maybe")
            self._outcomes.sent(job, started_at, time.monotonic() - started, cut)
            raise
        latency_s = time.monotonic() - started
        job.latency_s += latency_s
        billed = isinstance(ended, Answer) or ended.billed != "no"
        self._limits.budget.settle(self._limits.price(job.clip), billed=billed)
        self._outcomes.sent(job, started_at, latency_s, ended)
        self._judge(job, ended)
        await self._outcomes.room()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._changed.set()
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.end_with(error)

    # -- what an end means ------------------------------------------------------------------------------------------

    def _judge(self, job: Job, ended: Answer | AttemptError) -> None:
        """What the end of a request means for its clip and for all others; the type of the error decides."""
        limits = self._limits
        was_probe, self._probe = job is self._probe, None if job is self._probe else self._probe
        self._ended += 1
        self._empty += isinstance(ended, EmptyAnswer)
        match ended:
            case Answer():
                if limits.outage.going_on:
                    log.warning("the service answers again after %.0f s", limits.outage.lasts_s)
                self._answered += 1
                self._refused_in_a_row, self._refusing_since = 0, None
                limits.outage.answered(job)
                limits.capacity.answered(was_full=self._full)
                self._outcomes.done(job, ended)
            case AccountError():
                self.end_with(ended)  # no fault of the clip, which stays as it was
            case SettingsRefused() if not self._answered:
                self.end_with(ended)
            case EmptyAnswer() if self._ended == self._empty == EMPTY_AT_FIRST:
                self.end_with(
                    SettingsRefused(
                        f"the first {EMPTY_AT_FIRST} answers were all an empty 200, which is how the service refuses "
                        "request settings; check service.json_config and service.model"
                    )
                )
            case LimitError():
                limits.outage.answered(job)
                self._judge_limit(job, ended)
            case ItemError():
                limits.outage.answered(job)
                self._outcomes.failed(job, ended)
            case _:
                self._judge_passing(job, ended, was_probe=was_probe)

    def _judge_limit(self, job: Job, error: LimitError) -> None:
        limits, now = self._limits, time.monotonic()
        limits.capacity.refused(self.in_flight - 1)
        self._refused_in_a_row += 1
        self._refusing_since = self._refusing_since or now
        if now - self._refusing_since > limits.outage_max_s:
            self.end_with(ServiceOut(_out_sentence("refused everybody for its limits", now - self._refusing_since)))
        # when not even as many as it carries are let in, somebody else holds the sessions: everybody waits, and longer
        rounds = self._refused_in_a_row // (limits.capacity.now + 1)
        pause_s = limits.retry.pause_s(error, rounds) or 0.0
        if rounds or error.retry_after_s:
            self._closed_until = max(self._closed_until, now + pause_s)
        self._try_again(job, error, pause_s)

    def _judge_passing(self, job: Job, error: AttemptError, *, was_probe: bool) -> None:
        outage = self._limits.outage
        unreachable = isinstance(error, ConnectionFailed) and not error.bytes_sent
        if not outage.going_on:
            job.attempts += 1 - min(outage.share_of_failures(), MOST_OF_A_FAULT)
        elif was_probe and not unreachable:
            # the service answers, if only with faults: a clip that meets them probe after probe may be the cause
            job.attempts += job.probed_in == outage.count
            job.probed_in = outage.count
        was_out = outage.going_on
        for struck in outage.failed(job, unreachable=unreachable):
            struck.attempts = max(0.0, struck.attempts - 1)
        if outage.going_on and not was_out:
            log.warning("the service fails for everybody (%s): one probe is sent now and then until it answers", error)
        own_fault = self._is_own_fault(job, error)
        pause_s = self._limits.retry.pause_s(error, job.attempts)
        if pause_s is None and outage.likely and not was_probe:
            pause_s = self._limits.retry.longest_s  # no time to judge a single clip
        if pause_s is None:
            self._outcomes.failed(job, RepeatedStreamError.of(error) if own_fault else error)
        else:
            self._try_again(job, error, pause_s)

    def _is_own_fault(self, job: Job, error: AttemptError) -> bool:
        """Whether a clip drew the same error in the stream again and again, while the service did well by others."""
        if not isinstance(error, StreamError | ServerFault) or error.http_status != 200:
            job.same_errors = 0
            return False
        job.same_errors = job.same_errors + 1 if error.message == job.stream_error else 1
        job.stream_error = error.message
        return job.same_errors >= SAME_STREAM_ERRORS and self._limits.outage.share_of_failures() < HEALTHY

    def _try_again(self, job: Job, error: AttemptError, pause_s: float) -> None:
        if not self._stopping:
            self._outcomes.retrying(job, error, pause_s)
            self._line.wait(job, pause_s)


def _out_sentence(what: str, seconds: float) -> str:
    return (
        f"the service has {what} for {seconds:.0f} s (retry.outage_max_s); nothing is lost, "
        "run the same command again when it is back"
    )
