"""Threads for blocking calls that the end of the process does not wait for: one may be stuck in a disk that hangs."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_Call = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]
END_S = 0.2
"""Idle threads need much less to end."""
SIGNALLED_S = 0.2
"""How long a signal may wait that another thread got, or that came just before the main thread began to wait."""


class DaemonThreads(ThreadPoolExecutor):
    """An executor of at most `count` daemon threads. Those of the standard library are waited for when Python ends, and
    take no call any more from then on, also where a thread of the program around still works."""

    def __init__(self, count: int, name: str) -> None:
        super().__init__(count)  # never starts a thread of its own: `submit` is replaced
        self._count = count
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._started: list[threading.Thread] = []
        self._unfinished = 0
        self._lock = threading.Lock()
        self._is_closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Calls `fn` in the next free thread. Raises RuntimeError after `shutdown`."""
        future: Future[T] = Future()
        with self._lock:
            if self._is_closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._unfinished += 1
            self._calls.put((future, fn, args, kwargs))
            if self._unfinished > len(self._started) < self._count:
                name = f"{self._name}_{len(self._started)}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                thread.start()
                self._started.append(thread)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the threads. Without `wait` one that has not ended after END_S is left behind."""
        with self._lock:
            self._is_closed = True
            while cancel_futures and not self._calls.empty():
                if (call := self._calls.get()) is not None:
                    call[0].cancel()
            for _ in self._started:
                self._calls.put(None)
        deadline = time.monotonic() + END_S
        for thread in self._started:
            thread.join(None if wait else max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            self._perform(*call)
            del call  # its arguments and its result may be large
            with self._lock:
                self._unfinished -= 1

    @staticmethod
    def _perform(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:  # it is raised where the result is asked for
            future.set_exception(error)
        else:
            future.set_result(result)


def is_done(future: Future[Any], within_s: float = math.inf) -> bool:
    """Waits for it, as long as that. Ctrl-C ends it in the main thread, which it may not where one waits in one go."""
    end = time.monotonic() + within_s
    while not future.done() and (left := end - time.monotonic()) > 0:
        wait([future], min(left, SIGNALLED_S))
    return future.done()
