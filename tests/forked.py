"""The command and the local server in processes of their own that need not load them: forked from one that has.

What Python does when it starts (its variables, its warnings) and when it ends is not tried this way.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal, NoReturn, Self

MOST_S = 100
"""A command that has not ended by then is ended by a signal."""
_starting = threading.Lock()
Kind = Literal["command", "server", "python", "worker"]


class Forked:
    """A running process, with what the tests use of `subprocess.Popen`."""

    def __init__(
        self, kind: Kind, args: Sequence[str], env: Mapping[str, str], cwd: Path | None, fds: list[int]
    ) -> None:
        """`fds` become its stdin, stdout and stderr, and the fourth the pipe of a worker.

        `args` are those of the command or the server; of "python" they are as behind `python -c`.
        """
        with _starting:
            control, _ = _commands()
        told, tell = os.pipe()
        asked = [kind, args, dict(env), str(cwd or os.getcwd())]  # noqa: PTH109  as a subprocess does
        socket.send_fds(control, [json.dumps(asked).encode()], [tell, *fds])
        os.close(tell)
        self._told = os.fdopen(told, "rb")
        self.pid = int(self._told.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status (minus the signal's number where one ended it); None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.returncode = int(self._told.read())
            self._told.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        if self.returncode is None and not select.select([self._told], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"forked {self.pid}", timeout or 0.0)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class ForkedWorker(Forked):
    """In the place of `subprocess.Popen` in `pipeline.workers`: the process of a decoder, with what it needs loaded."""

    def __init__(self, command: Sequence[str], *, pass_fds: Sequence[int], **options: object) -> None:
        given, ours = os.pipe()
        null = os.open(os.devnull, os.O_WRONLY)
        super().__init__("worker", command[-1:], os.environ, None, [given, null, null, *pass_fds])
        for fd in (given, null):
            os.close(fd)
        self.stdin = os.fdopen(ours, "wb")


class Started(Forked):
    """The command as a process, with pipes for what it says; a block ends with its end, as with `subprocess.Popen`."""

    def __init__(
        self, args: Sequence[str], env: Mapping[str, str], cwd: Path | None = None, kind: Kind = "command"
    ) -> None:
        (out, to_out), (err, to_err) = os.pipe(), os.pipe()
        given = os.open(os.devnull, os.O_RDONLY)
        super().__init__(kind, args, env, cwd, [given, to_out, to_err])
        for fd in (given, to_out, to_err):
            os.close(fd)
        self.stdout, self.stderr = os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8")

    def communicate(self, timeout: float = 100) -> tuple[str, str]:
        """What stands on stdout and stderr, once it has ended. Raises subprocess.TimeoutExpired."""
        with ThreadPoolExecutor(2) as reading:
            texts = [reading.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self.stdout.close()
        self.stderr.close()
        return texts[0].result(), texts[1].result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()


def run_forked(
    args: Sequence[str], env: Mapping[str, str], stdin: str = "", cwd: Path | None = None, kind: Kind = "command"
) -> tuple[int, str, str]:
    """Returns the exit status (minus the signal's number where one ended it) and what stands on stdout and stderr."""
    file = tempfile.TemporaryFile
    with file() as given, file() as out, file() as err:
        given.write(stdin.encode())
        given.seek(0)
        code = Forked(kind, args, env, cwd, [given.fileno(), out.fileno(), err.fileno()]).wait()
        texts = []
        for text in (out, err):
            text.seek(0)
            texts.append(text.read().decode())
    return code, texts[0], texts[1]


def put_command_into(folder: Path) -> int:
    """Makes a `gradium-batch` for shells, which is forked as well; returns a file descriptor that they must inherit."""
    fd = _commands()[0].fileno()
    script = folder / "gradium-batch"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {Path(__file__).with_name("as_command.py")} {fd} "$@"\n')
    script.chmod(0o755)
    return fd


def start_commands() -> None:
    """Starts the process that runs them, unless it runs."""
    _commands()


@cache
def _commands() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Where commands are asked for, and the process that runs them, which ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with theirs:
        fd = theirs.fileno()
        process = subprocess.Popen([sys.executable, "-m", "tests.forked", str(fd)], pass_fds=[fd])
    atexit.register(_end, ours, process)
    return ours, process


def _end(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    control.close()
    process.wait(10)


def serve(control: socket.socket) -> None:
    """Runs what is asked for, any number at once, each in a process of its own."""
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    import pipeline.audio.decode
    import pipeline.audio.prepare
    import pipeline.engines.local
    import pipeline.gradium.client
    import pipeline.run.check
    import pipeline.run.rebuild
    import pipeline.run.status
    import pipeline.server.fingerprint
    import pipeline.server.serve  # noqa: F401

    gc.freeze()  # what is loaded is not looked through in each process, which would copy its memory
    ended, wake = os.pipe()
    for fd in (ended, wake):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    tells: dict[int, int] = {}
    while True:
        ready = select.select([control, ended], [], [])[0]
        if ended in ready:
            os.read(ended, 4096)
            _tell_ends(tells)
        if control not in ready:
            continue
        asked, fds, *_ = socket.recv_fds(control, 1 << 20, 5)
        if not asked:
            break
        tell = fds.pop(0)
        if not (child := os.fork()):
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in (control.fileno(), ended, wake, *tells.values(), tell):
                os.close(fd)
            run(*json.loads(asked), fds)
        tells[child] = tell
        os.write(tell, b"%d\n" % child)
        for fd in fds:
            os.close(fd)
    while tells:  # for what they took of the processor to be counted
        _tell_ends(tells)
        time.sleep(0.01)


def _tell_ends(tells: dict[int, int]) -> None:
    """Writes the exit statuses of processes that have ended to who waits for them."""
    while tells and (found := os.waitpid(-1, os.WNOHANG))[0]:
        tell = tells.pop(found[0])
        with suppress(BrokenPipeError):
            os.write(tell, b"%d" % os.waitstatus_to_exitcode(found[1]))
        os.close(tell)


def run(kind: Kind, args: list[str], env: dict[str, str], cwd: str, fds: list[int]) -> NoReturn:
    """The command or the server as if this process had been started for it."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    time.tzset()
    for number, fd in enumerate(fds[:3]):
        os.dup2(fd, number)
        os.close(fd)
    try:
        if kind == "server":
            from pipeline.server.serve import main as serve_until_told

            os.setpgid(0, 0)
            sys.argv[1:] = args
            code = serve_until_told()
        elif kind == "worker":
            from pipeline.workers import main as work_until_told

            sys.argv[1:] = [str(fds[3]), str(os.getppid())]
            work_until_told()
            code = 0
        else:
            from pipeline.cli import main

            signal.alarm(MOST_S)
            if kind == "command":
                main(args, prog_name="gradium-batch")
            sys.argv = ["-c", *args[1:]]
            exec(args[0], {"__name__": "__main__"})  # noqa: S102  the tests' own text
            code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # to take Python down takes longer than most commands do


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
