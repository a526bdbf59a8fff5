"""A process per CPU for work that holds the interpreter lock, none of which ever outlives this process.

Knows nothing of speech: a worker makes its tool once by a factory, then answers calls. A worker that dies, or is killed
because a call takes too long, costs that call and is replaced. The decoders and the local server's recognizers use it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

from pipeline.cpus import usable_cpus

Call = TypeVar("Call")
Result = TypeVar("Result")
Tool = Callable[[Call], Result]

# spawn: a fork would carry the event loop and the listening socket into the workers
CONTEXT = multiprocessing.get_context("spawn")
PR_SET_PDEATHSIG = 1


class Worker(Generic[Call, Result]):
    """One process and the pipe to it."""

    def __init__(self, make_tool: Callable[[], Tool[Call, Result]]) -> None:
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=work, args=(theirs, make_tool), daemon=True)
        # Ctrl-C reaches the whole group, also while the child still loads: whoever started it ends it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def call(self, call: Call) -> Result:
        """Blocks for the result. Raises what the tool raised, or EOFError or OSError when the process died."""
        self._pipe.send(call)
        result, error = self._pipe.recv()
        if error is not None:
            raise RuntimeError(error)
        return result  # type: ignore[no-any-return]  # the pipe carries anything; the tool says what

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def kill(self) -> None:
        """Ends the process at once, also in the middle of a call."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def kill_call(self) -> None:
        """Ends the process, so that the call it works on ends as if it had died."""
        self._process.kill()


class Workers(Generic[Call, Result]):
    """Processes that take calls in turn."""

    def __init__(self, make_tool: Callable[[], Tool[Call, Result]], count: int = 0) -> None:
        self._make_tool = make_tool
        self._count = count or usable_cpus()
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="worker-pipe")
        self._idle: asyncio.Queue[Worker[Call, Result]] = asyncio.Queue()
        self._all: set[Worker[Call, Result]] = set()

    async def start(self) -> None:
        """Starts the processes, which then make their tools at their own pace."""
        for _ in range(self._count):
            self._add()
            await asyncio.sleep(0)  # starting a process takes milliseconds: requests are answered between two

    async def call(self, call: Call, *, at_most_s: float | None = None) -> Result:
        """Returns what a worker makes of the call; waits for a free one.

        Raises RuntimeError when the tool failed, EOFError or OSError when the process died, which it also does when the
        call takes longer than `at_most_s`.
        """
        worker = await self._idle.get()
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._threads, worker.call, call)
        timer = None if at_most_s is None else loop.call_later(at_most_s, worker.kill_call)

        # a caller that is cancelled leaves its worker busy: it is free when the call is over, not before
        def over(done: asyncio.Future[Result]) -> None:
            if timer is not None:
                timer.cancel()
            self._release(worker, done)

        running.add_done_callback(over)
        return await asyncio.shield(running)

    async def close(self) -> None:
        """Ends all processes."""
        workers, self._all = self._all, set()
        for worker in workers:
            worker.kill()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def pids(self) -> list[int]:
        """Returns the process ids."""
        return [worker.pid for worker in self._all if worker.pid is not None]

    def _add(self) -> None:
        # always in the loop's thread: the kernel ends a worker with the THREAD that started it
        worker = Worker(self._make_tool)
        self._all.add(worker)
        self._idle.put_nowait(worker)

    def _release(self, worker: Worker[Call, Result], done: asyncio.Future[Result]) -> None:
        died = not done.cancelled() and isinstance(done.exception(), EOFError | OSError)
        if worker not in self._all:
            return  # closed meanwhile
        if died:
            self._all.discard(worker)
            worker.kill()
            self._add()
        else:
            self._idle.put_nowait(worker)


def work(pipe: Connection, make_tool: Callable[[], Tool[Call, Result]]) -> None:
    """The worker process: makes its tool, then answers calls until the pipe or the parent ends."""
    die_with_parent()
    tool = make_tool()
    while True:
        try:
            call = pipe.recv()
        except EOFError:
            return
        try:
            answer: tuple[Result | None, str | None] = (tool(call), None)
        except Exception as error:  # it goes to the caller, in words: not every exception can be pickled
            answer = (None, f"{type(error).__name__}: {error}")
        pipe.send(answer)


def die_with_parent() -> None:
    """Ends this process when its parent has ended, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":
        import ctypes

        # the thread below cannot run while a call holds the interpreter lock, for minutes perhaps; the kernel can
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:
            os._exit(1)

    def watch(sentinel: int) -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
