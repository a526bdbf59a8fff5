"""The worker pool: sends requests, as many at a time as the service takes, and acts on the verdicts of `judge`.

One dispatcher decides from the pool's state what is sent next; attempts run as tasks. While it waits, it also waits for
the next moment at which time alone allows something. Nothing is stored here: results go to the listener.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from pipeline.errors import AttemptError
from pipeline.exchange import Answer, Transcriber
from pipeline.pool.attempt import Attempts
from pipeline.pool.job import Again, EndRun, Job, Limits, Listener, OverBudget, TooLong, Verdict
from pipeline.pool.judge import Judge
from pipeline.pool.limiter import DOUBLE_AFTER_S
from pipeline.pool.pending import Pending, Source

STALLED_S = 10.0
"""After so long with nothing else to send, clips that are held back are released: their audio takes up disk."""
log = logging.getLogger(__name__)


class Pool:
    """Sends requests through a transcriber. What it learns in one `run` is used in the next."""

    def __init__(
        self, transcriber: Transcriber, listener: Listener, limits: Limits, *, queue: int, drain_s: float
    ) -> None:
        """`queue` requests are taken from the source ahead of sending; `drain_s` is how long `stop` waits for answers
        in flight."""
        self._listener = listener
        self._limits = limits
        self._drain_s = drain_s
        self._changed = asyncio.Event()
        self._pending = Pending(queue, limits.lengths, self._changed.set)
        self._judge = Judge(limits, _now)
        self._attempts = Attempts(transcriber, listener, limits, self._judge)
        self._in_flight: dict[asyncio.Task[None], Job] = {}
        self._at_limit = False
        """Whether the limit was reached after the last dispatch."""
        self._sent = 0
        self._unanswered = 0
        """Requests in flight without those whose end is being dealt with."""
        self._last_sent = self._last_ended = 0.0
        self._stopping = False
        self._held_since: float | None = None
        self._cut_later: asyncio.TimerHandle | None = None
        self._fatal: Exception | None = None
        self._short = False
        """The next clip fits the budget only if a request in flight turns out to cost nothing."""

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    def stop(self) -> None:
        """Sends nothing more, and waits for the answers in flight. Pending clips are dropped unsettled."""
        if not self._stopping:
            self._stopping = True
            self._cut_later = asyncio.get_running_loop().call_later(self._drain_s, self.cut)
        self._changed.set()

    def hold(self, held: bool) -> None:
        """Sends nothing new while `held`, because nothing can be stored; the time does not count for an outage."""
        if self._held_since is not None:
            self._judge.postpone(_now() - self._held_since)
        self._held_since = _now() if held else None
        self._changed.set()

    def cut(self) -> None:
        """Cancels the requests in flight; each is reported as sent, none as settled."""
        self.stop()
        for task in list(self._in_flight):
            task.cancel()

    def end_with(self, error: Exception) -> None:
        """Stops; `run` raises the first such error once the requests in flight have ended."""
        self._fatal = self._fatal or error
        self.stop()

    async def run(self, source: Source, has_more: Callable[[], bool] = lambda: False) -> None:
        """Returns when every request of the source is settled, or the pool was stopped, which cancels the source. The
        source is called again whenever it has ended and `has_more`.

        Raises AccountError, SettingsRefused, CompressedAnswer, ServiceOut or RefusesAll, the error given to `end_with`
        or that of a bug, as soon as the requests in flight have ended.
        """
        filling = self._pending.begin(source, self._task_ended)
        try:
            while not self._finished():
                self._changed.clear()
                self._dispatch()
                self._at_limit = self._limits.limiter.is_full(self.in_flight)
                if not self._finished():
                    await self._sleep()
                if filling.done() and not self._stopping and has_more():
                    filling = self._pending.begin(source, self._task_ended)
        except BaseException:
            self.cut()
            raise
        finally:
            filling.cancel()
            await asyncio.gather(filling, *self._in_flight, return_exceptions=True)
            self._limits.account.close()
            if self._cut_later is not None:
                self._cut_later.cancel()
        if self._fatal is not None:
            raise self._fatal

    # -- what is sent next ------------------------------------------------------------------------------------------

    def _finished(self) -> bool:
        return not self._in_flight and (self._stopping or (self._pending.ended and not self._judge.firsts.holds))

    def _dispatch(self) -> None:
        """Sends all that may be sent now."""
        breaker, budget, lengths = self._limits.breaker, self._limits.budget, self._limits.lengths
        self._end_what_is_due()
        if not breaker.is_open:
            self._limits.limiter.not_refused(self.in_flight, _now() - self._last_sent)
        self._short = False
        while not self._stopping and self._may_send():
            job = self._pending.next_probe() if breaker.is_open else self._pending.next()
            if job is None:
                return
            price = self._limits.price(job.request)
            if not lengths.takes(job):
                self._listener.settled(job, TooLong(lengths.longest_s))
            elif budget.can_reserve(price):
                self._send(job, price)
            elif budget.may_fit_later(price):
                self._pending.put_back(job)
                self._short = True
                return
            else:  # the next one may cost less
                self._listener.settled(job, OverBudget(price))

    def _end_what_is_due(self) -> None:
        """Releases clips that were held back, and ends the run or the outage, if it is time."""
        if (release_at := self._release_at()) is not None and _now() >= release_at:
            self._carry_out(self._judge.release(over=self._pending.ended, stalled=not self._pending.ended))
        breaker, time_is_up_at = self._limits.breaker, self._time_is_up_at()
        if not self._stopping and time_is_up_at is not None and _now() >= time_is_up_at:
            self.end_with(self._judge.service_out())
            for task, job in self._in_flight.items():
                if job is breaker.probe:
                    task.cancel()  # its answer would no longer change anything
        nothing_new = not self._in_flight and self._pending.all_tried
        if breaker.is_open and nothing_new and breaker.reconsider(self._judge.answered > 0, self._pending.rounds):
            log.warning("only clips that fail are left, so this is no outage: each clip is judged alone")

    def _send(self, job: Job, price: float) -> None:
        self._limits.budget.reserve(price)
        self._sent += 1
        job.order, job.sent_at = self._sent, _now()
        self._last_sent = job.sent_at
        self._limits.lengths.sent(job)
        task = asyncio.create_task(self._attempt(job, price))
        self._in_flight[task] = job
        task.add_done_callback(self._task_ended)
        if self._limits.breaker.is_open:
            job.probes += 1
            self._limits.breaker.probe_sent(job, self._pending.retries + 1 if self._pending.all_tried else 0)

    def _may_send(self) -> bool:
        if self._held_since is not None or self._limits.account.is_asked:
            return False
        if self._limits.breaker.is_open:
            return self._limits.breaker.may_probe
        return not self._limits.limiter.is_full(self.in_flight) and _now() >= self._judge.paused_until

    async def _sleep(self) -> None:
        """Waits for a change, or for the next moment at which time alone allows something."""
        moments = () if self._stopping else (self._time_is_up_at(), self._sending_at(), self._release_at())
        with suppress(TimeoutError):
            async with asyncio.timeout_at(min((at for at in moments if at is not None), default=None)):
                await self._changed.wait()

    def _time_is_up_at(self) -> float | None:
        if self._held_since is not None:
            return None
        return self._judge.time_is_up_at(self._in_flight.values(), self._drain_s)

    def _release_at(self) -> float | None:
        """When refusals that are held back are released, if no other clip can be sent."""
        if not self._judge.firsts.holds or self._in_flight or self._pending.next_probe_at is not None:
            return None
        return self._last_ended + (0.0 if self._pending.ended else STALLED_S)

    def _sending_at(self) -> float | None:
        """When something may be sent if nothing else changes."""
        breaker, limiter, paused_until = self._limits.breaker, self._limits.limiter, self._judge.paused_until
        if self._short or self._held_since is not None or self._limits.account.is_asked:
            return None
        if breaker.is_open:
            due = self._pending.next_probe_at if breaker.probe is None else None
            return None if due is None else max(due, breaker.probe_at)
        if limiter.is_full(self.in_flight):
            doubles = limiter.may_double and self.in_flight >= limiter.limit
            return self._last_sent + DOUBLE_AFTER_S if doubles else limiter.opens_at(self.in_flight)
        return paused_until if paused_until > _now() else self._pending.next_retry_at

    # -- one attempt ------------------------------------------------------------------------------------------------

    async def _attempt(self, job: Job, price: float) -> None:
        self._unanswered += 1
        try:
            ended = await self._attempts.send(job, price)
        finally:
            self._unanswered -= 1
        self._last_ended = _now()
        verdict = self._judge.judge(job, ended, others=self._unanswered, at_limit=self._at_limit)
        self._carry_out([(job, verdict), *self._judge.release()])
        await self._listener.wait_for_room()

    def _carry_out(self, verdicts: Iterable[tuple[Job, Verdict]]) -> None:
        for job, verdict in verdicts:
            match verdict:
                case Answer() | AttemptError() | TooLong():
                    self._listener.settled(job, verdict)
                case EndRun(error):
                    self.end_with(error)
                case Again(error, pause_s) if not self._stopping:
                    self._listener.retrying(job, error, pause_s)
                    self._pending.retry(job, pause_s)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.pop(task, None)
        self._changed.set()
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.end_with(error)


def _now() -> float:
    return asyncio.get_running_loop().time()
