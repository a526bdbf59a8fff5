"""Runs in this process: the event loop, the signals, and the endpoint (the service's, or the embedded server)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from pipeline.config import Settings
from pipeline.exits import ExitStatus
from pipeline.gradium.key import read_key
from pipeline.gradium.request import check_url
from pipeline.model import Endpoint
from pipeline.report.figures import status_line
from pipeline.report.logs import say
from pipeline.run.control import Control
from pipeline.run.run import RunOptions, RunResult, run

_SIGNALS = {signal.SIGINT: ExitStatus.SIGINT, signal.SIGTERM: ExitStatus.SIGTERM}


def run_here(options: RunOptions, settings: Settings) -> RunResult:
    """Does one run to its end. The first SIGINT or SIGTERM lets answers in flight come, a second one cuts them."""
    if settings.service.url != "local":
        _remote_endpoint(settings)  # a missing key is told before a long manifest is read
    return asyncio.run(_run(options, settings))


async def _run(options: RunOptions, settings: Settings) -> RunResult:
    control = Control(_leave)
    loop = asyncio.get_running_loop()
    for number, status in _SIGNALS.items():
        loop.add_signal_handler(number, control.stop, status, signal.Signals(number).name)
    try:
        return await run(options, settings, _endpoint, control)
    finally:
        for number in _SIGNALS:
            # the work is over and only its figures are left to be told: they tell the truth, a signal no longer would
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


def _leave(status: ExitStatus) -> NoReturn:
    """Ends the process at once: a second signal came while nothing was in flight, and what goes on may never end."""
    say(status_line(exit_status=status))
    os._exit(status)


@asynccontextmanager
async def _endpoint(settings: Settings) -> AsyncIterator[Endpoint]:
    if settings.service.url != "local":
        yield _remote_endpoint(settings)
        return
    from pipeline.server.embedded import embedded_server

    faults = settings.local.faults or None
    async with embedded_server(settings.local.recognizer, faults=faults) as (url, key):
        yield Endpoint(url=url, key=key)


def _remote_endpoint(settings: Settings) -> Endpoint:
    check_url(settings.service.url)
    return Endpoint(url=settings.service.url, key=read_key(settings.service))
