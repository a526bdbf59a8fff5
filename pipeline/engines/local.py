"""Runs in this process: the event loop, the signals, and the endpoint (the service's, or the embedded server)."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NoReturn

import msgspec

from pipeline.config import Settings
from pipeline.engines.stops import Stops
from pipeline.exits import ExitStatus
from pipeline.gradium.key import read_key
from pipeline.gradium.request import check_url
from pipeline.gradium.service import GradiumService
from pipeline.machine import limit_arenas
from pipeline.model import Endpoint
from pipeline.report.figures import LastLine
from pipeline.report.logs import say_last
from pipeline.run.context import RunOptions
from pipeline.run.control import Control
from pipeline.run.reporting import RunResult
from pipeline.run.run import run

LAST_LINE_S = 0.25
THREADS = 32
"""More than can be stuck in recordings on a disk that hangs: the end of the run needs some as well."""


def run_here(options: RunOptions, settings: Settings) -> RunResult:
    """Does one run. The first signal waits for answers in flight, a second one cancels them.

    Threads may be stuck afterwards: end the process without waiting for them.
    """
    limit_arenas()
    if settings.service.url != "local":
        # a missing key, or a proxy or certificate that cannot work, is reported before a long manifest is read
        _remote_endpoint(settings)
        if settings.service.trust_env:
            from pipeline.gradium.environment import check_environment

            check_environment(settings.service.url)
    return asyncio.run(_run(options, settings))


async def _run(options: RunOptions, settings: Settings) -> RunResult:
    asyncio.get_running_loop().set_default_executor(_Threads(THREADS))
    control = Control()
    with Stops(control, options.max_duration_s, partial(_exit_now, control)):
        return await run(options, settings, GradiumService(partial(_endpoint, control)), control)


class _Threads(ThreadPoolExecutor):
    """Threads that the end of the process does not wait for: one may be stuck in a disk that hangs."""

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
async def _endpoint(control: Control, settings: Settings) -> AsyncIterator[Endpoint]:
    if settings.service.url != "local":
        yield _remote_endpoint(settings)
        return
    from pipeline.server.embedded import embedded_server

    faults = settings.local.faults or None
    async with AsyncExitStack() as stack:
        starting = stack.enter_async_context(embedded_server(settings.local.recognizer, faults=faults))
        url, key = await control.unless_stopped(starting)
        yield Endpoint(url=url, key=key)


def _remote_endpoint(settings: Settings) -> Endpoint:
    check_url(settings.service.url)
    return Endpoint(url=settings.service.url, key=read_key(settings.service))
