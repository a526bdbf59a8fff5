"""An event loop whose time jumps to the next timer: hours pass in milliseconds, and waiting for ever is found.

result = in_virtual_time(pool.run(clips))
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
SMALLEST_STEP_S = 1e-6
"""More than the loop's clock resolution, or a timer that is due a little early would be waited for again and again."""


class HangsForEver(BaseException):
    """Nothing is left that could happen, and the coroutine has not ended."""


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting for a timer it moves the clock; files and sockets are only looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise HangsForEver
        if not ready and timeout:
            self.now += max(timeout, SMALLEST_STEP_S)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """What `main` returns. Raises HangsForEver where it waits for something that cannot come."""
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(main)
