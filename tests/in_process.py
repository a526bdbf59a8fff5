"""Calls the command in the process of the test, which costs a tenth of a process of its own.

Whatever the command changes for its whole process is put back: environment, working folder, standard streams, handlers
of signals, log handlers, hooks, caches, hidden secrets. What lives longer than the call is told by a failed assertion.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

from pipeline import redaction, workers
from tests.forked import ForkedWorker, start_commands

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HOOKS = ((sys, "excepthook"), (threading, "excepthook"), (sys, "unraisablehook"))
ENDING_S = 5.0
"""Threads of a command may take so long to end after it."""


class _ForWorkers:
    """What `pipeline.workers` uses of `subprocess`: decoders are processes of their own here too, started faster."""

    Popen = ForkedWorker
    PIPE, DEVNULL, TimeoutExpired = subprocess.PIPE, subprocess.DEVNULL, subprocess.TimeoutExpired


def run_in_process(args: Sequence[str], env: Mapping[str, str], stdin: str, cwd: Path | None) -> tuple[int, str, str]:
    """Returns the exit status, and what stands on stdout and stderr. In the main thread only, as signals want it."""
    from pipeline.cli import main

    file = tempfile.TemporaryFile
    with file() as given, file() as out, file() as err:
        given.write(stdin.encode())
        given.seek(0)
        with _surroundings(env, cwd), _streams(given, out, err), _hooks(), _warnings(), _empty_caches(), _threads():
            try:
                main([*args], prog_name="gradium-batch")
                raise AssertionError("the command returned")
            except SystemExit as ended:
                code = int(ended.code or 0)
        texts = []
        for text in (out, err):
            text.seek(0)
            texts.append(text.read().decode())
    return code, texts[0], texts[1]


@contextmanager
def _surroundings(env: Mapping[str, str], cwd: Path | None) -> Iterator[None]:
    """Environment and working folder."""
    before, folder = dict(os.environ), os.getcwd()  # noqa: PTH109  put back as it was
    try:
        _set_environment(env)
        if cwd is not None:
            os.chdir(cwd)
        yield
    finally:
        os.chdir(folder)
        _set_environment(before)


def _set_environment(env: Mapping[str, str]) -> None:
    for name in os.environ.keys() - env.keys():
        del os.environ[name]
    for name, value in env.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


@contextmanager
def _streams(*files: BinaryIO) -> Iterator[None]:
    """The files as stdin, stdout and stderr, by their numbers as well: for libraries, and for started processes."""
    kept = [os.dup(number) for number in range(3)]
    before = sys.stdin, sys.stdout, sys.stderr
    ours = []
    for number, (file, mode) in enumerate(zip(files, ("r", "w", "w"), strict=True)):
        os.dup2(file.fileno(), number)
        errors = "backslashreplace" if number == 2 else "strict"
        ours.append(open(number, mode, encoding="utf-8", errors=errors, closefd=False))  # noqa: SIM115
    try:
        sys.stdin, sys.stdout, sys.stderr = ours
        yield
    finally:
        for stream in ours:
            stream.close()
        sys.stdin, sys.stdout, sys.stderr = before
        for number, fd in enumerate(kept):
            os.dup2(fd, number)
            os.close(fd)


@contextmanager
def _hooks() -> Iterator[None]:
    """Handlers of signals and of logs, and what Python does with errors that nobody catches."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    hooks = [(module, name, getattr(module, name)) for module, name in HOOKS]
    loggers = [logging.getLogger(name) for name in ("", "pipeline")]
    logs = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    hidden, os_exit = set(redaction._hidden), os._exit
    processes, workers.subprocess = workers.subprocess, _ForWorkers  # type: ignore[assignment]
    os._exit = _exit
    try:
        yield
    finally:
        os._exit, workers.subprocess = os_exit, processes  # type: ignore[assignment]
        redaction._hidden.intersection_update(hidden)
        for logger, its_handlers, propagate, level in logs:
            logger.handlers[:], logger.propagate = its_handlers, propagate
            logger.setLevel(level)
        for module, name, hook in hooks:
            setattr(module, name, hook)
        signal.set_wakeup_fd(-1)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _exit(status: int) -> NoReturn:
    """A command that ends its process at once does so because of a thread, which is then waited for here."""
    if threading.current_thread() is threading.main_thread():
        raise SystemExit(status)
    raise AssertionError(f"os._exit({status}) in a thread: give this command a process of its own")


@contextmanager
def _warnings() -> Iterator[None]:
    """As Python has them where nobody said otherwise: what it would show to a user reaches stderr."""
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        try:
            yield
        finally:
            logging.captureWarnings(False)


@contextmanager
def _empty_caches() -> Iterator[None]:
    """A process starts with empty ones."""
    for name, module in [*sys.modules.items()]:
        if name.startswith("pipeline"):
            for cached in [*vars(module).values()]:
                if callable(clear := getattr(cached, "cache_clear", None)):
                    clear()
    yield


@contextmanager
def _threads() -> Iterator[None]:
    """None but those of the command are seen by it, and they and its processes end with it."""
    enumerate_all = threading.enumerate
    before = {*enumerate_all()} - {threading.main_thread()}
    start_commands()  # else a decoder would, and the command would seem to have left it behind
    processes = _processes()
    threading.enumerate = lambda: [thread for thread in enumerate_all() if thread not in before]
    try:
        yield
    finally:
        threading.enumerate = enumerate_all
    deadline = time.monotonic() + ENDING_S
    for thread in {*enumerate_all()} - before - {threading.main_thread()}:
        thread.join(max(0.0, deadline - time.monotonic()))
        assert not thread.is_alive(), f"the command left a thread behind: {thread.name}"
    left = _processes() - processes
    assert not left, f"the command left processes behind: {left}"


def _processes() -> set[int]:
    """Those that this one has started and that still run."""
    found = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended
            found |= {int(pid) for pid in task.read_text().split()}
    return found
