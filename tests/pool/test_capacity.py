"""The capacity finds a limit that is not posted, follows it up and down, and takes chance for chance."""

from __future__ import annotations

import pytest

from pipeline.pool import Capacity


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Bridge:
    """A service that carries `limit` requests at a time; each round fills the bridge and empties it again."""

    def __init__(self, capacity: Capacity, clock: Clock, limit: int) -> None:
        self.capacity, self.clock, self.limit = capacity, clock, limit
        self.sent = self.refused = 0

    def rounds(self, count: int, seconds: float = 1.0) -> None:
        for _ in range(count):
            wanted = self.capacity.now
            self.sent += wanted
            carried = min(wanted, self.limit)
            for n in range(wanted - carried):
                self.refused += 1
                self.capacity.refused(wanted - n - 1)
            for _ in range(carried):
                # the pool refills what an answer frees, as far as the service lets it
                self.capacity.answered(was_full=self.limit >= self.capacity.now)
            self.clock.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 20])
def test_it_settles_at_the_limit_and_stays_there(clock: Clock, limit: int) -> None:
    bridge = Bridge(Capacity(32, clock=clock), clock, limit)
    bridge.rounds(20)
    assert bridge.capacity.now in (limit, limit + 1)
    bridge.sent = bridge.refused = 0
    bridge.rounds(300, seconds=0.5)
    assert bridge.refused / bridge.sent < 0.05
    assert bridge.capacity.learned == limit


def test_without_a_limit_it_grows_to_the_highest_and_learns_nothing(clock: Clock) -> None:
    bridge = Bridge(Capacity(32, clock=clock), clock, 1000)
    bridge.rounds(8)
    assert bridge.capacity.now == 32
    assert bridge.capacity.learned is None


def test_it_does_not_wait_for_long_answers_to_grow(clock: Clock) -> None:
    capacity = Capacity(32, clock=clock)
    for _ in range(3):
        capacity.unrefused(capacity.now, 0.4)
        capacity.unrefused(capacity.now - 1, 0.5)
        capacity.unrefused(capacity.now, 0.5)
    assert capacity.now == 32
    assert not capacity.grows_unrefused


def test_once_it_has_met_a_limit_only_answers_let_it_grow(clock: Clock) -> None:
    capacity = Capacity(32, clock=clock)
    capacity.unrefused(4, 0.5)
    capacity.refused(7)
    capacity.unrefused(7, 60)
    assert capacity.now == 7


def test_a_burst_is_refused_once_and_not_filled_up_again(clock: Clock) -> None:
    capacity = Capacity(64, clock=clock)
    for _ in range(4):
        capacity.unrefused(capacity.now, 0.5)
    for others in range(63, 9, -1):
        capacity.refused(others)
        assert capacity.now == others


def test_it_grows_past_a_limit_that_was_met_by_answers_only(clock: Clock) -> None:
    bridge = Bridge(Capacity(32, clock=clock), clock, 3)
    bridge.rounds(120)
    bridge.limit = 1000
    while bridge.capacity.learned is not None:
        bridge.rounds(1)
    assert not bridge.capacity.grows_unrefused


def test_a_raised_limit_is_used_within_a_minute(clock: Clock) -> None:
    bridge = Bridge(Capacity(32, clock=clock), clock, 3)
    bridge.rounds(120)
    bridge.limit = 12
    bridge.rounds(60)
    assert bridge.capacity.now in (12, 13)


def test_a_lowered_limit_is_followed(clock: Clock) -> None:
    bridge = Bridge(Capacity(32, clock=clock), clock, 12)
    bridge.rounds(50)
    bridge.limit = 3
    bridge.rounds(10)
    assert bridge.capacity.now in (3, 4)


def test_it_starts_where_the_last_night_settled(clock: Clock) -> None:
    bridge = Bridge(Capacity(32, learned=3, clock=clock), clock, 3)
    bridge.rounds(5)
    assert (bridge.sent, bridge.refused) == (15, 0)


def test_refusals_now_and_then_on_a_bridge_that_is_not_full_are_chance(clock: Clock) -> None:
    capacity = Capacity(32, clock=clock)
    Bridge(capacity, clock, 1000).rounds(8)
    for _ in range(50):
        for _ in range(30):
            capacity.answered(was_full=False)
        capacity.refused(9)
    assert capacity.now == 32


def test_not_adaptive_is_always_the_highest(clock: Clock) -> None:
    capacity = Capacity(8, adaptive=False, learned=2, clock=clock)
    capacity.refused(0)
    assert capacity.now == 8
    assert capacity.learned is None


def test_a_limit_of_requests_in_a_time_is_not_learned_as_one_of_requests_at_a_time(clock: Clock) -> None:
    bridge = Bridge(Capacity(32, clock=clock), clock, 8)
    bridge.rounds(20)
    assert bridge.capacity.learned == 8
    bridge.limit = 0  # for the rest of the minute
    bridge.rounds(3)
    assert (bridge.capacity.now, bridge.capacity.learned) == (1, None)
    bridge.limit = 8
    bridge.rounds(300)
    assert bridge.capacity.learned == 8
