"""Processes that work: one that dies or takes too long costs its call, and the next call finds another."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable

import pytest

from pipeline import workers as workers_module
from pipeline.workers import NotStarted, WorkerCrashed, Workers
from tests.servers import is_alive


def make_tool() -> Callable[[str], int]:
    def tool(call: str) -> int:
        if call == "hang":
            time.sleep(1_000)
        if call.startswith("signal "):
            os.kill(os.getpid(), int(call.split()[1]))
        if call == "die":
            os._exit(1)
        return os.getpid()

    return tool


@pytest.mark.parametrize("call", ["hang", "die"])
def test_a_call_that_ends_badly_costs_itself_only(call: str) -> None:
    async def scenario() -> None:
        workers: Workers[str, int] = Workers(make_tool, 1)
        await workers.start()
        first = await workers.call("pid")
        with pytest.raises(WorkerCrashed):
            await workers.call(call, timeout_s=0.2 if call == "hang" else None)
        second = await workers.call("pid", timeout_s=60)
        assert first != second
        assert not is_alive(first)
        await workers.close()
        assert not is_alive(second)

    asyncio.run(scenario())


def hangs() -> Callable[[str], int]:
    time.sleep(1_000)
    raise AssertionError


def exits() -> Callable[[str], int]:
    os._exit(3)


def fails() -> Callable[[str], int]:
    raise ImportError("libsound.so.7 is not there")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factory", "executable", "said"),
    [
        (hangs, "", "its process is not ready after 1 s"),
        (exits, "", "its process ended with status 3"),
        (fails, "", "ImportError: libsound.so.7 is not there"),
        (make_tool, "/nowhere/python", "/nowhere/python: No such file or directory"),
    ],
)
def test_a_worker_that_never_starts_is_told_from_one_that_dies_and_tried_again(
    factory: Callable[[], Callable[[str], int]], executable: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        workers: Workers[str, int] = Workers(factory, 1)
        await workers.start()
        for _ in range(2):
            with pytest.raises(NotStarted) as raised:
                await workers.call("pid")
            assert str(raised.value) == said
        await workers.close()

    if factory is hangs:
        monkeypatch.setattr(workers_module, "START_S", 1.0)
    if executable:
        monkeypatch.setattr(sys, "executable", executable)
    asyncio.run(scenario())


def test_who_ended_a_worker_is_known() -> None:
    async def scenario() -> list[tuple[bool, str]]:
        workers: Workers[str, int] = Workers(make_tool, 1)
        await workers.start()
        ends = []
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT):
            with pytest.raises(WorkerCrashed) as raised:
                await workers.call(f"signal {number:d}")
            ends.append((raised.value.was_killed, str(raised.value)))
        await workers.close()
        return ends

    ends = asyncio.run(scenario())
    assert [was_killed for was_killed, _ in ends] == [True, True, False, False]
    assert ends[0][1] == "was ended by signal 9 (Killed)"
