"""The fuse blows for everybody's failures and for an unreachable service, not for a few clips; budgets hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.pool import Budget, Outage
from tests.pool.test_capacity import Clock


def test_failures_from_everybody_are_an_outage_and_their_attempts_are_given_back() -> None:
    outage: Outage[str] = Outage(clock=Clock())
    struck: list[str] = []
    for n in range(10):
        assert not outage.going_on
        struck = outage.failed(f"clip{n % 5}", unreachable=False)
    assert outage.going_on
    assert sorted(struck) == sorted(f"clip{n % 5}" for n in range(10))


def test_a_few_clips_that_always_fail_are_none() -> None:
    outage: Outage[str] = Outage(clock=Clock())
    for n in range(100):
        outage.failed(f"clip{n % 4}", unreachable=False)
    assert not outage.going_on


def test_an_answer_in_between_shows_that_the_service_works() -> None:
    outage: Outage[str] = Outage(clock=Clock())
    for n in range(100):
        outage.failed(f"clip{n}", unreachable=False)
        if n % 9 == 8:
            outage.answered("other")
    assert not outage.going_on


def test_nothing_reachable_is_an_outage_even_for_one_clip() -> None:
    outage: Outage[str] = Outage(clock=Clock())
    for _ in range(3):
        outage.failed("clip", unreachable=True)
    assert outage.going_on


def test_probes_come_at_growing_distances_and_few_in_a_minute() -> None:
    clock = Clock()
    outage: Outage[str] = Outage(clock=clock)
    for _ in range(3):
        outage.failed("clip", unreachable=True)
    probes = []
    while clock.now < 60:
        clock.now += outage.next_probe_in_s()
        outage.probe_sent()
        probes.append(clock.now)
        assert outage.failed("clip", unreachable=True) == []
    assert 4 <= len(probes) <= 9
    assert outage.lasts_s >= 60
    outage.answered("clip")
    assert not outage.going_on
    assert outage.lasts_s == 0


def test_the_share_of_failures_needs_enough_clips_to_say_anything() -> None:
    outage: Outage[str] = Outage(clock=Clock())
    for n in range(9):
        outage.failed(f"clip{n % 4}", unreachable=False)
    for n in range(15):
        outage.answered(f"other{n}")
    assert outage.share_of_failures() == 0
    outage.answered("one more")
    assert outage.share_of_failures() == 4 / 20
    for n in range(10):
        outage.answered(f"more{n}")
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
    assert Budget(0).room(1e9) == "yes"
