"""A process per CPU for work that holds the interpreter lock, none of which ever outlives this process.

Knows nothing of speech: a worker makes its tool once by a factory, then answers calls. A worker that dies, or is killed
because a call takes too long, costs that call and is replaced. The decoders and the local server's recognizers use it.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, Pipe
from typing import Generic, TypeVar

from pipeline.children import import_path, python
from pipeline.cpus import usable_cpus

Call = TypeVar("Call")
Result = TypeVar("Result")
Tool = Callable[[Call], Result]

PR_SET_PDEATHSIG = 1
STDIN = 0
START_S = 60.0
"""A process that has not made its tool by then is taken for one that never will."""
END_S = 5.0
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGTRAP)
"""Signals that a process gets for what it does itself; all others are sent to it by somebody."""


class NotStarted(Exception):
    """A worker that took no call: its process could not be started, or could not make its tool."""


class WorkerDied(Exception):
    """A worker that ended, or was ended because it took too long, in the middle of a call."""

    def __init__(self, how: str, by_others: bool = False) -> None:
        super().__init__(how)
        self.by_others = by_others
        """Somebody killed it: a user, the kernel for want of memory, a machine that shuts down."""


class Worker(Generic[Call, Result]):
    """One process and the pipe to it."""

    def __init__(self, make_tool: Callable[[], Tool[Call, Result]]) -> None:
        self._ready = False
        self._pipe, theirs = Pipe()
        # Ctrl-C reaches the whole group, also while the child still loads: whoever started it ends it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        try:
            self._process = subprocess.Popen(  # noqa: S603 our own interpreter
                python("pipeline.workers", str(theirs.fileno()), str(os.getpid())),
                stdin=subprocess.PIPE,  # which ends when this process does
                stdout=subprocess.DEVNULL,
                # what the codec libraries write there is no line of ours, and may be text of the recording
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        except OSError:
            self._pipe.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        with suppress(OSError):  # of a process that has ended already, which shows when it is called
            self._pipe.send(import_path())
            self._pipe.send(pickle.dumps(make_tool))

    def call(self, call: Call, at_most_s: float | None = None) -> Result:
        """Blocks for the result. Raises RuntimeError where the tool failed, NotStarted, or WorkerDied."""
        try:
            self._get_ready()
        except (EOFError, OSError, ValueError):
            raise NotStarted(f"its process {self._end()[0]}") from None
        try:
            self._pipe.send(call)
            if not self._pipe.poll(at_most_s):
                raise WorkerDied(f"did not come to an end within {at_most_s:.0f} s")
            result, error = self._pipe.recv()
        except (EOFError, OSError, ValueError):  # the latter of a pipe that was closed meanwhile
            raise WorkerDied(*self._end()) from None
        if error is not None:
            raise RuntimeError(error)
        return result  # type: ignore[no-any-return]  # the pipe carries anything; the tool says what

    def _get_ready(self) -> None:
        if self._ready:
            return
        if not self._pipe.poll(START_S):
            raise NotStarted(f"its process is not ready after {START_S:.0f} s")
        if why := self._pipe.recv():
            raise NotStarted(why)
        self._ready = True

    def _end(self) -> tuple[str, bool]:
        """How the process ended, and whether somebody else ended it."""
        try:
            status = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            return "answers no more", False
        if status >= 0:
            return f"ended with status {status}", False
        return f"was ended by signal {-status} ({signal.strsignal(-status)})", -status not in CRASHES

    def kill(self) -> None:
        """Ends the process at once, also in the middle of a call."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._pipe.close()


class Workers(Generic[Call, Result]):
    """Processes that take calls in turn."""

    def __init__(self, make_tool: Callable[[], Tool[Call, Result]], count: int = 0) -> None:
        self._make_tool = make_tool
        self._count = count or usable_cpus()
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="worker-pipe")
        self._idle: asyncio.Queue[Worker[Call, Result] | None] = asyncio.Queue()
        """None in the place of one that ended: the next call starts another."""
        self._all: set[Worker[Call, Result]] = set()

    async def start(self) -> None:
        """Starts the processes, which then make their tools at their own pace."""
        for _ in range(self._count):
            with suppress(NotStarted):  # its place is free, and the call that takes it is told
                self._idle.put_nowait(self._started())
            await asyncio.sleep(0)  # starting a process takes milliseconds: requests are answered between two

    async def call(self, call: Call, *, at_most_s: float | None = None) -> Result:
        """Returns what a worker makes of the call; waits for a free one.

        Raises RuntimeError when the tool failed, WorkerDied when its process ended, also because the call took longer
        than `at_most_s`, and NotStarted when no process could begin.
        """
        worker = await self._idle.get() or self._started()
        running = asyncio.get_running_loop().run_in_executor(self._threads, worker.call, call, at_most_s)
        # a caller that is cancelled leaves its worker busy: it is free when the call is over, not before
        running.add_done_callback(partial(self._release, worker))
        return await asyncio.shield(running)

    async def close(self) -> None:
        """Ends all processes."""
        workers, self._all = self._all, set()
        for worker in workers:
            worker.kill()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _started(self) -> Worker[Call, Result]:
        # always in the loop's thread: the kernel ends a worker with the THREAD that started it
        try:
            worker = Worker(self._make_tool)
        except OSError as error:
            self._idle.put_nowait(None)
            raise NotStarted(f"{sys.executable}: {error.strerror}") from None
        self._all.add(worker)
        return worker

    def _release(self, worker: Worker[Call, Result], done: asyncio.Future[Result]) -> None:
        ended = not done.cancelled() and isinstance(done.exception(), NotStarted | WorkerDied)
        if worker not in self._all:
            return  # closed meanwhile
        if ended:
            self._all.discard(worker)
            worker.kill()
            self._idle.put_nowait(None)
        else:
            self._idle.put_nowait(worker)


def main() -> None:
    """The worker process: makes its tool, then answers calls until the pipe or the parent ends."""
    pipe: Connection = Connection(int(sys.argv[1]))
    die_with_parent(int(sys.argv[2]))
    with suppress(EOFError, OSError):  # the parent has closed the pipe
        sys.path[:] = pipe.recv()
        made_by = pipe.recv()
        try:
            tool = pickle.loads(made_by)()  # noqa: S301 the parent's own bytes
        except BaseException as error:  # whatever importing a library does that does not fit this machine
            pipe.send(f"{type(error).__name__}: {error}")
            return
        pipe.send("")
        while True:
            pipe.send(_answer(tool, pipe.recv()))


def _answer(tool: Tool[Call, Result], call: Call) -> tuple[Result | None, str | None]:
    try:
        return tool(call), None
    except Exception as error:  # it goes to the caller, in words: not every exception can be pickled
        return None, f"{type(error).__name__}: {error}"


def die_with_parent(parent: int) -> None:
    """Ends this process when its parent has ended, however it ended."""
    if sys.platform == "linux":
        import ctypes

        # the thread below cannot run while a call holds the interpreter lock, for minutes perhaps; the kernel can
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    def watch() -> None:
        os.read(STDIN, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
