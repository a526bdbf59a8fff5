"""Ctrl-C, a cancelled task, an error of the callback: the run is stopped as a command is, and the host hears of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import gradium_batch as gb
from pipeline.engines.ending import Ending
from pipeline.exits import ExitStatus
from tests.api.hosts import start_python
from tests.batch import Corpus, rows_of
from tests.servers import KEY, RunningServer, start_server, wait_for_answers

SLOW = "[[fault]]\nkind = 'hang'\nfor_s = 1.5\nafter_requests = 4\n"
"""The first four answers come at once, the others late."""
LOGGED = "import logging, sys; logging.basicConfig(stream=sys.stdout, format='%(message)s')\n"
HANDLERS = "[signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)], signal.set_wakeup_fd(-1)"
TWICE = f"""
import signal, sys, time, threading, gradium_batch as gb
before = {HANDLERS}
for out in ("out", "out"):
    try:
        gb.transcribe("audio", out, settings={{"pool": {{"concurrency": 4}}, "service": {{"url": sys.argv[1]}}}})
        print("not interrupted", flush=True)
    except KeyboardInterrupt:
        for thread in threading.enumerate():  # on a busy machine idle ones take a moment to end
            if thread.daemon:
                thread.join(10)
        print("interrupted", *(thread.name for thread in threading.enumerate()), flush=True)
        sys.stdin.readline()
assert {HANDLERS} == before
try:
    print("waits", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("as before", flush=True)
"""
HUNG = """
import pathlib, sys, time
import gradium_batch as gb
import pipeline.run.lookup
def look(*args):
    pathlib.Path("hangs").touch()
    time.sleep(600)
pipeline.run.lookup.read_recording = look
try:
    gb.transcribe("audio", "out", settings={"service": {"url": sys.argv[1]}})
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture
def slow() -> Iterator[RunningServer]:
    with start_server(faults=SLOW) as running:
        yield running


@pytest.fixture
def settings(slow: RunningServer, monkeypatch: pytest.MonkeyPatch) -> gb.Settings:
    monkeypatch.setenv("GRADIUM_API_KEY", KEY)
    return gb.Settings(service={"url": slow.url}, pool={"concurrency": 4})


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def wait_for_requests(server: RunningServer, count: int) -> None:
    """Until so many more than the first four are being answered."""
    deadline = time.monotonic() + 30
    while server.stats()["requests"] < count:
        assert time.monotonic() < deadline, "the server was not asked"


@pytest.mark.slow
def test_ctrl_c_reaches_the_host_again_and_again(tmp_path: Path, slow: RunningServer) -> None:
    corpus = Corpus(tmp_path / "audio", count=40)
    (tmp_path / "host.py").write_text(TWICE)
    with start_python("host.py", slow.url, cwd=tmp_path, server=slow) as process:
        for count in (8, 16):
            wait_for_requests(slow, count)
            process.send_signal(signal.SIGINT)
            assert says(process) == "interrupted MainThread\n"
            rows = rows_of(tmp_path / "out")
            # those in flight are in the output: all that was asked for
            assert len(rows) == slow.stats()["answered"] == slow.stats()["requests"]
            assert rows.items() <= corpus.texts.items()
            go_on(process)
        assert says(process) == "waits\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "as before\n", "")


def test_a_second_ctrl_c_does_not_wait_for_answers(tmp_path: Path) -> None:
    Corpus(tmp_path / "audio", count=4)
    (tmp_path / "host.py").write_text(LOGGED + TWICE.replace('("out", "out")', '("out",)'))
    with (
        start_server(faults="[[fault]]\nkind = 'hang'\n") as hangs,
        start_python("host.py", hangs.url, cwd=tmp_path, server=hangs) as process,
    ):
        wait_for_requests(hangs, 4)
        process.send_signal(signal.SIGINT)
        assert says(process).startswith("stopping at KeyboardInterrupt: 4 answers in flight are waited for")
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert says(process) == "interrupted MainThread\n"
        assert time.monotonic() - begun < 10
        go_on(process)
        assert says(process) == "waits\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


@pytest.mark.slow
def test_a_disk_that_hangs_keeps_no_host(tmp_path: Path, server: RunningServer) -> None:
    Corpus(tmp_path / "audio", count=4)
    (tmp_path / "host.py").write_text(HUNG)
    with start_python("host.py", server.url, cwd=tmp_path, server=server) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "hangs").exists():
            assert time.monotonic() < deadline
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "interrupted\n", "")
    assert time.monotonic() - begun < 10


