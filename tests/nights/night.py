"""One night: the run's own function in this process, or in a child of it that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from pipeline.config import Settings
from pipeline.errors import GradiumBatchError
from pipeline.exchange import Endpoint
from pipeline.failures import status_of
from pipeline.gradium.service import GradiumService
from pipeline.run.context import RunOptions
from pipeline.run.control import Control
from pipeline.run.run import run
from tests.nights.patched import decoded_here, in_batches, unreadable
from tests.nights.service import Asked, Books, Faults, Service
from tests.nights.world import World

NEVER_ENDS_S = 60.0


@dataclass(frozen=True)
class Kill:
    """When a night is killed: at a request, at a step of writing files, or after so long."""

    request: int | None = None
    step: int | None = None
    after_s: float = NEVER_ENDS_S


@dataclass(frozen=True)
class Night:
    """What a night is asked to do, and what happens to it."""

    manifest: str = "main"
    only: tuple[str, ...] = ()
    limit: int | None = None
    budget: float | None = None
    at_most_s: float | None = None
    faults: Faults = field(default_factory=Faults)
    kill: Kill | None = None

    @property
    def everything(self) -> bool:
        """Nothing was left out by the user's wish."""
        return not self.only and not self.is_limited

    @property
    def is_limited(self) -> bool:
        return any(limit is not None for limit in (self.limit, self.budget, self.at_most_s))

    @property
    def calm(self) -> bool:
        return self.everything and self.kill is None and self.faults.kind == "ok"


@dataclass(frozen=True)
class Ended:
    """How a night ended."""

    exit: int | None
    """None: it was killed."""
    figures: dict[str, Any] | None
    """None where it did not begin, or was killed."""
    said: str
    """Why it did not begin."""
    asked: list[Asked]


def configured(service: Service, world: World) -> dict[str, dict[str, Any]]:
    """A configuration by section and key. What waits for better times waits briefly, and no deadline is so short that
    a busy machine misses it."""
    config = {} if world.temp is None else {"temp": world.temp}
    return {
        "service": {"url": service.url, "language": world.language, "json_config": config},
        "timeouts": {"connect_s": 30, "idle_s": 30, "attempt_base_s": 30, "drain_s": 30},
        "pool": {"concurrency": 4},
        "retry": {"max_attempts": 3, "base_s": 0.001, "max_s": 0.01, "probe_s": 0.005, "outage_max_s": 0.2},
        "sink": {"rows_per_part": 4},
        "audio": {"channels": world.channels},
        "price": {"settle_s": 0},
    }


def settings_for(night: Night, world: World, service: Service) -> Settings:
    """The settings of a night; its clips may be shorter than a user can have them, so that recordings can be, too."""
    given = configured(service, world)
    if night.budget is not None:
        given["budget"] = {"credits": night.budget}
    settings = Settings.model_validate(given)
    audio = settings.audio.model_copy(update={"max_clip_s": world.max_clip_s})
    return settings.model_copy(update={"audio": audio})


def in_process(night: Night, world: World, service: Service) -> Ended:
    """Does the night here, or where it is to be killed in a child."""
    books = service.books(night.faults)
    if night.kill is not None:
        return _killed(night.kill, lambda: _whole(night, world, service, books.key), books, world.out)
    exit_status, figures, said = _whole(night, world, service, books.key)
    return Ended(exit_status, figures, said, books.asked)


Told = tuple[int, dict[str, Any] | None, str]


def _whole(night: Night, world: World, service: Service, key: str) -> Told:
    manifest = str(world.manifest(night.manifest))
    settings = settings_for(night, world, service)
    options = RunOptions(
        manifests=(manifest,),
        out=world.out,
        shared_out=True,
        only=night.only,
        limit=night.limit,
        max_duration_s=night.at_most_s,
        progress="off",
    )

    @contextlib.asynccontextmanager
    async def endpoint(_: Settings) -> AsyncIterator[Endpoint]:
        yield Endpoint(url=service.url, key=key)

    async def bounded() -> Any:
        async with asyncio.timeout(NEVER_ENDS_S):
            return await run(options, settings, GradiumService(endpoint), Control())

    with unreadable(world), in_batches(world), decoded_here():
        try:
            result = asyncio.run(bounded())
        except TimeoutError:
            raise AssertionError(f"the night did not end within {NEVER_ENDS_S:.0f} s: {night}") from None
        except GradiumBatchError as error:
            return int(status_of(error)), None, str(error)
    figures: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(result.figures))
    return figures["exit"], figures, str(result.error or "")


def _killed(kill: Kill, whole: Callable[[], Told], books: Books, out: Path) -> Ended:
    """Does the night in a child that is killed; it may come to its end before."""
    told = out.with_name("told.json")
    told.unlink(missing_ok=True)
    # the server's thread waits for requests now and holds no lock that the child would miss
    pid = os.fork()
    if pid == 0:
        _child(kill, whole, told)
    if kill.request is not None:
        books.kill = kill.request, pid
    until = time.monotonic() + kill.after_s
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            break
        time.sleep(0.001)
    if not told.exists():
        return Ended(None, None, "killed", books.asked)
    exit_status, figures, said = json.loads(told.read_text())
    if exit_status is None:
        raise AssertionError(said)
    return Ended(exit_status, figures, said, books.asked)


def _child(kill: Kill, whole: Callable[[], Told], told: Path) -> NoReturn:
    try:
        logging.disable()
        if kill.step is not None:
            _die_at(kill.step)
        try:
            ended: Any = whole()
        except BaseException:
            ended = None, None, traceback.format_exc()
        temp = told.with_suffix(".tmp")
        temp.write_text(json.dumps(ended))
        os.rename(temp, told)  # noqa: PTH104  by now a Path's own would count as a step
    finally:
        os._exit(0)


def _die_at(step: int) -> None:
    """Kills this process at the step with this number: files written through, renamed or removed."""
    reached = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*args: Any, **more: Any) -> Any:
            nonlocal reached
            reached += 1
            if reached == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)

        return stepping

    for name in ("fsync", "replace", "rename", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
