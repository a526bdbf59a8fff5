"""Runs on this machine: the event loop, its threads, and the endpoint (the service's, or the embedded server).

`run_here` is the run of a command, which has the process to itself; `background` one within another program.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NoReturn

import msgspec

from pipeline.config import Settings
from pipeline.engines.stops import Stops
from pipeline.exchange import Endpoint
from pipeline.exits import ExitStatus
from pipeline.gradium.key import read_key
from pipeline.gradium.request import check_url
from pipeline.gradium.service import GradiumService
from pipeline.machine import limit_heap
from pipeline.report.figures import LastLine
from pipeline.report.logs import say_last
from pipeline.report.progress import Progress
from pipeline.run.context import RunOptions
from pipeline.run.control import Control
from pipeline.run.reporting import RunResult
from pipeline.run.run import run
from pipeline.threads import DaemonThreads

LAST_LINE_S = 0.25
THREADS = 32
"""More than can be stuck in recordings on a disk that hangs: the end of the run needs some as well."""


def run_here(options: RunOptions, settings: Settings) -> RunResult:
    """Does one run. The first signal waits for answers in flight, a second one cancels them.

    Threads may be stuck afterwards: end the process without waiting for them.
    """
    limit_heap()
    return asyncio.run(_until_signalled(options, settings, remote_endpoint(settings)))


async def _until_signalled(options: RunOptions, settings: Settings, remote: Endpoint | None) -> RunResult:
    control = Control()
    with Stops(control, options.max_duration_s, partial(_exit_now, control)):
        return await run_in_loop(options, settings, remote, control)


def remote_endpoint(settings: Settings) -> Endpoint | None:
    """Where the service answers, and with which key; None where the embedded server answers, which runs only later.

    Read it once: the key may come from a pipe. Raises ConfigError for a missing key, a proxy or a certificate that
    cannot work: before a manifest is read.
    """
    if settings.service.is_embedded:
        return None
    check_url(settings.service.url)
    remote = Endpoint(url=settings.service.url, key=read_key(settings.service))
    if settings.service.trust_env:
        from pipeline.gradium.environment import check_environment

        check_environment(settings.service.url)
    return remote


async def run_in_loop(
    options: RunOptions,
    settings: Settings,
    remote: Endpoint | None,
    control: Control,
    counted: Progress | None = None,
) -> RunResult:
    """One run in the running event loop, which is its own: its default executor is replaced."""
    asyncio.get_running_loop().set_default_executor(Threads(THREADS, "gradium-batch"))
    return await run(options, settings, GradiumService(partial(_endpoint, control, remote)), control, counted)


class Threads(DaemonThreads):
    """The threads of a loop, whose end does not wait for them."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the idle ones; the results of the others are not needed any more."""
        super().shutdown(wait=False, cancel_futures=True)


def _exit_now(control: Control, status: ExitStatus) -> NoReturn:
    """Ends the process at once, because what still runs may never end; the next run resumes from the checkpoint."""
    # in a thread: a stderr that is no longer read would block the process for ever
    line = msgspec.structs.replace(control.standing or LastLine(exit=status), exit=int(status))
    printing = threading.Thread(target=say_last, args=(line,), daemon=True)
    printing.start()
    printing.join(LAST_LINE_S)
    os._exit(status)


@asynccontextmanager
async def _endpoint(control: Control, remote: Endpoint | None, settings: Settings) -> AsyncIterator[Endpoint]:
    if remote is not None:
        yield remote
        return
    from pipeline.server.embedded import embedded_server

    faults = settings.local.faults or None
    async with AsyncExitStack() as stack:
        starting = stack.enter_async_context(embedded_server(settings.local.recognizer, faults=faults))
        url, key = await control.unless_stopped(starting)
        yield Endpoint(url=url, key=key)
