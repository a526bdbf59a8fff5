"""The circuit breaker opens for fresh clips and for an unreachable service, not for poisoned files; budgets hold."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from pipeline.pool import Budget, Outage
from tests.pool.test_capacity import Clock


class Sent:
    """A clip that was sent: each new one after all others."""

    _orders = itertools.count(1)

    def __init__(self) -> None:
        self.suspect = False
        self.order = next(self._orders)

    def again(self) -> Sent:
        self.order = next(self._orders)
        return self


def clips(count: int) -> list[Sent]:
    return [Sent() for _ in range(count)]


def failed(
    outage: Outage[Sent], who: Sent, *, unreachable: bool = False, took: float = 1.0
) -> list[tuple[Sent, float]]:
    return outage.failed(who, unreachable=unreachable, took=took)


def test_failures_of_fresh_clips_are_an_outage_and_what_they_took_is_given_back() -> None:
    outage: Outage[Sent] = Outage(clock=Clock())
    fresh = clips(8)
    given_back: list[tuple[Sent, float]] = []
    for who in [*fresh, *fresh[:2]]:
        assert not outage.going_on
        given_back = failed(outage, who.again(), took=0.5)
    assert outage.going_on
    assert given_back == [(who, 0.5) for who in [*fresh, *fresh[:2]]]


def test_a_few_clips_that_always_fail_are_none() -> None:
    outage: Outage[Sent] = Outage(clock=Clock())
    few = clips(7)
    for n in range(200):
        failed(outage, few[n % 7].again())
    assert not outage.going_on


def test_clips_that_failed_while_others_were_answered_are_none_however_many() -> None:
    outage: Outage[Sent] = Outage(clock=Clock())
    many = clips(40)
    for n, who in enumerate(many):
        failed(outage, who)
        if n % 7 == 6:
            outage.answered(Sent())
    outage.answered(Sent())
    for _ in range(5):
        for who in many:
            failed(outage, who.again())
    assert not outage.going_on


def test_an_answer_in_between_shows_that_the_service_works() -> None:
    outage: Outage[Sent] = Outage(clock=Clock())
    for n in range(100):
        failed(outage, Sent())
        if n % 9 == 8:
            outage.answered(Sent())
    assert not outage.going_on


def test_answers_to_what_was_sent_before_neither_hide_nor_end_an_outage() -> None:
    outage: Outage[Sent] = Outage(clock=Clock())
    before, new = clips(20), clips(11)
    for old, who in zip(before, new, strict=False):
        failed(outage, who)
        outage.answered(old)
    assert outage.going_on
    assert not any(who.suspect for who in new)
    outage.answered(Sent())
    assert not outage.going_on
    assert all(who.suspect for who in new)


def test_nothing_reachable_is_an_outage_even_for_one_clip_that_is_under_suspicion() -> None:
    outage: Outage[Sent] = Outage(clock=Clock())
    one = Sent()
    failed(outage, one)
    outage.answered(Sent())
    assert one.suspect
    for _ in range(3):
        failed(outage, one.again(), unreachable=True)
    assert outage.going_on
    assert not outage.reconsider(False, 99), "no clip can be at fault for that"


def test_who_could_not_reach_the_service_is_no_suspect() -> None:
    outage: Outage[Sent] = Outage(clock=Clock())
    unreached, own = Sent(), Sent()
    failed(outage, unreached, unreachable=True)
    failed(outage, own)
    between = Sent()
    failed(outage, own.again())
    outage.answered(between)
    assert not unreached.suspect
    assert own.suspect, "it failed before the one that was answered was sent"


def test_faults_of_the_last_clips_are_their_own_where_nothing_was_answered_or_all_were_probes_twice() -> None:
    for ever_answered, rounds, is_over in ((False, 0, True), (True, 0, False), (True, 1, False), (True, 2, True)):
        outage: Outage[Sent] = Outage(clock=Clock())
        for who in clips(10):
            failed(outage, who)
        assert outage.going_on
        assert outage.reconsider(ever_answered, rounds) == is_over
        assert outage.going_on != is_over
        assert outage.count == (0 if is_over else 1)


def test_an_outage_without_an_answer_in_between_is_the_same_one() -> None:
    clock = Clock()
    outage: Outage[Sent] = Outage(clock=clock)
    for _ in range(3):
        failed(outage, Sent(), unreachable=True)
    clock.now += 100
    outage.refused(Sent())
    assert outage.lasts_s == 0
    for _ in range(3):
        failed(outage, Sent(), unreachable=True)
    assert outage.lasts_s == 100
    outage.answered(Sent())
    for _ in range(3):
        failed(outage, Sent(), unreachable=True)
    assert outage.lasts_s == 0


def test_probes_come_at_growing_distances_and_few_in_a_minute() -> None:
    clock = Clock()
    outage: Outage[Sent] = Outage(clock=clock)
    for _ in range(3):
        failed(outage, Sent(), unreachable=True)
    probes = []
    while clock.now < 60:
        clock.now = max(clock.now, outage.probe_at)
        outage.probe_sent()
        probes.append(clock.now)
        assert failed(outage, Sent(), unreachable=True) == []
    assert 4 <= len(probes) <= 9
    assert outage.lasts_s >= 60
    outage.answered(Sent())
    assert not outage.going_on
    assert outage.lasts_s == 0


def test_the_share_of_failures_needs_enough_clips_to_say_anything() -> None:
    outage: Outage[Sent] = Outage(clock=Clock())
    few = clips(4)
    for n in range(9):
        failed(outage, few[n % 4])
    for _ in range(15):
        outage.answered(Sent())
    assert outage.share_of_failures() == 0
    outage.answered(Sent())
    assert outage.share_of_failures() == 4 / 20
    for _ in range(10):
        outage.answered(Sent())
    assert outage.share_of_failures() == 0, "four of thirty may be at fault themselves"


@given(
    st.floats(1, 1000),
    st.lists(st.tuples(st.floats(0.01, 300), st.booleans(), st.integers(0, 3)), max_size=60),
)
def test_no_order_of_requests_goes_over_the_budget(limit: float, requests: list[tuple[float, bool, int]]) -> None:
    budget, in_flight, spent = Budget(limit), [], 0.0
    for price, billed, ended in requests:
        if budget.room(price) == "yes":
            budget.set_aside(price)
            in_flight.append((price, billed))
        for paid, was_billed in in_flight[:ended]:
            budget.settle(paid, billed=was_billed)
            spent += paid * was_billed
        del in_flight[:ended]
        assert spent + sum(paid for paid, _ in in_flight) <= limit + 1e-5


def test_later_is_said_only_while_something_in_flight_may_cost_nothing() -> None:
    budget = Budget(10)
    budget.set_aside(8)
    assert budget.room(3) == "later"
    assert budget.room(11) == "no"
    budget.settle(8, billed=True)
    assert budget.room(3) == "no"
    assert budget.room(2) == "yes"
    assert Budget(None).room(1e9) == "yes"


def test_nothing_is_waited_for_once_nothing_is_in_flight() -> None:
    budget = Budget(1.0)
    for price in (0.1, 0.2, 0.3):
        budget.set_aside(price)
    for price in (0.3, 0.1, 0.2):
        assert budget.room(0.9) == "later"
        budget.settle(price, billed=False)
    assert budget.room(1.0) == "yes"
    assert budget.room(1.1) == "no"
