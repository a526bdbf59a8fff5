"""Fixtures of tests that do whole runs: a healthy server, an output folder."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import RunningServer, start_server


def pytest_configure() -> None:
    """Has commands hear signals also where these tests do not: behind `&` and under nohup a child would not either."""
    for number, heard in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, heard)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server that answers fast and without faults; its counts go on from test to test."""
    with start_server() as running:
        yield running


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
