"""The worker pool: sends clips, as many at a time as the service carries, and carries out what is judged about them.

One dispatcher decides from the pool's state what is sent next; attempts run as tasks and report back to it. Whatever it
waits for, it knows the next moment at which something can change. Nothing is stored here: outcomes go to whoever
listens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from datetime import UTC, datetime

from pipeline.errors import AttemptError, CutOff
from pipeline.model import Answer, Request, Transcriber
from pipeline.pool.capacity import UNREFUSED_S
from pipeline.pool.job import Job, Limits, Outcomes
from pipeline.pool.judge import Judge
from pipeline.pool.line import Line
from pipeline.pool.verdict import Again, Done, EndRun, GiveUp, Verdict

STALLED_S = 10.0
"""Where nothing else could be sent for so long, clips that are held back are let go: their audio takes up room."""
log = logging.getLogger(__name__)


class Pool:
    """Runs clips through a transcriber: one `run` after the other, with what it has learned."""

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
        self._judge = Judge(limits, _now)
        self._probe: asyncio.Task[None] | None = None
        self._full = False
        """No more could be sent when last something was."""
        self._sent = 0
        self._last_sent = self._last_ended = 0.0
        self._stopping = False
        self._held_since: float | None = None
        self._cut_later: asyncio.TimerHandle | None = None
        self._fatal: Exception | None = None
        self._short = False
        """Who is next costs more than is left of the budget, unless a request in flight turns out to cost nothing."""

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def is_stopping(self) -> bool:
        """Nothing more is sent, now or in another `run`."""
        return self._stopping

    @property
    def answered(self) -> int:
        """Requests whose answer counts."""
        return self._judge.answered

    def stop(self) -> None:
        """Sends nothing more; answers in flight still come. Clips that wait are dropped without an outcome."""
        if not self._stopping:
            self._stopping = True
            self._cut_later = asyncio.get_running_loop().call_later(self._drain_s, self.cut)
        self._changed.set()

    def hold(self, held: bool) -> None:
        """Sends nothing new while `held`, because what comes back could not be kept; no outage lasts meanwhile."""
        if self._held_since is not None:
            self._judge.postpone(_now() - self._held_since)
        self._held_since = _now() if held else None
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

    async def run(self, requests: AsyncGenerator[Request, None]) -> None:
        """Returns when every clip has its outcome or the pool was stopped. Closes `requests`.

        Raises AccountError, SettingsRefused, CompressedAnswer, ServiceOut or RefusesAll as soon as the requests in
        flight have ended, what `end_with` was given, and whatever is our own bug.
        """
        self._line.begin()
        source = asyncio.create_task(self._line.fill(requests))
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
        return not self._in_flight and (self._stopping or (self._line.ended and not self._judge.holds))

    def _dispatch(self) -> None:
        """Starts what may start now."""
        if (let_go_at := self._let_go_at()) is not None and _now() >= let_go_at:
            self._carry_out(self._judge.let_go("over" if self._line.ended else "stalled"))
        outage = self._limits.outage
        time_is_up_at = self._time_is_up_at()
        if not self._stopping and time_is_up_at is not None and _now() >= time_is_up_at:
            self.end_with(self._judge.service_out())
            if self._probe is not None:
                self._probe.cancel()  # it would only be waited for to learn what is no longer asked
        nothing_new = not self._in_flight and self._line.all_tried
        if outage.going_on and nothing_new and outage.reconsider(self.answered > 0, self._line.rounds):
            log.warning("all that is left fails by itself: these clips are judged one by one")
        if not outage.going_on:
            self._limits.capacity.unrefused(self.in_flight, _now() - self._last_sent)
        self._short = False
        while not self._stopping and self._may_send():
            job = self._line.next_probe() if outage.going_on else self._line.next()
            if job is None:
                return
            match self._limits.budget.room(self._limits.price(job.request)):
                case "yes":
                    self._send(job, as_probe=outage.going_on)
                case "no":  # what comes behind it may cost less
                    self._outcomes.passed_over(job)
                case "later":
                    self._line.put_back(job)
                    self._short = True
                    return

    def _send(self, job: Job, *, as_probe: bool) -> None:
        self._limits.budget.set_aside(self._limits.price(job.request))
        self._sent += 1
        job.order, self._last_sent = self._sent, _now()
        task = asyncio.create_task(self._attempt(job))
        self._in_flight.add(task)
        task.add_done_callback(self._task_ended)
        if as_probe:
            job.probes += 1
            self._probe = task
            self._limits.outage.probe_sent(left=self._line.waiting + 1 if self._line.all_tried else 0)

    def _may_send(self) -> bool:
        outage = self._limits.outage
        if self._held_since is not None:
            return False
        if outage.going_on:
            return self._probe is None and _now() >= outage.probe_at
        return self.in_flight < self._limits.capacity.now and _now() >= self._judge.closed_until

    async def _sleep(self) -> None:
        """Until something changes, or the moment comes at which something may be sent."""
        try:
            async with asyncio.timeout_at(self._wake_at()):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _wake_at(self) -> float | None:
        """That moment, on the event loop's clock; None where only the end of a request, or the source, can bring it."""
        if self._stopping:
            return None
        moments = self._time_is_up_at(), self._sending_at(), self._let_go_at()
        return min((moment for moment in moments if moment is not None), default=None)

    def _time_is_up_at(self) -> float | None:
        if self._held_since is not None:
            return None
        return self._judge.time_is_up_at(self.in_flight, self._drain_s)

    def _let_go_at(self) -> float | None:
        """When the clips whose refusals are held back are let go, where there is no other to be sent."""
        if not self._judge.holds or self._in_flight or self._line.next_probe_due is not None:
            return None
        return self._last_ended + (0.0 if self._line.ended else STALLED_S)

    def _sending_at(self) -> float | None:
        """When something may be sent, if nothing else happens before."""
        outage, capacity, closed_until = self._limits.outage, self._limits.capacity, self._judge.closed_until
        if self._short or self._held_since is not None:
            return None
        if outage.going_on:
            due = self._line.next_probe_due if self._probe is None else None
            return None if due is None else max(due, outage.probe_at)
        if self.in_flight >= capacity.now:
            return self._last_sent + UNREFUSED_S if capacity.grows_unrefused else None
        return closed_until if closed_until > _now() else self._line.next_due

    # -- one attempt ------------------------------------------------------------------------------------------------

    async def _attempt(self, job: Job) -> None:
        job.requests += 1
        started_at, started = datetime.now(UTC), _now()
        ended: Answer | AttemptError
        try:
            await self._outcomes.started(job, started_at)
            started = _now()
            ended = await self._transcriber.transcribe(job.request)
        except AttemptError as error:
            ended = error.bare()
        except BaseException:  # cut off, or a bug of ours: it was sent all the same
            cut = CutOff("cut off before the answer came", billed="maybe")
            self._outcomes.sent(job, started_at, _now() - started, cut)
            raise
        ended = self._judge.accepted(job, ended)
        latency_s = _now() - started
        job.latency_s += latency_s
        billed = isinstance(ended, Answer) or ended.billed != "no"
        self._limits.budget.settle(self._limits.price(job.request), billed=billed)
        if asyncio.current_task() is self._probe:
            self._probe = None
        self._outcomes.sent(job, started_at, latency_s, ended)
        self._last_ended = _now()
        verdict = self._judge.judge(job, ended, others=self.in_flight - 1, was_full=self._full)
        self._carry_out([(job, verdict), *self._judge.let_go()])
        await self._outcomes.room()

    def _carry_out(self, verdicts: Iterable[tuple[Job, Verdict]]) -> None:
        for job, verdict in verdicts:
            match verdict:
                case Done(answer):
                    self._outcomes.done(job, answer)
                case GiveUp(error):
                    self._outcomes.failed(job, error)
                case EndRun(error):
                    self.end_with(error)
                case Again(error, pause_s) if not self._stopping:
                    self._outcomes.retrying(job, error, pause_s)
                    self._line.wait(job, pause_s)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._probe = None if task is self._probe else self._probe
        self._changed.set()
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.end_with(error)


def _now() -> float:
    return asyncio.get_running_loop().time()
