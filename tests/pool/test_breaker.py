"""The circuit breaker opens for fresh clips and for an unreachable service, not for poisoned files; budgets hold."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from pipeline.pool import Budget, CircuitBreaker
from tests.pool.test_limiter import Clock


class Sent:
    """A clip that was sent: each new one after all others."""

    _orders = itertools.count(1)

    def __init__(self) -> None:
        self.attempts = 0.0
        self.suspect = False
        self.order = next(self._orders)

    def again(self) -> Sent:
        self.order = next(self._orders)
        return self


def clips(count: int) -> list[Sent]:
    return [Sent() for _ in range(count)]


def failed(breaker: CircuitBreaker, who: Sent, *, unreachable: bool = False, used: float = 1.0) -> bool:
    return breaker.failed(who, unreachable=unreachable, used=used)


def test_failures_of_fresh_clips_are_an_outage_and_what_they_took_is_given_back() -> None:
    breaker = CircuitBreaker(clock=Clock())
    fresh = clips(8)
    opened = []
    for who in [*fresh, *fresh[:2]]:
        assert not breaker.is_open
        who.attempts += 0.5
        opened.append(failed(breaker, who.again(), used=0.5))
    assert breaker.is_open
    assert opened == [False] * 9 + [True]
    assert [who.attempts for who in fresh] == [0.0] * 8


def test_a_few_clips_that_always_fail_are_none() -> None:
    breaker = CircuitBreaker(clock=Clock())
    few = clips(7)
    for n in range(200):
        failed(breaker, few[n % 7].again())
    assert not breaker.is_open


def test_clips_that_failed_while_others_were_answered_are_none_however_many() -> None:
    breaker = CircuitBreaker(clock=Clock())
    many = clips(40)
    for n, who in enumerate(many):
        failed(breaker, who)
        if n % 7 == 6:
            breaker.answered(Sent())
    breaker.answered(Sent())
    for _ in range(5):
        for who in many:
            failed(breaker, who.again())
    assert not breaker.is_open


def test_an_answer_in_between_shows_that_the_service_works() -> None:
    breaker = CircuitBreaker(clock=Clock())
    for n in range(100):
        failed(breaker, Sent())
        if n % 9 == 8:
            breaker.answered(Sent())
    assert not breaker.is_open


def test_answers_to_what_was_sent_before_neither_hide_nor_end_an_outage() -> None:
    breaker = CircuitBreaker(clock=Clock())
    before, new = clips(20), clips(11)
    for old, who in zip(before, new, strict=False):
        failed(breaker, who)
        breaker.answered(old)
    assert breaker.is_open
    assert not any(who.suspect for who in new)
    breaker.answered(Sent())
    assert not breaker.is_open
    assert all(who.suspect for who in new)


def test_nothing_reachable_is_an_outage_even_for_one_clip_that_is_under_suspicion() -> None:
    breaker = CircuitBreaker(clock=Clock())
    one = Sent()
    failed(breaker, one)
    breaker.answered(Sent())
    assert one.suspect
    for _ in range(3):
        failed(breaker, one.again(), unreachable=True)
    assert breaker.is_open
    assert not breaker.reconsider(False, 99), "no clip can be at fault for that"


def test_who_could_not_reach_the_service_is_no_suspect() -> None:
    breaker = CircuitBreaker(clock=Clock())
    unreached, own = Sent(), Sent()
    failed(breaker, unreached, unreachable=True)
    failed(breaker, own)
    between = Sent()
    failed(breaker, own.again())
    breaker.answered(between)
    assert not unreached.suspect
    assert own.suspect, "it failed before the one that was answered was sent"


def test_faults_of_the_last_clips_are_their_own_where_nothing_was_answered_or_all_were_probes_twice() -> None:
    for ever_answered, rounds, is_over in ((False, 0, True), (True, 0, False), (True, 1, False), (True, 2, True)):
        breaker = CircuitBreaker(clock=Clock())
        for who in clips(10):
            failed(breaker, who)
        assert breaker.is_open
        assert breaker.reconsider(ever_answered, rounds) == is_over
        assert breaker.is_open != is_over
        assert breaker.outages == (0 if is_over else 1)


def test_an_outage_without_an_answer_in_between_is_the_same_one() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock=clock)
    for _ in range(3):
        failed(breaker, Sent(), unreachable=True)
    clock.now += 100
    breaker.refused(Sent())
    assert breaker.open_for_s == 0
    for _ in range(3):
        failed(breaker, Sent(), unreachable=True)
    assert breaker.open_for_s == 100
    breaker.answered(Sent())
    for _ in range(3):
        failed(breaker, Sent(), unreachable=True)
    assert breaker.open_for_s == 0


def test_probes_come_at_growing_distances_and_few_in_a_minute() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock=clock)
    for _ in range(3):
        failed(breaker, Sent(), unreachable=True)
    probes = []
    while clock.now < 60:
        clock.now = max(clock.now, breaker.probe_at)
        assert breaker.may_probe
        probe = Sent()
        breaker.probe_sent(probe)
        probes.append(clock.now)
        assert breaker.state == "half-open"
        breaker.ended(Sent())
        assert breaker.state == "half-open", "it is in flight still"
        breaker.ended(probe)
        assert not failed(breaker, probe, unreachable=True)
        assert breaker.state == "open"
    assert 4 <= len(probes) <= 9
    assert breaker.open_for_s >= 60
    breaker.answered(Sent())
    assert not breaker.is_open
    assert breaker.open_for_s == 0


def test_the_share_of_failures_needs_enough_clips_to_say_anything() -> None:
    breaker = CircuitBreaker(clock=Clock())
    few = clips(4)
    for n in range(9):
        failed(breaker, few[n % 4])
    for _ in range(15):
        breaker.answered(Sent())
    assert breaker.failure_rate() == 0
    breaker.answered(Sent())
    assert breaker.failure_rate() == 4 / 20
    for _ in range(10):
        breaker.answered(Sent())
    assert breaker.failure_rate() == 0, "four of thirty may be at fault themselves"


@given(
    st.floats(1, 1000),
    st.lists(st.tuples(st.floats(0.01, 300), st.booleans(), st.integers(0, 3)), max_size=60),
)
def test_no_order_of_requests_goes_over_the_budget(limit: float, requests: list[tuple[float, bool, int]]) -> None:
    budget, in_flight, spent = Budget(limit), [], 0.0
    for price, billed, ended in requests:
        if budget.can_reserve(price):
            budget.reserve(price)
            in_flight.append((price, billed))
        for paid, was_billed in in_flight[:ended]:
            budget.settle(paid, billed=was_billed)
            spent += paid * was_billed
        del in_flight[:ended]
        assert spent + sum(paid for paid, _ in in_flight) <= limit + 1e-5


def test_later_is_said_only_while_something_in_flight_may_cost_nothing() -> None:
    budget = Budget(10)
    budget.reserve(8)
    assert (budget.can_reserve(3), budget.may_fit_later(3)) == (False, True)
    assert (budget.can_reserve(11), budget.may_fit_later(11)) == (False, False)
    budget.settle(8, billed=True)
    assert (budget.can_reserve(3), budget.may_fit_later(3)) == (False, False)
    assert budget.can_reserve(2)
    assert Budget(None).can_reserve(1e9)


def test_nothing_is_waited_for_once_nothing_is_in_flight() -> None:
    budget = Budget(1.0)
    for price in (0.1, 0.2, 0.3):
        budget.reserve(price)
    for price in (0.3, 0.1, 0.2):
        assert (budget.can_reserve(0.9), budget.may_fit_later(0.9)) == (False, True)
        budget.settle(price, billed=False)
    assert budget.can_reserve(1.0)
    assert (budget.can_reserve(1.1), budget.may_fit_later(1.1)) == (False, False)
