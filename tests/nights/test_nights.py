"""Nights in random order: whatever happens between them and in them, what was paid for stays and nothing is paid twice.

The same in greater numbers is `python -m benchmarks.nights`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.nights.machine import Nights, OverFolder, OverIds, OverPaths, services
from tests.nights.service import Service

FEW = settings(
    max_examples=4,
    stateful_step_count=25,
    derandomize=True,
    deadline=None,
    print_blob=False,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
MORE = settings(FEW, max_examples=20)


@pytest.fixture(scope="module", autouse=True)
def service() -> Iterator[Service]:
    running = Service()
    services.append(running)
    yield running
    services.remove(running)
    running.close()


@pytest.mark.timeout(600)  # a failure is made as short as it can be, which takes its time
@pytest.mark.parametrize("examples", [FEW, pytest.param(MORE, marks=pytest.mark.slow)], ids=["few", "more"])
@pytest.mark.parametrize(
    "machine",
    [OverFolder, pytest.param(OverPaths, marks=pytest.mark.slow), pytest.param(OverIds, marks=pytest.mark.slow)],
)
def test_what_was_paid_for_stays_and_nothing_is_paid_twice_whatever_happens(
    machine: type[Nights], examples: settings
) -> None:
    run_state_machine_as_test(machine, settings=examples)
