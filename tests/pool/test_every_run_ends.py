"""The pool against every kind of fault, in virtual time: it ends within its limits, no clip costs more than its
attempts, no budget is exceeded, and each clip has the outcome that is its own."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import errors
from pipeline.config.settings import RetrySettings
from pipeline.exchange import Answer, Request
from pipeline.model import Word
from pipeline.pool import (
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
from pipeline.pool.budget import ROUNDING
from tests.pool.accounts import Told, account_with
from tests.pool.test_pool import clip
from tests.pool.virtual import in_virtual_time

OK = Answer(words=(Word(text="ok", start_s=0.0),))
SILENCE = Answer(words=())
OPEN_SILENCE = Answer(words=(), is_certain=False)
MAX_ATTEMPTS = 6
OUTAGE_MAX_S = 1800.0
DRAIN_S = 60.0
DEADLINE_S = 32.0
"""How long a request hangs before the client gives it up."""

Fault = Callable[[], errors.AttemptError]


def _fault(kind: type[errors.AttemptError], billed: Literal["no", "maybe"], **more: object) -> Fault:
    def make() -> errors.AttemptError:
        return kind("no answer", billed=billed, bytes_sent=0 if kind is errors.ConnectionFailed else 9, **more)  # type: ignore[arg-type]

    return make


REFUSED_CONNECTION = _fault(errors.ConnectionFailed, "no")
RATE_LIMITED = _fault(errors.RateLimited, "no", http_status=429, retry_after_s=1)
TIMEOUT = _fault(errors.AttemptTimeout, "maybe")
COMPRESSED = _fault(errors.CompressedAnswer, "maybe", http_status=200)
OWN: dict[str, Fault] = {
    "1011": _fault(errors.ServerFault, "maybe", http_status=500, code=1011),
    "503": _fault(errors.ServerFault, "no", http_status=503),
    "503 with Retry-After": _fault(errors.ServerFault, "no", http_status=503, retry_after_s=7),
    "malformed stream": _fault(errors.StreamMalformed, "maybe", http_status=200),
    "stream cut": _fault(errors.StreamCut, "maybe", http_status=200),
    "captive portal": _fault(errors.StreamMalformed, "no", http_status=200),
    "reset": lambda: errors.ConnectionFailed("reset", billed="maybe", bytes_sent=9),
    "timeout": TIMEOUT,
    "empty 200": _fault(errors.EmptyAnswer, "maybe", http_status=200),
    "limit after words": _fault(errors.ConcurrencyLimit, "maybe", http_status=200),
    "in the stream": _fault(errors.StreamError, "maybe", http_status=200),
    "settings, later": _fault(errors.SettingsRefused, "no", http_status=500),
    "unknown": _fault(errors.UnknownFault, "no", http_status=500),
}
"""Faults that a clip draws each time, and that come as an answer of some kind."""
NEVER_PASSING = OWN | {"refused connection": REFUSED_CONNECTION, "429": RATE_LIMITED, "compressed": COMPRESSED}


class Service:
    """Answers by `plan`: (clip, time since the start, requests for it before) to what comes. Takes 0.2 s for each."""

    def __init__(self, plan: Callable[[Request, float, int], Answer | errors.AttemptError]) -> None:
        self.requests: Counter[str] = Counter()
        self.billed: Counter[str] = Counter()
        self._plan = plan
        self._began = asyncio.get_running_loop().time()

    async def transcribe(self, clip: Request) -> Answer:
        name = clip.id
        came = self._plan(clip, asyncio.get_running_loop().time() - self._began, self.requests[name])
        self.requests[name] += 1
        self.billed[name] += isinstance(came, Answer) or came.billed != "no"  # also one that is cut off meanwhile
        await asyncio.sleep(DEADLINE_S if isinstance(came, errors.AttemptTimeout) else 0.2)
        if isinstance(came, Answer):
            return came
        raise came


class Ended(msgspec.Struct):
    """What a run came to."""

    requests: Counter[str]
    billed: Counter[str]
    done: dict[str, Answer] = {}
    failed: dict[str, str] = {}
    passed_over: set[str] = set()
    error: Exception | None = None
    took_s: float = 0.0
    outages: int = 0


class _Listener:
    def __init__(self, ended: Ended) -> None:
        self._ended = ended

    async def wait_for_room(self) -> None: ...

    async def sending(self, job: Job, started_at: datetime) -> None: ...

    def sent(self, job: Job, started_at: datetime, latency_s: float, ended: Answer | errors.AttemptError) -> None: ...

    def retrying(self, job: Job, error: errors.AttemptError, pause_s: float) -> None: ...

    def settled(self, job: Job, result: Answer | errors.AttemptError | OverBudget) -> None:
        name, ended = job.request.id, self._ended
        assert name not in ended.done.keys() | ended.failed.keys() | ended.passed_over
        match result:
            case Answer():
                ended.done[name] = result
            case OverBudget():
                ended.passed_over.add(name)
            case errors.AttemptError():
                ended.failed[name] = type(result).__name__


def night(
    names: Iterable[str],
    plan: Callable[[Request, float, int], Answer | errors.AttemptError],
    *,
    budget: float | None = None,
    price: Callable[[str], float] = lambda _: 1.0,
    concurrency: int = 32,
    outage_max_s: float = OUTAGE_MAX_S,
    max_attempts: int = MAX_ATTEMPTS,
    learned: int | None = None,
    settings_answered: bool = True,
    doubts_refusals: bool = True,
    pauses_s: float = 0.0,
    balance: Told | Callable[[], Told] = 1e6,
) -> Ended:
    """One run with the default settings; a clip costs one credit, or its `price`, and takes `pauses_s` to be made. What
    holds for every run is checked here."""
    names = list(names)

    async def fill(put: Put) -> None:
        for name in names:
            await asyncio.sleep(pauses_s)
            await put(clip(name))

    async def run() -> Ended:
        loop = asyncio.get_running_loop()
        service = Service(plan)
        ended = Ended(service.requests, service.billed)
        began = loop.time()
        breaker = CircuitBreaker(clock=loop.time)
        limits = Limits(
            retry=RetryPolicy(RetrySettings(max_attempts=max_attempts)),
            limiter=AdaptiveLimiter(concurrency, learned=learned, clock=loop.time),
            breaker=breaker,
            budget=Budget(budget),
            price=lambda clip: price(clip.id),
            outage_max_s=outage_max_s,
            account=account_with(balance),
            settings_answered=settings_answered,
            doubts_refusals=doubts_refusals,
        )
        pool = Pool(service, _Listener(ended), limits, queue=concurrency, drain_s=DRAIN_S)
        try:
            await pool.run(fill)
        except errors.GradiumBatchError as error:
            ended.error = error
        ended.took_s = loop.time() - began
        ended.outages = breaker.outages
        return ended

    ended = in_virtual_time(run())
    over = {name: count for name, count in ended.billed.items() if count > max_attempts}
    assert not over, "nothing that may have been billed is free for its clip"
    spent = sum(price(name) * count for name, count in ended.billed.items())
    assert spent <= (math.inf if budget is None else budget + ROUNDING)
    # what is left only becomes less
    assert all(budget is not None and price(name) > budget - spent for name in ended.passed_over)
    if ended.error is None:
        assert ended.done.keys() | ended.failed.keys() | ended.passed_over == set(names)
    return ended


def poisoned(bad: set[str], fault: Fault) -> Callable[[Request, float, int], Answer | errors.AttemptError]:
    return lambda clip, at_s, before: fault() if clip.id in bad else OK


def names_of(count: int, what: str) -> list[str]:
    return [f"{what}{n}" for n in range(count)]


def mixed(bad: int, good: int, place: str) -> list[str]:
    names = names_of(good, "good")
    if place == "scattered":
        return random.Random(bad * 100 + good).sample([*names, *names_of(bad, "bad")], bad + good)
    return [*names_of(bad, "bad"), *names] if place == "first" else [*names, *names_of(bad, "bad")]


# -- poisoned clips ---------------------------------------------------------------------------------------------------


def counts(*fast: int) -> list[object]:
    """1 to 12; those that are not named only in the long form."""
    return [number if number in fast else pytest.param(number, marks=pytest.mark.slow) for number in range(1, 13)]


@pytest.mark.parametrize("place", ["first", "last", "scattered"])
@pytest.mark.parametrize("fault", OWN)
@pytest.mark.parametrize("bad", counts(1, 2, 5, 12))
def test_poisoned_clips_fail_by_themselves_and_all_others_are_answered(bad: int, fault: str, place: str) -> None:
    for good in (3, 30):
        if fault == "settings, later" and (place != "last" or good < 30):
            continue  # before anything was answered it stops the run
        names = mixed(bad, good, place)
        ended = night(names, poisoned(set(names_of(bad, "bad")), OWN[fault]))
        assert ended.error is None
        assert sorted(ended.done) == sorted(names_of(good, "good"))
        assert sorted(ended.failed) == sorted(names_of(bad, "bad"))
        assert ended.took_s < 400 + (24 * DEADLINE_S if fault == "timeout" else 0)


@pytest.mark.parametrize("place", ["first", "last", "scattered"])
@pytest.mark.parametrize("fault", ["refused connection", "429"])
@pytest.mark.parametrize("bad", [1, 2])
def test_a_clip_that_is_never_let_in_keeps_no_other_from_its_answer(bad: int, fault: str, place: str) -> None:
    names = mixed(bad, 30, place)
    ended = night(names, poisoned(set(names_of(bad, "bad")), NEVER_PASSING[fault]), outage_max_s=600.0)
    assert sorted(ended.done) == sorted(names_of(30, "good"))
    assert ended.failed == {}
    assert isinstance(ended.error, errors.ServiceOut)
    assert ended.took_s < 800


@pytest.mark.parametrize("fault", OWN)
@pytest.mark.parametrize("rows", counts(1, 2, 5, 12))
def test_a_small_manifest_whose_rows_all_fail_ends_soon_with_each_recorded(rows: int, fault: str) -> None:
    if fault == "settings, later":
        return
    ended = night(names_of(rows, "bad"), poisoned(set(names_of(rows, "bad")), OWN[fault]))
    assert ended.error is None
    assert set(ended.failed.values()) == {type(OWN[fault]()).__name__}
    assert len(ended.failed) == rows
    # a limit closes the line for everybody, so that those pauses add up
    assert ended.took_s < 60 + {"timeout": MAX_ATTEMPTS * DEADLINE_S, "limit after words": 180}.get(fault, 0)


@pytest.mark.parametrize("rows", counts(1, 2, 5, 12))
def test_where_nothing_can_be_reached_it_is_an_outage_however_small_the_manifest(rows: int) -> None:
    ended = night(names_of(rows, "bad"), poisoned(set(names_of(rows, "bad")), REFUSED_CONNECTION))
    assert isinstance(ended.error, errors.ServiceOut)
    assert not ended.failed
    assert OUTAGE_MAX_S <= ended.took_s < OUTAGE_MAX_S + 3
    assert ended.requests.total() < 80


@pytest.mark.parametrize("rows", [1, 3, 12, 40])
def test_refusals_for_limits_alone_end_the_run_in_time(rows: int) -> None:
    ended = night(names_of(rows, "bad"), poisoned(set(names_of(rows, "bad")), RATE_LIMITED))
    assert isinstance(ended.error, errors.ServiceOut)
    assert "limits" in str(ended.error)
    assert not ended.failed
    assert OUTAGE_MAX_S <= ended.took_s <= OUTAGE_MAX_S + 1


def test_a_limits_sentence_after_words_uses_up_attempts() -> None:
    ended = night(["a", *names_of(5, "good")], poisoned({"a"}, OWN["limit after words"]))
    assert ended.failed == {"a": "ConcurrencyLimit"}
    assert ended.requests["a"] == MAX_ATTEMPTS


def test_a_service_that_cuts_after_billing_costs_no_clip_more_than_its_attempts() -> None:
    draw = random.Random(3)
    ended = night(names_of(60, "clip"), lambda *_: OK if draw.random() < 0.05 else OWN["stream cut"]())
    assert ended.billed.total() <= 60 * MAX_ATTEMPTS


# -- outages ----------------------------------------------------------------------------------------------------------


def out_between(
    from_s: float, to_s: float, fault: Fault
) -> Callable[[Request, float, int], Answer | errors.AttemptError]:
    return lambda clip, at_s, before: fault() if from_s <= at_s < to_s else OK


@pytest.mark.parametrize("fault", ["503", "1011", "captive portal", "refused connection", "503 with Retry-After"])
@pytest.mark.parametrize("from_s", [0.0, 1.0])
def test_an_outage_is_waited_out_and_nobody_fails_for_it(from_s: float, fault: str) -> None:
    names = names_of(400, "clip")
    ended = night(names, out_between(from_s, from_s + 600, NEVER_PASSING[fault]))
    assert ended.error is None
    assert len(ended.done) == 400
    assert ended.outages == 1
    assert ended.requests.total() < 400 + 32 + 10 + 30, "what was in flight, and a probe now and then"
    assert 600 < ended.took_s < 700


@pytest.mark.parametrize("fault", ["503", "1011", "refused connection"])
def test_an_outage_at_the_tail_is_waited_out_for_a_while_too(fault: str) -> None:
    def plan(clip: Request, at_s: float, before: int) -> Answer | errors.AttemptError:
        return NEVER_PASSING[fault]() if int(clip.id[4:]) >= 40 and at_s < 90 else OK

    ended = night(names_of(52, "clip"), plan)
    assert ended.error is None
    assert len(ended.done) == 52


@pytest.mark.parametrize("fault", ["503", "1011", "captive portal", "refused connection"])
@pytest.mark.parametrize("outage_max_s", [0.0, 7.0, 60.0, 1800.0])
def test_an_outage_that_does_not_end_ends_the_run_to_the_second(outage_max_s: float, fault: str) -> None:
    ended = night(names_of(400, "clip"), out_between(1.0, 1e9, NEVER_PASSING[fault]), outage_max_s=outage_max_s)
    assert isinstance(ended.error, errors.ServiceOut)
    assert outage_max_s < ended.took_s < outage_max_s + 1.0 + 3
    assert not ended.failed


def test_a_probe_that_hangs_is_cut_when_the_outage_has_lasted_long_enough() -> None:
    def plan(clip: Request, at_s: float, before: int) -> Answer | errors.AttemptError:
        return NEVER_PASSING["503"]() if at_s < 2 else TIMEOUT()

    ended = night(names_of(400, "clip"), plan, outage_max_s=10)
    assert isinstance(ended.error, errors.ServiceOut)
    assert ended.took_s < 13


def test_probes_take_the_shortest_clips_and_go_round() -> None:
    probed: list[str] = []

    def plan(clip: Request, at_s: float, before: int) -> Answer | errors.AttemptError:
        if clip.id.startswith("good"):
            return OK
        if before:
            probed.append(clip.id)
        return NEVER_PASSING["503"]()

    night([*names_of(8, "good"), *names_of(12, "bad")], plan)
    counts = Counter(probed[:24])
    assert max(counts.values()) - min(counts.values()) <= 1


def test_files_that_cannot_be_sent_say_nothing_about_the_service() -> None:
    def plan(clip: Request, at_s: float, before: int) -> Answer | errors.AttemptError:
        if int(clip.id[4:]) % 5 == 0:
            return errors.AudioUnavailable("EIO") if int(clip.id[4:]) % 2 else errors.AudioMissing("gone")
        return NEVER_PASSING["503"]() if 1 <= at_s < 300 else OK

    ended = night(names_of(400, "clip"), plan)
    assert ended.error is None
    assert ended.outages == 1
    assert Counter(ended.failed.values()) == {"AudioMissing": 40, "AudioUnavailable": 40}
    assert all(ended.requests[name] == 1 for name in ended.failed)


# -- budget, silence, settings ----------------------------------------------------------------------------------------


def test_a_pause_with_the_budget_nearly_used_up_ends() -> None:
    for rows in (2, 6, 60):
        ended = night(
            names_of(rows, "clip"),
            lambda clip, at_s, before: RATE_LIMITED() if at_s < 0.1 and clip.id in ("clip0", "clip1") else OK,
            budget=6,
        )
        assert ended.error is None
        assert len(ended.done) == min(rows, 6)
        assert len(ended.passed_over) == max(0, rows - 6)


def test_a_pause_in_an_outage_with_the_budget_nearly_used_up_ends() -> None:
    for budget in (1, 2, 5, 12, 30):
        ended = night(names_of(60, "clip"), out_between(0.5, 1e9, NEVER_PASSING["503"]), budget=budget)
        assert ended.took_s < OUTAGE_MAX_S + 120


@pytest.mark.parametrize("concurrency", [1, 2, 32])
def test_what_does_not_fit_the_budget_is_passed_over_and_what_fits_is_sent(concurrency: int) -> None:
    names = ["long", *names_of(10, "short")]
    price = {"long": 300.0}
    ended = night(names, lambda *_: OK, budget=30, price=lambda name: price.get(name, 6.0), concurrency=concurrency)
    assert ended.passed_over == {"long", *names_of(10, "short")[5:]}
    assert len(ended.done) == 5


def test_a_clip_that_was_billed_in_vain_leaves_what_is_left_to_the_others() -> None:
    price = {"bad": 10.0}
    bad = poisoned({"bad"}, OWN["stream cut"])
    ended = night(["bad", *names_of(9, "good")], bad, budget=29, price=lambda name: price.get(name, 1.0), concurrency=1)
    assert ended.passed_over == {"bad"}
    assert ended.requests["bad"] == 2
    assert len(ended.done) == 9


def test_in_an_outage_who_does_not_fit_is_no_probe() -> None:
    names = [*names_of(10, "clip"), "long", *names_of(389, "other")]
    price = {"long": 90.0}
    plan = out_between(0.0, 300, NEVER_PASSING["503"])
    ended = night(names, plan, budget=80, price=lambda name: price.get(name, 0.2))
    assert ended.passed_over == {"long"}
    assert len(ended.done) == 399


def test_a_silence_that_was_not_rounded_off_counts_when_it_comes_again() -> None:
    said: dict[str, Sequence[Answer | errors.AttemptError]] = {
        "silent": [OPEN_SILENCE, OPEN_SILENCE],
        "cut short": [OPEN_SILENCE, OK],
        "in between": [OPEN_SILENCE, OWN["1011"](), OPEN_SILENCE],
        "certain": [SILENCE],
    }
    ended = night(said, lambda clip, at_s, before: said[clip.id][before])
    assert ended.done == {"silent": OPEN_SILENCE, "cut short": OK, "in between": OPEN_SILENCE, "certain": SILENCE}
    assert ended.requests == {"silent": 2, "cut short": 2, "in between": 3, "certain": 1}


def test_many_silences_are_neither_an_outage_nor_refused_settings() -> None:
    ended = night(names_of(50, "clip"), lambda *_: OPEN_SILENCE, settings_answered=False)
    assert ended.error is None
    assert ended.outages == 0
    assert len(ended.done) == 50


def test_four_empty_answers_at_first_stop_a_run_only_where_the_settings_were_never_answered() -> None:
    def plan(clip: Request, at_s: float, before: int) -> Answer | errors.AttemptError:
        return OWN["empty 200"]() if at_s < 0.1 else OK

    assert isinstance(night(names_of(9, "clip"), plan, settings_answered=False).error, errors.SettingsRefused)
    assert len(night(names_of(9, "clip"), plan, settings_answered=True).done) == 9


def test_answers_that_cannot_be_uncompressed_end_a_run_after_the_first_few() -> None:
    ended = night(names_of(30, "clip"), lambda *_: COMPRESSED(), concurrency=8)
    assert isinstance(ended.error, errors.CompressedAnswer)
    assert "4 times with no other answer in between" in str(ended.error)
    assert ended.failed == {}
    assert ended.requests.total() <= 4 + 8
    ended = night(names_of(1, "clip"), lambda *_: COMPRESSED())
    assert isinstance(ended.error, errors.CompressedAnswer)
    assert ended.requests.total() == 4


def test_they_end_it_in_the_middle_of_the_night_too() -> None:
    ended = night(names_of(60, "clip"), lambda clip, at_s, before: OK if at_s < 2 else COMPRESSED(), concurrency=2)
    assert isinstance(ended.error, errors.CompressedAnswer)
    assert len(ended.done) >= 9


def test_some_that_cannot_be_uncompressed_among_others_pass() -> None:
    def plan(clip: Request, at_s: float, before: int) -> Answer | errors.AttemptError:
        return COMPRESSED() if int(clip.id[4:]) % 3 == 0 and before == 0 else OK

    ended = night(names_of(60, "clip"), plan, concurrency=2)
    assert ended.error is None
    assert len(ended.done) == 60


# -- anything ---------------------------------------------------------------------------------------------------------

KINDS = sorted([*NEVER_PASSING, "ok", "own fault", "missing", "unavailable", "silence"])


def came(kind: str) -> Answer | errors.AttemptError:
    match kind:
        case "ok":
            return OK
        case "own fault":
            # in other words each time: the same ones for most of the first clips are believed of none (test_refusals)
            return errors.AudioRefused("".join(random.choices("abcdefgh", k=9)), http_status=500)
        case "missing":
            return errors.AudioMissing("gone")
        case "unavailable":
            return errors.AudioUnavailable("EIO")
        case "silence":
            return OPEN_SILENCE
    return NEVER_PASSING[kind]()


ENDS_AS = {kind: type(make()).__name__ for kind, make in OWN.items()} | {
    "own fault": "AudioRefused",
    "missing": "AudioMissing",
    "unavailable": "AudioUnavailable",
}


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    good=st.integers(0, 40),
    bad=st.lists(st.sampled_from(sorted(ENDS_AS.keys() - {"settings, later"})), max_size=12),
    silent=st.integers(0, 5),
    seed=st.integers(0, 999),
    concurrency=st.sampled_from([1, 2, 8, 64]),
)
def test_each_clip_has_its_own_outcome_whatever_the_others_draw(
    good: int, bad: list[str], silent: int, seed: int, concurrency: int
) -> None:
    kinds = dict(enumerate([*["ok"] * good, *["silence"] * silent, *bad]))
    names = [f"clip{n}" for n in random.Random(seed).sample(range(len(kinds)), len(kinds))]
    ended = night(names, lambda clip, at_s, before: came(kinds[int(clip.id[4:])]), concurrency=concurrency)
    assert ended.error is None
    assert len(ended.done) == good + silent
    failed = {name: error.replace("RepeatedStreamError", "StreamError") for name, error in ended.failed.items()}
    if bad.count("own fault") > 1:  # where none was answered yet it is not believed
        failed = {name: error.replace("UnconfirmedRefusal", "AudioRefused") for name, error in failed.items()}
    assert failed == {f"clip{n}": ENDS_AS[kind] for n, kind in kinds.items() if kind in ENDS_AS}


@settings(max_examples=150, deadline=None)
@given(
    clips=st.integers(1, 60),
    phases=st.lists(
        st.tuples(st.floats(0.1, 2500), st.lists(st.sampled_from(KINDS), min_size=1, max_size=4)), max_size=6
    ),
    by_clip=st.dictionaries(st.integers(0, 59), st.sampled_from(KINDS), max_size=12),
    last=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    budget=st.none() | st.integers(1, 100),
    prices=st.lists(st.sampled_from([0.1, 0.3, 1.0, 1.0, 7.0, 40.0]), min_size=60, max_size=60),
    outage_max_s=st.sampled_from([0.0, 5.0, 300.0, 1800.0]),
    max_attempts=st.sampled_from([1, 2, 6]),
    concurrency=st.sampled_from([1, 2, 8, 64]),
    seed=st.integers(0, 999),
)
def test_whatever_the_service_does_the_run_ends(
    clips: int,
    phases: list[tuple[float, list[str]]],
    by_clip: dict[int, str],
    last: list[str],
    budget: int | None,
    prices: list[float],
    outage_max_s: float,
    max_attempts: int,
    concurrency: int,
    seed: int,
) -> None:
    draw = random.Random(seed)

    def plan(clip: Request, at_s: float, before: int) -> Answer | errors.AttemptError:
        kind = by_clip.get(int(clip.id[4:]))
        if kind is None:
            kinds = last
            for lasts_s, phase in phases:
                if at_s < lasts_s:
                    kinds = phase
                    break
                at_s -= lasts_s
            kind = draw.choice(kinds)
        return came(kind)

    ended = night(
        names_of(clips, "clip"),
        plan,
        budget=budget,
        price=lambda name: prices[int(name[4:])],
        outage_max_s=outage_max_s,
        max_attempts=max_attempts,
        concurrency=concurrency,
    )
    # each clip waits at most so long for its own attempts; all else is bounded by outage_max_s between two outcomes
    outcomes = len(ended.done) + len(ended.failed) + len(ended.passed_over)
    assert ended.took_s < (outcomes + 1) * (outage_max_s + DRAIN_S + 40 * 60)