@pytest.mark.slow
def test_a_cancelled_task_waits_for_the_answers_in_flight(
    tmp_path: Path, slow: RunningServer, settings: gb.Settings
) -> None:
    Corpus(tmp_path / "audio", count=40)

    async def host() -> None:
        task = asyncio.create_task(gb.transcribe_async(tmp_path / "audio", tmp_path / "out", settings=settings))
        await asyncio.to_thread(wait_for_requests, slow, 8)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(rows_of(tmp_path / "out")) == slow.stats()["requests"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await gb.transcribe_async(tmp_path / "audio", tmp_path / "out", settings=settings)

    asyncio.run(host())
    assert len(rows_of(tmp_path / "out")) == slow.stats()["requests"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "async"])
def test_what_the_callback_raises_stops_the_run_and_is_raised(
    form: str, tmp_path: Path, slow: RunningServer, settings: gb.Settings
) -> None:
    Corpus(tmp_path / "audio", count=40)
    seen: list[gb.Progress] = []
    threads: set[int] = set()

    def on_progress(progress: gb.Progress) -> None:
        seen.append(progress)
        threads.add(threading.get_ident())
        raise LookupError("mine")

    def call() -> gb.Result:
        if form == "plain":
            return gb.transcribe(tmp_path / "audio", tmp_path / "out", settings=settings, on_progress=on_progress)
        folders = tmp_path / "audio", tmp_path / "out"
        return asyncio.run(gb.transcribe_async(*folders, settings=settings, on_progress=on_progress))

    with pytest.raises(LookupError, match="mine"):
        call()
    assert len(seen) == 1
    assert threads == {threading.get_ident()}
    rows = rows_of(tmp_path / "out")
    assert 4 <= len(rows) < 40
    assert len(rows) == slow.stats()["requests"]
    assert gb.status(tmp_path / "out").runs[0].stopped_by == "LookupError"


def test_a_time_limit_needs_no_signals(tmp_path: Path, slow: RunningServer, settings: gb.Settings) -> None:
    Corpus(tmp_path / "audio", count=40)
    result = gb.transcribe(tmp_path / "audio", tmp_path / "out", settings=settings, max_duration_s=1.0)
    assert (result.exit, result.stopped_by) == (gb.ExitStatus.LIMIT_REACHED, "--max-duration")
    assert 0 < result.done < 40
    assert result.done == len(rows_of(tmp_path / "out"))


@pytest.mark.slow
def test_a_run_whose_answers_come_is_not_left(tmp_path: Path, slow: RunningServer, settings: gb.Settings) -> None:
    """In a loop that is closed meanwhile nobody waits; what was asked for is in the output all the same."""
    Corpus(tmp_path / "audio", count=8)

    async def host() -> None:
        call = gb.transcribe_async(tmp_path / "audio", tmp_path / "out", settings=settings)
        call.send(None)
        await asyncio.to_thread(wait_for_answers, slow, 4)
        call.close()  # thrown away: it may not wait

    asyncio.run(host())
    deadline = time.monotonic() + 30
    while any(thread.name == "gradium-batch" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the run goes on"
        time.sleep(0.01)
    assert len(rows_of(tmp_path / "out")) == slow.stats()["requests"]


@pytest.mark.slow
def test_a_signal_while_the_first_one_is_passed_on_leaves_no_run_behind(
    tmp_path: Path, slow: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus(tmp_path / "audio", count=40)
    request, calls = Ending.request, []

    def interrupted(ending: Ending, status: ExitStatus, reason: str) -> bool:
        calls.append(status)
        if len(calls) == 1:
            raise KeyboardInterrupt  # before anything was passed on
        return request(ending, status, reason)

    def interrupt(progress: gb.Progress) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("GRADIUM_API_KEY", KEY)
    monkeypatch.setattr(Ending, "request", interrupted)
    settings = gb.Settings(service={"url": slow.url}, pool={"concurrency": 2})
    with pytest.raises(KeyboardInterrupt):
        gb.transcribe(corpus.folder, tmp_path / "out", settings=settings, on_progress=interrupt)
    assert len(calls) == 2
    assert not any(thread.name == "gradium-batch" for thread in threading.enumerate())
    assert slow.stats()["requests"] < len(corpus.texts)


@pytest.mark.slow
def test_a_program_that_changes_its_folder_meanwhile_keeps_its_output(
    tmp_path: Path, slow: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus(tmp_path / "audio", count=6)
    monkeypatch.setenv("GRADIUM_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    settings = gb.Settings(service={"url": slow.url}, pool={"concurrency": 2})
    result = gb.transcribe("audio", "out", settings=settings, on_progress=lambda _: os.chdir("/"))
    assert (result.done, result.out) == (6, tmp_path / "out")
    assert rows_of(tmp_path / "out") == corpus.texts
