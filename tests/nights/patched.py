"""What is other in a night in this process than on a real one, so that it is short and all can be made to happen."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from pipeline.audio import decoders
from pipeline.audio.decoders import Decoders, DecoderTask, perform
from pipeline.errors import AttemptError, OutputError
from pipeline.run import prepare, select
from tests.nights.world import World

FAILING = (errno.EIO, errno.ESTALE, errno.EMFILE)


@contextlib.contextmanager
def in_batches(world: World) -> Iterator[None]:
    """Forty rows are looked at in many batches, as forty thousand are."""
    if world.kind != "many":
        yield
        return
    with mock.patch.object(select, "HASHED_AT_ONCE", 3), mock.patch.object(prepare, "SIDE_BY_SIDE", 2):
        yield


@contextlib.contextmanager
def decoded_here() -> Iterator[None]:
    """Decoders are processes, which take longer to start than such a night lasts."""

    async def perform_here(_: Decoders, task: DecoderTask, timeout_s: float) -> decoders.DecoderResult:
        ended = await asyncio.to_thread(perform, task)
        if isinstance(ended, AttemptError | OutputError):
            raise ended
        return ended

    with mock.patch.object(Decoders, "_perform", perform_here):
        yield


@contextlib.contextmanager
def unreadable(world: World) -> Iterator[None]:
    """As a disk or mount that fails has it: some files are there, and cannot be looked at or opened."""
    paths = {str(world.base / path) for path in world.unreadable}
    if not paths:
        yield
        return

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def called(path: Any, *args: Any, **more: Any) -> Any:
            if str(path) in paths and os.path.lexists(path):
                number = FAILING[len(str(path)) % len(FAILING)]
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *args, **more)

        return called

    with mock.patch.object(os, "open", failing(os.open)), mock.patch.object(os, "stat", failing(os.stat)):
        yield
