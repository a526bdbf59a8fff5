"""A run at work, which a test watches while something happens around it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.batch import Finished, environment
from tests.forked import Forked
from tests.servers import RunningServer

WAITS = "nothing more is sent meanwhile"
QUIET_S = 1.0
"""So long nothing may be sent: with short answers, a run that does not wait sends dozens."""


class AtWork:
    """A run at work, and what it has said so far."""

    def __init__(self, server: RunningServer, folder: Path, *args: str | Path) -> None:
        self._stderr = folder / f"stderr-{time.monotonic_ns()}"
        with Path(os.devnull).open("r+b") as null, self._stderr.open("w") as stderr:
            fds = [null.fileno(), null.fileno(), stderr.fileno()]
            self.process = Forked("command", [*map(str, args)], environment(server), None, fds)

    @property
    def said(self) -> str:
        return self._stderr.read_text()

    def says(self, text: str) -> None:
        """Waits until it has said this."""
        wait_until(lambda: text in self.said or self.process.poll() is not None)
        assert text in self.said, self.said

    def finished(self) -> Finished:
        self.process.wait(60)
        assert "Traceback" not in self.said, self.said
        return Finished(self.process.wait(60), "", self.said)


def wait_until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline, "the run did not come so far"
        time.sleep(0.01)


def nothing_is_sent(server: RunningServer) -> None:
    """Once what is in flight has come nothing follows, for as long as a run that goes on would send dozens."""

    def all_came() -> bool:
        stats = server.stats()
        return bool(stats["requests"] == stats["answered"])

    wait_until(all_came)
    before = server.stats()["requests"]
    time.sleep(QUIET_S)
    assert server.stats()["requests"] == before
