"""The limiter finds a limit that is not posted, follows it up and down, and takes chance for chance."""

from __future__ import annotations

import pytest

from pipeline.pool import AdaptiveLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Plan:
    """A service that carries `limit` requests at a time; each round sends as many as may be in flight."""

    def __init__(self, limiter: AdaptiveLimiter, clock: Clock, limit: int) -> None:
        self.limiter, self.clock, self.limit = limiter, clock, limit
        self.sent = self.refused = 0

    def rounds(self, count: int, seconds: float = 1.0) -> None:
        for _ in range(count):
            wanted = self.limiter.limit
            self.sent += wanted
            carried = min(wanted, self.limit)
            for n in range(wanted - carried):
                self.refused += 1
                self.limiter.refused(wanted - n - 1)
            for _ in range(carried):
                # the pool refills what an answer frees, as far as the service lets it
                self.limiter.answered(at_limit=self.limit >= self.limiter.limit)
            self.clock.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 20])
def test_it_settles_at_the_limit_and_stays_there(clock: Clock, limit: int) -> None:
    plan = Plan(AdaptiveLimiter(32, clock=clock), clock, limit)
    plan.rounds(20)
    assert plan.limiter.limit in (limit, limit + 1)
    plan.sent = plan.refused = 0
    plan.rounds(300, seconds=0.5)
    assert plan.refused / plan.sent < 0.05
    assert plan.limiter.learned == limit


def test_without_a_limit_it_grows_to_the_highest_and_learns_nothing(clock: Clock) -> None:
    plan = Plan(AdaptiveLimiter(32, clock=clock), clock, 1000)
    plan.rounds(8)
    assert plan.limiter.limit == 32
    assert plan.limiter.learned is None


def test_it_does_not_wait_for_long_answers_to_grow(clock: Clock) -> None:
    limiter = AdaptiveLimiter(32, clock=clock)
    for _ in range(3):
        limiter.not_refused(limiter.limit, 0.4)
        limiter.not_refused(limiter.limit - 1, 0.5)
        limiter.not_refused(limiter.limit, 0.5)
    assert limiter.limit == 32
    assert not limiter.may_double


def test_once_it_has_met_a_limit_only_answers_let_it_grow(clock: Clock) -> None:
    limiter = AdaptiveLimiter(32, clock=clock)
    limiter.not_refused(4, 0.5)
    limiter.refused(7)
    limiter.not_refused(7, 60)
    assert limiter.limit == 7


def test_a_burst_is_refused_once_and_not_filled_up_again(clock: Clock) -> None:
    limiter = AdaptiveLimiter(64, clock=clock)
    for _ in range(4):
        limiter.not_refused(limiter.limit, 0.5)
    for others in range(63, 9, -1):
        limiter.refused(others)
        assert limiter.limit == others


def test_it_grows_past_a_limit_that_was_met_by_answers_only(clock: Clock) -> None:
    plan = Plan(AdaptiveLimiter(32, clock=clock), clock, 3)
    plan.rounds(120)
    plan.limit = 1000
    while plan.limiter.learned is not None:
        plan.rounds(1)
    assert not plan.limiter.may_double


def test_a_raised_limit_is_used_within_a_minute(clock: Clock) -> None:
    plan = Plan(AdaptiveLimiter(32, clock=clock), clock, 3)
    plan.rounds(120)
    plan.limit = 12
    plan.rounds(60)
    assert plan.limiter.limit in (12, 13)


def test_a_lowered_limit_is_followed(clock: Clock) -> None:
    plan = Plan(AdaptiveLimiter(32, clock=clock), clock, 12)
    plan.rounds(50)
    plan.limit = 3
    plan.rounds(10)
    assert plan.limiter.limit in (3, 4)


def test_it_starts_where_the_last_night_settled(clock: Clock) -> None:
    plan = Plan(AdaptiveLimiter(32, learned=3, clock=clock), clock, 3)
    plan.rounds(5)
    assert (plan.sent, plan.refused) == (15, 0)


def test_refusals_now_and_then_below_the_limit_are_chance(clock: Clock) -> None:
    limiter = AdaptiveLimiter(32, clock=clock)
    Plan(limiter, clock, 1000).rounds(8)
    for _ in range(50):
        for _ in range(30):
            limiter.answered(at_limit=False)
        limiter.refused(9)
    assert limiter.limit == 32


def test_not_adaptive_is_always_the_highest(clock: Clock) -> None:
    limiter = AdaptiveLimiter(8, adaptive=False, learned=2, clock=clock)
    limiter.refused(0)
    assert limiter.limit == 8
    assert limiter.learned is None


def test_a_limit_of_requests_in_a_time_is_not_learned_as_one_of_requests_at_a_time(clock: Clock) -> None:
    plan = Plan(AdaptiveLimiter(32, clock=clock), clock, 8)
    plan.rounds(20)
    assert plan.limiter.learned == 8
    plan.limit = 0  # for the rest of the minute
    plan.rounds(3)
    assert (plan.limiter.limit, plan.limiter.learned) == (1, None)
    plan.limit = 8
    plan.rounds(300)
    assert plan.limiter.learned == 8
