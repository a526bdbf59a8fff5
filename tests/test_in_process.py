"""A command that is called in the process of a test leaves nothing behind there, and what it would leave is told."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from pipeline import redaction
from tests import in_process
from tests.batch import Corpus, batch, run_command
from tests.servers import RunningServer


def state() -> dict[str, object]:
    loggers = [logging.getLogger(name) for name in ("", "pipeline")]
    return {
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "files": [os.fstat(number).st_ino for number in range(3)],
        "signals": [signal.getsignal(number) for number in in_process.SIGNALS],
        "hooks": [getattr(module, name) for module, name in in_process.HOOKS],
        "logs": [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers],
        "warnings": (warnings.filters[:], warnings.showwarning),
        "threads": {*threading.enumerate()},
        "secrets": set(redaction._hidden),
        "exit": os._exit,
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_of_a_command_stays(tmp_path: Path, out: Path, server: RunningServer, form: str) -> None:
    corpus, before, files = Corpus(tmp_path / "audio", count=2), state(), len([*Path("/dev/fd").iterdir()])
    args = ("run", corpus.folder, "--out", out, "--log-format", form)
    assert batch(*args, server=server, cwd=tmp_path, GRADIUM_BATCH_POOL__CONCURRENCY="3").exit == 0
    assert state() == before
    assert len([*Path("/dev/fd").iterdir()]) <= files


def test_a_command_is_the_same_in_a_process_of_its_own(tmp_path: Path) -> None:
    told = [run_command("status", tmp_path / "none", own_process=own) for own in (False, True)]
    assert told[0].exit == told[1].exit == 2
    assert told[0].stderr == told[1].stderr != ""


def commanded(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    def main(*_: object, **__: object) -> NoReturn:
        act()
        sys.exit(0)

    monkeypatch.setattr("pipeline.cli.main", main)
    monkeypatch.setattr(in_process, "ENDING_S", 0.05)
    batch("status")


def test_a_thread_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    with pytest.raises(AssertionError, match="left a thread behind: forgotten"):
        commanded(monkeypatch, threading.Thread(target=over.wait, name="forgotten").start)
    over.set()


def test_a_process_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    with pytest.raises(AssertionError, match="left processes behind"):
        commanded(monkeypatch, lambda: started.append(subprocess.Popen(["sleep", "60"])))
    started[0].kill()
    started[0].wait()


def test_what_is_written_by_number_and_by_name_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def main(*_: object, **__: object) -> NoReturn:
        os.write(1, b"by number\n")
        print("by name")
        print("by name", file=sys.stderr)
        sys.exit(3)

    monkeypatch.setattr("pipeline.cli.main", main)
    done = batch("status")
    assert (done.exit, done.stdout, done.stderr) == (3, "by number\nby name\n", "by name\n")
