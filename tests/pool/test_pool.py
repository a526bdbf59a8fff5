"""The pool with a transcriber that follows a script: who is in flight, what is tried again, what stops everything."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import pytest

from pipeline import errors
from pipeline.config.settings import RetrySettings
from pipeline.exchange import Answer, Request
from pipeline.model import FileVersion, Word
from pipeline.pool import (
    Account,
    AdaptiveLimiter,
    Budget,
    CircuitBreaker,
    Job,
    Limits,
    OverBudget,
    Pool,
    Put,
    RetryPolicy,
)
from tests.pool.accounts import account_with

OK = Answer(words=(Word(text="ok", start_s=0.0),))
Step = Answer | errors.AttemptError | Exception | Callable[[], Awaitable[Answer]]


def clip(name: str) -> Request:
    return Request(
        id=name,
        clip=0,
        path=f"/{name}.wav",
        content_type="audio/wav",
        version=FileVersion(1, 1, 1, 1),
        duration_s=1,
    )


class Scripted:
    """Answers each clip's requests by its script, one step after another; then, and without a script, with OK."""

    def __init__(self, **scripts: Sequence[Step]) -> None:
        self.asked: list[str] = []
        self.in_flight = self.most_in_flight = 0
        self._scripts = {name: list(steps) for name, steps in scripts.items()}

    async def transcribe(self, clip: Request) -> Answer:
        name = clip.id
        self.asked.append(name)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)
            steps = self._scripts.get(name)
            step = steps.pop(0) if steps else OK
            if isinstance(step, Exception):
                raise step
            return step if isinstance(step, Answer) else await step()
        finally:
            self.in_flight -= 1


