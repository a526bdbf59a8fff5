"""Fixtures of tests that watch a run at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.at_work import AtWork
from tests.servers import RunningServer


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., AtWork]]:
    started: list[AtWork] = []

    def start(server: RunningServer, *args: str | Path) -> AtWork:
        started.append(AtWork(server, tmp_path, *args))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
