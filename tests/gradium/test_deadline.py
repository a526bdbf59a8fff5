"""Deadlines: a process that was stopped reads what arrived in the meantime before it gives up."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.gradium.deadline import LATE_S, Deadline
from tests.gradium.hostile import END, STEP, Request, text
from tests.gradium.test_connections import answered

LATE = text("late") + END
DEADLINE_S = 1.0
CHILD = """
import asyncio, sys
from pathlib import Path
from pipeline.config.settings import ServiceSettings, TimeoutSettings
from pipeline.gradium.client import GradiumClient
from pipeline.gradium.request import request_settings
from pipeline.gradium.transport import http_client
from pipeline.exchange import Endpoint
from tests.gradium.test_client import clip_of

async def ask(url, path, base_s, idle_s):
    async with http_client(url, connect_s=5, idle_s=idle_s, trust_env=False) as http:
        timeouts = TimeoutSettings(attempt_base_s=base_s, attempt_per_audio_s=0)
        client = GradiumClient(http, Endpoint(url=url, key="k"), request_settings(ServiceSettings()), timeouts)
        return (await client.transcribe(clip_of(Path(path), bytes(3000)))).words[0].text

async def both(url, folder, short, long):
    print(*await asyncio.gather(ask(url, folder + "/a", short, long), ask(url, folder + "/b", long, short)))

asyncio.run(both(sys.argv[1], sys.argv[2], float(sys.argv[3]), 60))
"""


@pytest.mark.slow
def test_an_answer_that_arrived_while_the_process_was_stopped_counts(tmp_path: Path) -> None:
    """One request with a short deadline, one with a short limit of silence."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/asr"
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, url, str(tmp_path), str(DEADLINE_S)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        connections = [server.accept()[0] for _ in range(2)]
        for connection in connections:
            request = Request.read(connection)
            assert request is not None
            request.read_body(connection)
        os.kill(child.pid, signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        for connection in connections:
            connection.sendall(answered(STEP * 20_000 + LATE))  # more than is read at once
        select.select([], [], [], DEADLINE_S + LATE_S + 0.2)  # the time that the deadline is about
        os.kill(child.pid, signal.SIGCONT)
        out, err = child.communicate(timeout=20)
        for connection in connections:
            connection.close()
    assert (out, err) == ("late late\n", "")


def test_a_late_deadline_leaves_time_for_what_is_there_already() -> None:
    async def wait() -> str:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def stand_still() -> None:
            time.sleep(0.01 + LATE_S + 0.05)
            turn(5)

        def turn(left: int) -> None:
            if left:  # to read it takes the loop some turns
                loop.call_soon(turn, left - 1)
            else:
                answer.set_result("there")

        loop.call_soon(stand_still)
        async with Deadline(0.01, None):
            return await answer

    assert asyncio.run(wait()) == "there"


def test_a_late_deadline_ends_all_the_same_when_nothing_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.gradium.deadline.GRACE_S", 0.02)

    async def wait() -> None:
        asyncio.get_running_loop().call_soon(time.sleep, 0.01 + LATE_S + 0.05)
        async with Deadline(0.01, None):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(wait())


def test_silence_counts_from_what_was_heard_last() -> None:
    seen: list[Deadline] = []

    async def wait() -> None:
        async with Deadline(60, 0.1) as deadline:
            seen.append(deadline)
            await asyncio.sleep(0.15)  # nobody's turn yet
            for _ in range(4):
                deadline.progressed()
                await asyncio.sleep(0.05)
            await asyncio.Event().wait()

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(wait())
    assert seen[0].was_silent
    assert time.monotonic() - started >= 0.4


def test_a_cancelled_attempt_is_no_timeout() -> None:
    async def wait() -> None:
        async with Deadline(60, 60):
            await asyncio.Event().wait()

    async def cancelled() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