class Heard:
    """Writes down what the pool tells."""

    def __init__(self) -> None:
        self.events: dict[str, list[str]] = defaultdict(list)
        self.jobs: dict[str, Job] = {}
        self.open: set[tuple[str, int]] = set()
        """Requests that were told as started and have not ended, with their numbers."""
        self.pauses: list[float] = []
        self.full = asyncio.Event()
        self.full.set()
        self.on_sent: Callable[[str], None] = lambda name: None

    async def wait_for_room(self) -> None:
        await self.full.wait()

    async def sending(self, job: Job, started_at: datetime) -> None:
        assert started_at <= datetime.now(UTC)
        self.open.add((job.request.id, job.requests))

    def sent(self, job: Job, started_at: datetime, latency_s: float, ended: Answer | errors.AttemptError) -> None:
        self.open.remove((job.request.id, job.requests))
        assert latency_s >= 0
        assert started_at <= datetime.now(UTC)
        self._note(job, "sent ok" if isinstance(ended, Answer) else f"sent {type(ended).__name__}")
        self.on_sent(job.request.id)

    def retrying(self, job: Job, error: errors.AttemptError, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self._note(job, "retrying")

    def settled(self, job: Job, result: Answer | errors.AttemptError | OverBudget) -> None:
        if isinstance(result, errors.AttemptError):
            self._note(job, f"failed {type(result).__name__}")
        else:
            assert result is OK or result == OverBudget(1.0)
            self._note(job, "done" if result is OK else "passed over")

    def _note(self, job: Job, event: str) -> None:
        self.events[job.request.id].append(event)
        self.jobs[job.request.id] = job

    def ended(self, how: str) -> list[str]:
        return [name for name, events in self.events.items() if events[-1] == how]


def pool_of(
    transcriber: Scripted,
    heard: Heard,
    *,
    concurrency: int = 4,
    max_attempts: int = 3,
    base_s: float = 0.001,
    max_s: float = 0.002,
    drain_s: float = 60,
    budget: float | None = None,
    outage_max_s: float = 60,
    probe_s: float = 1.0,
    adaptive: bool = False,
    account: Account | None = None,
) -> Pool:
    limits = Limits(
        retry=RetryPolicy(RetrySettings(max_attempts=max_attempts, base_s=base_s, max_s=max_s)),
        limiter=AdaptiveLimiter(concurrency, adaptive=adaptive),
        breaker=CircuitBreaker(first_pause_s=probe_s),
        budget=Budget(budget),
        price=lambda _: 1.0,
        outage_max_s=outage_max_s,
        account=account or account_with("nobody was asked"),
    )
    return Pool(transcriber, heard, limits, queue=concurrency, drain_s=drain_s)


class Source:
    """Clips by name, and how many were taken."""

    def __init__(self, *names: str, error: Exception | None = None) -> None:
        self.taken = 0
        self.closed = False
        self._names, self._error = names, error

    async def fill(self, put: Put) -> None:
        try:
            for name in self._names:
                self.taken += 1
                await put(clip(name))
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


def numbered(count: int) -> list[str]:
    return [f"clip{n}" for n in range(count)]


async def settle() -> None:
    """Lets everything run that can run without anything from outside."""
    for _ in range(200):
        await asyncio.sleep(0)


# -- sending ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3, 32])
def test_never_more_in_flight_than_concurrency_and_each_clip_has_one_outcome(concurrency: int) -> None:
    async def run() -> None:
        names, transcriber, heard = numbered(100), Scripted(), Heard()
        await pool_of(transcriber, heard, concurrency=concurrency).run(Source(*names).fill)
        assert transcriber.most_in_flight == concurrency
        assert sorted(transcriber.asked) == sorted(names)
        assert dict(heard.events) == {name: ["sent ok", "done"] for name in names}

    asyncio.run(run())


def test_answers_that_come_together_each_let_one_more_be_sent() -> None:
    class InStep(Scripted):
        """Answers all that have asked at once."""

        def __init__(self) -> None:
            super().__init__()
            self.asking: list[asyncio.Future[Answer]] = []
            self.together: list[int] = []

        async def transcribe(self, clip: Request) -> Answer:
            self.asking.append(asyncio.get_running_loop().create_future())
            return await self.asking[-1]

        async def answer(self) -> None:
            while sum(self.together) < 4 + 8 + 16:
                await settle()
                asking, self.asking = self.asking, []
                self.together.append(len(asking))
                for one in asking:
                    one.set_result(OK)

    async def run() -> None:
        transcriber = InStep()
        pool = pool_of(transcriber, Heard(), concurrency=100, adaptive=True)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(transcriber.answer())
            await pool.run(Source(*numbered(28)).fill)
        assert transcriber.together == [4, 8, 16]


@pytest.mark.slow
def test_the_first_answers_need_not_come_before_more_is_sent() -> None:
    class Slow(Scripted):
        """Answers nobody before so many have asked."""

        def __init__(self) -> None:
            super().__init__()
            self.enough = asyncio.Event()

        async def transcribe(self, clip: Request) -> Answer:
            if self.in_flight == 15:
                self.enough.set()
            self.in_flight += 1
            await self.enough.wait()
            self.in_flight -= 1
            return OK

    async def run() -> None:
        heard = Heard()
        async with asyncio.timeout(10):
            await pool_of(Slow(), heard, concurrency=16, adaptive=True).run(Source(*numbered(20)).fill)
        assert len(heard.ended("done")) == 20

    asyncio.run(run())


def test_clips_are_sent_in_the_order_they_come() -> None:
    async def run() -> None:
        transcriber = Scripted()
        await pool_of(transcriber, Heard(), concurrency=2).run(Source(*numbered(20)).fill)
        assert transcriber.asked == numbered(20)

    asyncio.run(run())


def test_no_clips_is_a_run_that_ends() -> None:
    async def run() -> None:
        heard = Heard()
        await pool_of(Scripted(), heard).run(Source().fill)
        assert not heard.events

    asyncio.run(run())


def test_a_slot_stays_taken_until_there_is_room_for_its_outcome() -> None:
    async def run() -> None:
        transcriber, heard = Scripted(), Heard()
        heard.full.clear()
        pool = pool_of(transcriber, heard, concurrency=2)
        running = asyncio.create_task(pool.run(Source(*numbered(10)).fill))
        await settle()
        assert transcriber.asked == numbered(2)
        assert pool.in_flight == 2
        heard.full.set()
        await running
        assert heard.ended("done") == numbered(10)

    asyncio.run(run())


def test_a_held_pool_sends_nothing_new_and_tries_nothing_again_until_it_is_let_go() -> None:
    async def run() -> None:
        heard, transcriber = Heard(), Scripted(clip0=[errors.ServerFault("once")])
        pool = pool_of(transcriber, heard, concurrency=2)
        heard.on_sent = lambda _: pool.hold(True)
        running = asyncio.create_task(pool.run(Source(*numbered(10)).fill))
        await settle()
        await asyncio.sleep(0.01)  # longer than any pause before another attempt
        assert transcriber.asked == numbered(2)
        assert pool.in_flight == 0
        heard.on_sent = lambda _: None
        pool.hold(False)
        await running
        assert sorted(heard.ended("done")) == numbered(10)

    asyncio.run(run())


@pytest.mark.parametrize(
    "fault", [errors.RateLimited("slow down", http_status=429), errors.ConnectionFailed("nothing listens")]
)
def test_the_time_that_a_pool_is_held_is_not_the_services(fault: errors.AttemptError) -> None:
    async def run() -> None:
        heard, transcriber = Heard(), Scripted(clip0=[fault], clip1=[fault], clip2=[fault])
        pool = pool_of(transcriber, heard, concurrency=3, outage_max_s=0.3, probe_s=0.01, drain_s=0.1)
        heard.on_sent = lambda _: pool.hold(True)
        running = asyncio.create_task(pool.run(Source(*numbered(5)).fill))
        await settle()
        await asyncio.sleep(0.6)  # longer than a service is waited for
        heard.on_sent = lambda _: None
        pool.hold(False)
        await running
        assert sorted(heard.ended("done")) == numbered(5)

    asyncio.run(run())


def test_a_held_pool_hears_a_stop() -> None:
    async def run() -> None:
        pool = pool_of(Scripted(), heard := Heard())
        pool.hold(True)
        running = asyncio.create_task(pool.run(Source(*numbered(3)).fill))
        await settle()
        pool.stop()
        await running
        assert not heard.events

    asyncio.run(run())


def test_the_source_is_never_far_ahead() -> None:
    async def run() -> None:
        release = asyncio.Event()

        async def slow() -> Answer:
            await release.wait()
            return OK

        names, source, heard = numbered(500), Source(*numbered(500)), Heard()
        transcriber = Scripted(**{name: [slow] for name in names[:4]})
        running = asyncio.create_task(pool_of(transcriber, heard, concurrency=4).run(source.fill))
        await settle()
        assert source.taken <= 4 + 4 + 1  # in flight, ready, and one in hand
        release.set()
        await running
        assert source.taken == 500

    asyncio.run(run())


def test_clips_that_wait_for_another_attempt_hold_the_source_back_too() -> None:
    async def run() -> None:
        names, source, heard = numbered(500), Source(*numbered(500)), Heard()
        transcriber = Scripted(**{name: [errors.ServerFault("x", retry_after_s=3600)] for name in names})
        pool = pool_of(transcriber, heard, concurrency=2, max_s=3600)
        running = asyncio.create_task(pool.run(source.fill))
        await settle()
        assert pool.in_flight == 0
        assert 0 < source.taken <= 100
        assert len(transcriber.asked) < source.taken
        pool.stop()
        await running
        assert heard.ended("retrying") == names[: len(transcriber.asked)]

    asyncio.run(run())


# -- trying again -----------------------------------------------------------------------------------------------------


def test_a_clip_that_waits_holds_no_slot() -> None:
    async def run() -> None:
        transcriber, heard = Scripted(waits=[errors.ServerFault("x", retry_after_s=3600)]), Heard()
        pool = pool_of(transcriber, heard, concurrency=1, max_s=3600)
        running = asyncio.create_task(pool.run(Source("waits", *numbered(20)).fill))
        await settle()
        assert heard.ended("done") == numbered(20)
        assert pool.in_flight == 0
        assert not running.done()
        pool.stop()
        await running
        assert heard.events["waits"] == ["sent ServerFault", "retrying"]

    asyncio.run(run())


def test_a_passing_fault_is_tried_again_until_its_attempts_are_used_up() -> None:
    async def run() -> None:
        fault = errors.ServerFault("x")
        transcriber, heard = Scripted(passes=[fault, fault], fails=[fault, fault, fault]), Heard()
        await pool_of(transcriber, heard, max_attempts=3).run(Source("passes", "fails").fill)
        again = ["sent ServerFault", "retrying"]
        assert heard.events["passes"] == [*again, *again, "sent ok", "done"]
        assert heard.events["fails"] == [*again, *again, "sent ServerFault", "failed ServerFault"]
        assert (heard.jobs["fails"].requests, heard.jobs["fails"].attempts) == (3, 3)

    asyncio.run(run())


def test_a_limit_uses_up_no_attempt() -> None:
    async def run() -> None:
        limit, fault = errors.ConcurrencyLimit("x"), errors.StreamCut("x")
        transcriber, heard = Scripted(clip=[limit, limit, fault, limit, limit, limit]), Heard()
        await pool_of(transcriber, heard, max_attempts=2).run(Source("clip").fill)
        assert heard.events["clip"][-1] == "done"
        assert (heard.jobs["clip"].requests, heard.jobs["clip"].attempts) == (7, 1)

    asyncio.run(run())


@pytest.mark.parametrize("kind", [errors.AudioRefused, errors.AudioUnreadable, errors.AudioMissing])
def test_an_items_own_fault_is_not_tried_again(kind: type[errors.ItemError]) -> None:
    async def run() -> None:
        transcriber, heard = Scripted(bad=[kind("x")]), Heard()
        await pool_of(transcriber, heard).run(Source("bad", "good").fill)
        assert heard.events["bad"] == [f"sent {kind.__name__}", f"failed {kind.__name__}"]
        assert heard.events["good"] == ["sent ok", "done"]

    asyncio.run(run())


def test_the_pause_is_kept() -> None:
    async def run() -> None:
        loop, times = asyncio.get_running_loop(), []
        transcriber, heard = Scripted(clip=[errors.RateLimited("x", retry_after_s=0.05)]), Heard()
        heard.on_sent = lambda name: times.append(loop.time())
        await pool_of(transcriber, heard, max_s=0.05).run(Source("clip").fill)
        assert heard.pauses == [0.05]
        assert times[1] - times[0] >= 0.05

    asyncio.run(run())


def test_what_is_due_again_goes_before_what_is_new() -> None:
    async def run() -> None:
        release = asyncio.Event()

        async def slow() -> Answer:
            await release.wait()
            return OK

        transcriber, heard = Scripted(first=[errors.ServerFault("x")], second=[slow]), Heard()
        pool = pool_of(transcriber, heard, concurrency=1, base_s=1e-9, max_s=1e-9)
        running = asyncio.create_task(pool.run(Source("first", "second", "third").fill))
        await settle()
        release.set()
        await running
        assert transcriber.asked.index("third") == 3

    asyncio.run(run())


# -- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [errors.KeyRefused, errors.CreditsSpent, errors.SettingsRefused])
def test_what_is_nobodys_fault_stops_everything_and_marks_nothing_failed(kind: type[errors.AttemptError]) -> None:
    async def run() -> None:
        release = asyncio.Event()

        async def slow() -> Answer:
            await release.wait()
            return OK

        transcriber = Scripted(slow=[slow], late=[slow], bad=[kind("revoked")])
        heard = Heard()
        heard.on_sent = lambda name: release.set()
        account = account_with(0.0 if kind is errors.CreditsSpent else errors.KeyRefused("no", http_status=401))
        with pytest.raises(kind, match="revoked"):
            await pool_of(transcriber, heard, concurrency=3, account=account).run(
                Source("slow", "bad", "late", *numbered(50)).fill
            )
        assert sorted(transcriber.asked) == ["bad", "late", "slow"]
        assert dict(heard.events) == {
            "bad": [f"sent {kind.__name__}"],
            "slow": ["sent ok", "done"],
            "late": ["sent ok", "done"],
        }

    asyncio.run(run())


def test_the_first_of_many_refusals_is_the_one_that_is_raised() -> None:
    async def run() -> None:
        names = numbered(10)
        scripts: dict[str, Sequence[Step]] = {name: [errors.KeyRefused(name)] for name in names}
        heard, account = Heard(), account_with(errors.KeyRefused("no", http_status=401))
        with pytest.raises(errors.KeyRefused, match=r"^clip0$"):
            await pool_of(Scripted(**scripts), heard, concurrency=10, account=account).run(Source(*names).fill)
        assert heard.ended("sent KeyRefused") == names

    asyncio.run(run())


def test_stop_sends_nothing_more_and_lets_answers_come() -> None:
    async def run() -> None:
        release = asyncio.Event()

        async def slow() -> Answer:
            await release.wait()
            return OK

        source, heard = Source(*numbered(50)), Heard()
        transcriber = Scripted(**{name: [slow] for name in numbered(3)})
        pool = pool_of(transcriber, heard, concurrency=3)
        running = asyncio.create_task(pool.run(source.fill))
        await settle()
        pool.stop()
        pool.stop()
        await settle()
        assert not running.done()
        release.set()
        await running
        assert transcriber.asked == numbered(3)
        assert heard.ended("done") == numbered(3)
        assert source.taken < 10

    asyncio.run(run())


def test_after_stop_a_passing_fault_is_neither_tried_again_nor_failed() -> None:
    async def run() -> None:
        release = asyncio.Event()

        async def fails() -> Answer:
            await release.wait()
            raise errors.ServerFault("x")

        heard = Heard()
        pool = pool_of(Scripted(clip=[fails]), heard, max_attempts=3)
        running = asyncio.create_task(pool.run(Source("clip").fill))
        await settle()
        pool.stop()
        release.set()
        await running
        assert heard.events["clip"] == ["sent ServerFault"]

    asyncio.run(run())


def test_cut_ends_requests_and_reports_each_as_sent() -> None:
    async def run() -> None:
        async def never() -> Answer:
            await asyncio.Event().wait()
            return OK

        transcriber, heard = Scripted(**{name: [never] for name in numbered(3)}), Heard()
        pool = pool_of(transcriber, heard, concurrency=3)
        running = asyncio.create_task(pool.run(Source(*numbered(50)).fill))
        await settle()
        assert heard.open == {(name, 1) for name in numbered(3)}, "told before anything comes back"
        pool.cut()
        await running
        assert dict(heard.events) == {name: ["sent CutOff"] for name in numbered(3)}
        assert not heard.open
        assert transcriber.in_flight == 0

    asyncio.run(run())


def test_answers_that_do_not_come_in_time_after_stop_are_cut() -> None:
    async def run() -> None:
        async def never() -> Answer:
            await asyncio.Event().wait()
            return OK

        heard = Heard()
        pool = pool_of(Scripted(clip=[never]), heard, drain_s=0.01)
        running = asyncio.create_task(pool.run(Source("clip").fill))
        await settle()
        pool.stop()
        await running
        assert heard.events["clip"] == ["sent CutOff"]

    asyncio.run(run())


def test_cutting_while_an_outcome_waits_for_room_reports_it_once() -> None:
    async def run() -> None:
        heard = Heard()
        heard.full.clear()
        pool = pool_of(Scripted(), heard)
        running = asyncio.create_task(pool.run(Source("clip").fill))
        await settle()
        pool.cut()
        await running
        assert heard.events["clip"] == ["sent ok", "done"]

    asyncio.run(run())


def test_a_cancelled_run_leaves_nothing_running() -> None:
    async def run() -> None:
        async def never() -> Answer:
            await asyncio.Event().wait()
            return OK

        transcriber, heard = Scripted(clip=[never]), Heard()
        running = asyncio.create_task(pool_of(transcriber, heard).run(Source("clip").fill))
        await settle()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert heard.events["clip"] == ["sent CutOff"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_a_source_that_raises_ends_the_run_after_what_is_in_flight() -> None:
    async def run() -> None:
        heard = Heard()
        with pytest.raises(errors.CheckpointError, match="no disk"):
            await pool_of(Scripted(), heard).run(Source("a", "b", error=errors.CheckpointError("no disk")).fill)
        assert all(events == ["sent ok", "done"] for events in heard.events.values())

    asyncio.run(run())


def test_a_bug_in_the_transcriber_ends_the_run_and_is_raised() -> None:
    async def run() -> None:
        heard = Heard()
        with pytest.raises(ZeroDivisionError):
            await pool_of(Scripted(bad=[ZeroDivisionError()]), heard).run(Source("bad", *numbered(500)).fill)
        assert heard.events["bad"] == ["sent CutOff"], "it may have been billed"
        assert len(heard.events) < 50

    asyncio.run(run())


def test_a_listener_that_raises_ends_the_run() -> None:
    async def run() -> None:
        def broken(name: str) -> None:
            raise errors.OutputError(f"no room for {name}")

        heard = Heard()
        heard.on_sent = broken
        with pytest.raises(errors.OutputError, match="no room for clip0"):
            await pool_of(Scripted(), heard).run(Source(*numbered(50)).fill)

    asyncio.run(run())


def test_what_the_pool_was_ended_with_is_raised() -> None:
    async def run() -> None:
        heard = Heard()
        pool = pool_of(Scripted(), heard, concurrency=1)
        heard.on_sent = lambda name: pool.end_with(errors.OutputError("disk full"))
        with pytest.raises(errors.OutputError, match="disk full"):
            await pool.run(Source(*numbered(50)).fill)
        assert heard.ended("done") == ["clip0"]

    asyncio.run(run())


def test_the_source_is_closed_when_the_pool_has_stopped() -> None:
    async def run() -> None:
        source, heard = Source(*numbered(500)), Heard()
        pool = pool_of(Scripted(), heard, concurrency=1)
        heard.on_sent = lambda name: pool.stop()
        await pool.run(source.fill)
        assert source.closed

    asyncio.run(run())
