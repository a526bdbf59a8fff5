"""`check` is within 1 % of what is then billed, where containers tell their true length and nothing is retried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forecast.life import Life
from tests.servers import RunningServer, start_server

FAULTS = """seed = 3
[[fault]]
kind = "internal_error"
probability = 0.3

[[fault]]
kind = "policy"
message = "the audio cannot be decoded"
probability = 0.3
"""
ROUNDS = 3


@pytest.fixture(scope="module")
def failing() -> Iterator[RunningServer]:
    with start_server(faults=FAULTS) as running:
        yield running


@pytest.mark.parametrize("seed", range(2))
def test_check_says_what_is_then_billed(
    seed: int, tmp_path: Path, server: RunningServer, failing: RunningServer
) -> None:
    life = Life(seed, tmp_path, server, failing)
    for _ in range(ROUNDS):
        life.go_on()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(100, 500, 20))
def test_check_says_what_is_then_billed_in_many_more_lives(
    first: int, tmp_path_factory: pytest.TempPathFactory, server: RunningServer, failing: RunningServer
) -> None:
    for seed in range(first, first + 20):
        life = Life(seed, tmp_path_factory.mktemp(f"life{seed}"), server, failing)
        for _ in range(ROUNDS):
            life.go_on()
