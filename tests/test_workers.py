"""Processes that work: one that dies or takes too long costs its call, and the next call finds another."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import pytest

from pipeline.workers import WorkerDied, Workers
from tests.servers import is_alive


def make_tool() -> Callable[[str], int]:
    def tool(call: str) -> int:
        if call == "hang":
            time.sleep(1_000)
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
        with pytest.raises(WorkerDied):
            await workers.call(call, at_most_s=0.2 if call == "hang" else None)
        second = await workers.call("pid", at_most_s=60)
        assert first != second
        assert not is_alive(first)
        await workers.close()
        assert not is_alive(second)

    asyncio.run(scenario())
