"""Worker processes for work that holds the interpreter lock: one per CPU, none of which outlives this process.

A worker makes its tool once by a factory, then answers calls. One that crashes, or is killed at the timeout of a call,
fails that call and is replaced. The decoders and the local server's recognizers run in them.
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
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, Pipe
from typing import Generic, TypeVar

from pipeline.interpreter import python_command
from pipeline.machine import usable_cpus
from pipeline.threads import DaemonThreads

Call = TypeVar("Call")
Result = TypeVar("Result")
Tool = Callable[[Call], Result]

PR_SET_PDEATHSIG = 1
STDIN = 0
START_S = 60.0
"""Timeout for making the tool."""
END_S = 5.0
"""Timeout for the end of a process whose pipe is closed."""
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGTRAP)
"""Signals that a process causes itself; all others come from outside."""


class NotStarted(Exception):
    """A worker whose process could not be started, or could not make its tool."""


class WorkerCrashed(Exception):
    """A worker's process ended during a call, or the call timed out."""

    def __init__(self, how: str, was_killed: bool = False) -> None:
        super().__init__(how)
        self.was_killed = was_killed
        """By another process: a user, the kernel out of memory, a shutdown."""


class _Worker(Generic[Call, Result]):
    """One process and the pipe to it."""

    def __init__(self, make_tool: Callable[[], Tool[Call, Result]]) -> None:
        self._ready = False
        self._pipe, child_end = Pipe()
        # Ctrl-C reaches the whole group, also while the child still loads; its parent ends it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        try:
            self._process = subprocess.Popen(  # noqa: S603 our own interpreter
                python_command("pipeline.workers", str(child_end.fileno()), str(os.getpid())),
                stdin=subprocess.PIPE,  # closed when this process ends
                stdout=subprocess.DEVNULL,
                # codec libraries write there, perhaps text from the recording
                stderr=subprocess.DEVNULL,
                pass_fds=[child_end.fileno()],
            )
        except OSError:
            self._pipe.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            child_end.close()
        with suppress(OSError):  # it has ended already, which the first call reports
            self._pipe.send(pickle.dumps(make_tool))

    def call(self, call: Call, timeout_s: float | None = None) -> Result:
        """Blocks for the result. Raises RuntimeError where the tool failed, NotStarted, or WorkerCrashed."""
        try:
            self._wait_until_ready()
        except (EOFError, OSError, ValueError):
            raise NotStarted(f"its process {self._end()[0]}") from None
        try:
            self._pipe.send(call)
            if not self._pipe.poll(timeout_s):
                raise WorkerCrashed(f"did not finish within {timeout_s:.0f} s")
            result, error = self._pipe.recv()
        except (EOFError, OSError, ValueError):  # ValueError: the pipe was closed meanwhile
            raise WorkerCrashed(*self._end()) from None
        if error is not None:
            raise RuntimeError(error)
        return result  # type: ignore[no-any-return]  # the pipe is untyped

    def _wait_until_ready(self) -> None:
        if self._ready:
            return
        if not self._pipe.poll(START_S):
            raise NotStarted(f"its process is not ready after {START_S:.0f} s")
        if why := self._pipe.recv():
            raise NotStarted(why)
        self._ready = True

    def _end(self) -> tuple[str, bool]:
        """How the process ended, and whether it was killed from outside."""
        try:
            status = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            return "stopped answering", False
        if status >= 0:
            return f"ended with status {status}", False
        return f"was ended by signal {-status} ({signal.strsignal(-status)})", -status not in CRASHES

    def kill(self) -> None:
        """Ends the process at once, also during a call."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._pipe.close()


class Workers(Generic[Call, Result]):
    """A pool of worker processes."""

    def __init__(self, make_tool: Callable[[], Tool[Call, Result]], count: int = 0) -> None:
        self._make_tool = make_tool
        self._count = count or usable_cpus()
        self._threads = DaemonThreads(self._count, "worker-pipe")
        self._idle: asyncio.Queue[_Worker[Call, Result] | None] = asyncio.Queue()
        """None stands for one that ended: the next call starts another."""
        self._all: set[_Worker[Call, Result]] = set()

    async def start(self) -> None:
        """Starts the processes, without waiting for their tools."""
        for _ in range(self._count):
            with suppress(NotStarted):  # the next call tries again, and raises
                self._idle.put_nowait(self._start_one())
            await asyncio.sleep(0)  # starting a process takes milliseconds: let other tasks run between two

    async def call(self, call: Call, *, timeout_s: float | None = None) -> Result:
        """The result of a call by the next idle worker.

        Raises RuntimeError when the tool failed, WorkerCrashed when its process ended or the call timed out, and
        NotStarted.
        """
        worker = await self._idle.get() or self._start_one()
        running = asyncio.get_running_loop().run_in_executor(self._threads, worker.call, call, timeout_s)
        # the worker of a cancelled caller stays busy until its call is over
        running.add_done_callback(partial(self._release, worker))
        return await asyncio.shield(running)

    async def close(self) -> None:
        """Ends all processes."""
        workers, self._all = self._all, set()
        for worker in workers:
            worker.kill()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start_one(self) -> _Worker[Call, Result]:
        # always in the loop's thread: the kernel ends a worker with the THREAD that started it
        try:
            worker = _Worker(self._make_tool)
        except OSError as error:
            self._idle.put_nowait(None)
            raise NotStarted(f"{sys.executable}: {error.strerror}") from None
        self._all.add(worker)
        return worker

    def _release(self, worker: _Worker[Call, Result], done: asyncio.Future[Result]) -> None:
        # always retrieved, or asyncio logs an unretrieved exception
        has_ended = not done.cancelled() and isinstance(done.exception(), NotStarted | WorkerCrashed)
        if worker not in self._all:
            return  # closed meanwhile
        if has_ended:
            self._all.discard(worker)
            worker.kill()
        self._idle.put_nowait(None if has_ended else worker)


def main() -> None:
    """The worker process: makes its tool, then answers calls until the pipe or the parent ends."""
    pipe: Connection = Connection(int(sys.argv[1]))
    _end_with_parent(int(sys.argv[2]))
    with suppress(EOFError, OSError):  # the parent has closed the pipe
        factory = pipe.recv()
        try:
            tool = pickle.loads(factory)()  # noqa: S301 the parent's own bytes
        except BaseException as error:  # importing a library that does not fit this machine may raise anything
            pipe.send(f"{type(error).__name__}: {error}")
            return
        pipe.send("")
        while True:
            call, result, failure = pipe.recv(), None, None
            try:
                result = tool(call)
            except Exception as error:  # sent as text: not every exception can be pickled
                failure = f"{type(error).__name__}: {error}"
            pipe.send((result, failure))


def _end_with_parent(parent: int) -> None:
    """Makes this process end with its parent, also where that is killed."""
    if sys.platform == "linux":
        import ctypes

        # by the kernel, because the thread below cannot run while a call holds the interpreter lock
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    def watch() -> None:
        os.read(STDIN, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
