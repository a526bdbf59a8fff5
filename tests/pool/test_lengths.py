"""How long clips may be: one of more than the usual length shows whether the service takes it; all others wait for it.

The pool in virtual time, against services with any limit; the source cuts what comes back into shorter clips, as a run
does.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import errors
from pipeline.config.settings import RetrySettings
from pipeline.exchange import Answer, Request
from pipeline.gradium.too_long import SHORTEST_S
from pipeline.model import Word
from pipeline.pool import (
    AdaptiveLimiter,
    Budget,
    CircuitBreaker,
    Job,
    Lengths,
    Limits,
    OverBudget,
    Pool,
    Put,
    RetryPolicy,
    TooLong,
)
from pipeline.pool.budget import ROUNDING
from tests.pool.accounts import account_with
from tests.pool.test_pool import clip
from tests.pool.virtual import in_virtual_time

OK = Answer(words=(Word(text="ok", start_s=0.0),))
Span = tuple[str, float, float]
Plan = Callable[[float, int], errors.AttemptError | None]
"""(time since the start, requests for the clip before) to the failure of a clip that is short enough."""


class Night(msgspec.Struct):
    """What a run came to."""

    refused: list[float] = []
    """Lengths of the clips that were refused as too long."""
    learned: list[float] = []
    """Limits, in the order they were learned."""
    sent: list[tuple[float, float, float]] = []
    """(length, when, end) of each request."""
    ends: dict[Span, str] = {}
    again: list[tuple[Span, float]] = []
    error: Exception | None = None

    def seconds(self, *how: str) -> float:
        return sum(stop - start for (_, start, stop), end in self.ends.items() if not how or end in how)

    def most_at_once(self, above_s: float, until: float = math.inf) -> int:
        long = [(begin, end) for length, begin, end in self.sent if length > above_s and begin < until]
        return max((sum(b <= begin < e for b, e in long) for begin, _ in long), default=0)


class _Listener:
    def __init__(self, night: Night) -> None:
        self._night = night

    async def wait_for_room(self) -> None: ...

    async def sending(self, job: Job, started_at: datetime) -> None: ...

    def sent(self, job: Job, started_at: datetime, latency_s: float, ended: Answer | errors.AttemptError) -> None: ...

    def retrying(self, job: Job, error: errors.AttemptError, pause_s: float) -> None: ...

    def settled(self, job: Job, result: Answer | errors.AttemptError | OverBudget | TooLong) -> None:
        span, night = span_of(job.request), self._night
        assert span not in night.ends
        night.ends[span] = type(result).__name__
        if isinstance(result, TooLong):
            assert job.request.sent_s > result.limit_s
            del night.ends[span]  # its audio comes again
            night.again.append((span, result.limit_s))
            if result.limit_s not in night.learned:
                night.learned.append(result.limit_s)


def span_of(request: Request) -> Span:
    name, start, stop = request.id.split()
    return name, float(start), float(stop)


def pieces(span: Span, longest_s: float) -> list[Span]:
    name, start, stop = span
    count = math.ceil((stop - start) / longest_s)
    edges = [start + (stop - start) * n / count for n in range(count)] + [stop]
    return [(name, edges[n], edges[n + 1]) for n in range(count)]


def night(
    lengths_s: Sequence[float],
    limit_s: float,
    *,
    names: bool = True,
    plan: Plan = lambda at_s, before: None,
    by_clip: Callable[[Request], errors.AttemptError | None] = lambda request: None,
    lengths: Lengths | None = None,
    concurrency: int = 8,
    budget: float | None = None,
    outage_max_s: float = 600.0,
    max_clip_s: float = 3000.0,
    sessions: int = 1000,
    speed: float = 50.0,
) -> Night:
    """One run with recordings of `lengths_s` and a service that takes `limit_s` in one request, and `names` that.

    It works on so many at a time, and `speed` times as fast as the audio plays.
    """
    ended, known = Night(), lengths or Lengths()

    class Service:
        def __init__(self) -> None:
            self.requests: Counter[str] = Counter()
            self.began = asyncio.get_running_loop().time()
            self.at_work = 0

        async def transcribe(self, request: Request) -> Answer:
            loop, before = asyncio.get_running_loop(), self.requests[request.id]
            began = loop.time()
            self.requests[request.id] += 1
            error = plan(began - self.began, before) or by_clip(request)
            if error is None and request.sent_s > limit_s:
                ended.refused.append(request.sent_s)
                error = errors.ClipTooLong("too long", http_status=500, limit_s=limit_s if names else None)
            if self.at_work >= sessions:
                error = errors.ConcurrencyLimit("Concurrency limit", http_status=500)
            self.at_work += 1
            await asyncio.sleep(0.2 if error is not None else 1 + request.sent_s / speed)
            self.at_work -= 1
            ended.sent.append((request.sent_s, began, loop.time()))
            if error is not None:
                raise error
            return OK

    fresh: list[Span] = [(str(n), 0.0, length_s) for n, length_s in enumerate(lengths_s)]

    async def fill(put: Put) -> None:
        while fresh or ended.again:
            if ended.again:
                span, longest_s = ended.again.pop(0)
            else:
                span, longest_s = fresh.pop(0), min(max_clip_s, known.longest_s)
            await asyncio.sleep(0.05)
            for name, start, stop in pieces(span, longest_s):
                await put(msgspec.structs.replace(clip(f"{name} {start} {stop}"), duration_s=stop - start))

    async def run() -> None:
        clock = asyncio.get_running_loop().time
        limits = Limits(
            retry=RetryPolicy(RetrySettings()),
            limiter=AdaptiveLimiter(concurrency, clock=clock),
            breaker=CircuitBreaker(clock=clock),
            budget=Budget(budget),
            price=lambda request: request.sent_s,
            outage_max_s=outage_max_s,
            account=account_with("nobody was asked"),
            settings_answered=True,
            lengths=known,
        )
        pool = Pool(Service(), _Listener(ended), limits, queue=concurrency, drain_s=60.0)
        try:
            await pool.run(fill, lambda: bool(ended.again))
        except errors.GradiumBatchError as error:
            ended.error = error

    in_virtual_time(run())
    if ended.error is None:
        assert not ended.again
        assert ended.seconds() == pytest.approx(sum(lengths_s)), "every second has one outcome"
    if budget is not None:
        assert ended.seconds("Answer") <= budget + ROUNDING
    return ended


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("concurrency", [1, 2, 64])
@pytest.mark.parametrize("recordings", [1, 40])
def test_one_request_shows_that_the_service_takes_less_however_many_are_long(
    recordings: int, concurrency: int, names: bool
) -> None:
    ended = night([2999.5, 20.0] * recordings, 300.0, names=names, concurrency=concurrency)
    assert (ended.refused, ended.learned) == ([2999.5], [300.0])
    assert ended.seconds("Answer") == pytest.approx(3019.5 * recordings)


def test_until_one_was_answered_one_is_in_flight_and_others_are_sent_meanwhile() -> None:
    ended = night([2750.0 + n for n in range(20)] + [20.0] * 30, 3000.0, concurrency=8)
    assert not ended.refused
    first_end = min(end for length, _, end in ended.sent if length > 300)
    assert ended.most_at_once(300.0, until=first_end) == 1
    assert ended.most_at_once(300.0) == 8
    assert sum(length < 300 and end < first_end for length, _, end in ended.sent) == 30


def test_what_an_earlier_run_learned_needs_no_request() -> None:
    ended = night([2999.5] * 10, 300.0, lengths=Lengths(longest_s=300.0))
    assert not ended.refused
    assert ended.seconds("Answer") == pytest.approx(29995)
    ended = night([2999.5] * 10, 3000.0, lengths=Lengths(answered_s=2760.0))
    assert len(ended.sent) == 10
    assert ended.most_at_once(300.0) > 1


def test_after_a_refusal_the_named_length_has_to_be_answered_once_too() -> None:
    ended = night([2999.5] * 10, 600.0, lengths=Lengths(answered_s=2999.5))
    refused = len(ended.refused)
    assert 1 < refused <= 8, "those in flight: the service took them the last time"
    assert ended.learned == [600.0]
    first_end = min(end for length, _, end in ended.sent if 300 < length <= 600)
    assert ended.most_at_once(300.0, until=first_end) <= refused
    begun = [begin for length, begin, _ in ended.sent if 300 < length <= 600]
    assert sum(begin < first_end for begin in begun) == 1


def test_a_service_that_refuses_every_length_ends_soon_and_each_recording_for_good() -> None:
    ended = night([2999.5] * 3 + [40.0] * 30, 1.0, names=False)
    assert isinstance(ended.error, errors.RefusesAll)
    assert ended.learned == [300.0]
    assert len(ended.sent) < 20
    ended = night([400.0, 40.0], 1.0, names=False)
    assert ended.error is None
    assert ended.seconds("AudioRefused", "UnconfirmedRefusal") == pytest.approx(440)


def test_a_service_that_always_names_a_little_less_is_believed_once() -> None:
    ended, known = Night(), Lengths()
    for sent_s in (2999.5, 2900.0, 300.0):
        job = Job(request=msgspec.structs.replace(clip("a"), duration_s=sent_s))
        error = errors.ClipTooLong("too long", limit_s=sent_s * 0.97)
        ended.learned.append(known.refused(job, error) or 0.0)
    assert ended.learned == [pytest.approx(2909.515), 300.0, 0.0]


def test_a_limit_that_falls_again_in_the_same_run_is_followed() -> None:
    requests = 0

    def plan(request: Request) -> errors.AttemptError | None:
        nonlocal requests
        requests += 1
        limit_s = 250.0 if requests < 3 else 60.0
        return errors.ClipTooLong("too long", limit_s=limit_s) if request.sent_s > limit_s else None

    ended = night([310.0] * 4 + [40.0] * 6, 3000.0, by_clip=plan)
    assert ended.error is None
    assert ended.learned == [250.0, 60.0]
    assert ended.seconds("Answer") == pytest.approx(1480)


def test_a_service_that_always_names_half_ends_too() -> None:
    def plan(request: Request) -> errors.AttemptError | None:
        half_s = request.sent_s / 2
        return errors.ClipTooLong("too long", limit_s=half_s if half_s >= SHORTEST_S else None)

    ended = night([2999.5] * 3, 3000.0, by_clip=plan)
    assert ended.error is None or isinstance(ended.error, errors.RefusesAll)
    assert len(ended.sent) < 500


def test_a_limit_below_the_usual_length_is_fallen_back_to() -> None:
    ended = night([2999.5, 300.0, 250.0], 60.0)
    assert ended.learned == [60.0]
    assert ended.seconds("Answer") == pytest.approx(3549.5)


@pytest.mark.parametrize("failures", [2, 99])
def test_a_long_clip_that_fails_otherwise_keeps_no_other_from_its_turn(failures: int) -> None:
    def plan(at_s: float, before: int) -> errors.AttemptError | None:
        return errors.ServerFault("no", http_status=503, billed="maybe") if before < failures and at_s < 30 else None

    ended = night([2999.5] * 12 + [20.0] * 40, 300.0, plan=plan)
    assert ended.error is None
    assert len(ended.refused) <= 1
    assert ended.seconds("Answer", "ServerFault") == pytest.approx(12 * 2999.5 + 800)


@pytest.mark.parametrize("how", ["503", "1011", "reset", "audio in the stream"])
def test_a_length_that_only_ever_fails_is_cut_again(how: str) -> None:
    """A proxy closes the connection where a body is too large, and the words of a refusal may be unknown."""

    def plan(request: Request) -> errors.AttemptError | None:
        return FAULTS[how]() if request.sent_s > 300 else None

    ended = night([2999.5] * 3 + [20.0] * 10, 3000.0, by_clip=plan)
    assert ended.error is None
    assert ended.learned == [300.0]
    assert ended.seconds("Answer") == pytest.approx(3 * 2999.5 + 200)
    assert sum(length > 300 for length, _, _ in ended.sent) <= 3 * RetrySettings().max_attempts


def test_a_length_that_was_answered_before_is_not_why_a_clip_fails() -> None:
    def plan(request: Request) -> errors.AttemptError | None:
        return FAULTS["reset"]() if request.id.startswith("0 ") else None

    ended = night([2999.5] * 3, 3000.0, by_clip=plan, lengths=Lengths(answered_s=2999.5))
    assert ended.learned == []
    assert ended.seconds("ConnectionFailed") == pytest.approx(2999.5)
    assert ended.seconds("Answer") == pytest.approx(2 * 2999.5)


def test_slow_answers_to_long_clips_that_take_all_sessions_are_no_outage() -> None:
    ended = night([2999.5] * 4 + [20.0] * 10, 3000.0, sessions=1, speed=1.0)
    assert ended.error is None
    assert ended.seconds("Answer") == pytest.approx(4 * 2999.5 + 200)


def test_a_probe_of_a_long_clip_has_its_time() -> None:
    def plan(at_s: float, before: int) -> errors.AttemptError | None:
        return FAULTS["no connection"]() if at_s < 60 else None

    ended = night([2999.5], 3000.0, plan=plan, speed=1.0)
    assert ended.error is None


FAULTS = {
    "503": lambda: errors.ServerFault("no", http_status=503),
    "1011": lambda: errors.ServerFault("no", http_status=500, code=1011, billed="maybe", bytes_sent=9),
    "limit": lambda: errors.ConcurrencyLimit("Concurrency limit", http_status=500),
    "reset": lambda: errors.ConnectionFailed("reset", billed="maybe", bytes_sent=9),
    "no connection": lambda: errors.ConnectionFailed("refused"),
    "audio": lambda: errors.AudioRefused("bad audio", http_status=500),
    "audio in the stream": lambda: errors.StreamError("no", http_status=200, billed="maybe", bytes_sent=9),
}


@settings(max_examples=120, deadline=None)
@given(
    lengths_s=st.lists(st.one_of(st.floats(1, 300), st.floats(300, 9000)), min_size=1, max_size=40),
    limit_s=st.sampled_from([300.0, 300.0, 600.0, 1800.0, 3000.0]) | st.floats(5, 3000),
    names=st.booleans(),
    faults=st.lists(st.none() | st.none() | st.sampled_from(sorted(FAULTS)), min_size=1, max_size=30),
    outage=st.none() | st.tuples(st.floats(0, 100), st.floats(1, 400)),
    concurrency=st.sampled_from([1, 2, 8, 64]),
    budget=st.none() | st.floats(1, 50_000),
)
def test_any_mix_ends_with_one_outcome_for_every_second_and_one_refusal_for_each_limit(
    lengths_s: list[float],
    limit_s: float,
    names: bool,
    faults: list[str | None],
    outage: tuple[float, float] | None,
    concurrency: int,
    budget: float | None,
) -> None:
    count = 0

    def plan(at_s: float, before: int) -> errors.AttemptError | None:
        nonlocal count
        count += 1
        fault = faults[count % len(faults)]
        if outage is not None and outage[0] <= at_s < sum(outage):
            fault = "no connection"
        return None if fault is None else FAULTS[fault]()

    ended = night(lengths_s, limit_s, names=names, plan=plan, concurrency=concurrency, budget=budget)
    assert ended.error is None or isinstance(ended.error, errors.RefusesAll | errors.ServiceOut), ended.error
    assert ended.learned == sorted(ended.learned, reverse=True)
    assert len(ended.learned) <= 2
    if limit_s % 300 == 0:
        assert len(ended.refused) <= len(ended.learned)
    for length_s in ended.refused:
        assert length_s > limit_s
