"""The command and the local server in processes of their own that need not load them: forked from one that has.

What Python does when it starts (its variables, its warnings) and when it ends is not tried this way.
"""

from __future__ import annotations

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
from functools import cache
from pathlib import Path
from typing import Literal, NoReturn

MOST_S = 100
"""A command that has not ended by then is ended by a signal."""
_starting = threading.Lock()
Kind = Literal["command", "server"]


class Forked:
    """A running process, with what the tests use of `subprocess.Popen`."""

    def __init__(
        self, kind: Kind, args: Sequence[str], env: Mapping[str, str], cwd: Path | None, fds: list[int]
    ) -> None:
        """`fds` become its stdin, stdout and stderr."""
        with _starting:
            control, _ = _commands()
        told, tell = os.pipe()
        asked = [kind, args, dict(env), str(cwd or os.getcwd())]  # noqa: PTH109  as a subprocess does
        socket.send_fds(control, [json.dumps(asked).encode()], [*fds, tell])
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


def run_forked(args: Sequence[str], env: Mapping[str, str], stdin: str, cwd: Path | None) -> tuple[int, str, str]:
    """Returns the exit status (minus the signal's number where one ended it) and what stands on stdout and stderr."""
    file = tempfile.TemporaryFile
    with file() as given, file() as out, file() as err:
        given.write(stdin.encode())
        given.seek(0)
        code = Forked("command", args, env, cwd, [given.fileno(), out.fileno(), err.fileno()]).wait()
        texts = []
        for text in (out, err):
            text.seek(0)
            texts.append(text.read().decode())
    return code, texts[0], texts[1]


@cache
def _commands() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Where commands are asked for, and the process that runs them, which ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with theirs:
        fd = theirs.fileno()
        return ours, subprocess.Popen([sys.executable, "-m", "tests.forked", str(fd)], pass_fds=[fd])


def serve(control: socket.socket) -> None:
    """Runs what is asked for, any number at once, each in a process of its own."""
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    import pipeline.engines.local
    import pipeline.gradium.client
    import pipeline.run.check
    import pipeline.run.rebuild
    import pipeline.run.status
    import pipeline.server.fingerprint
    import pipeline.server.serve  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for who waits for a command
    while True:
        asked, fds, *_ = socket.recv_fds(control, 1 << 20, 4)
        if not asked:
            return
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if not (child := os.fork()):
                control.close()
                run(*json.loads(asked), fds)
            for fd in fds[:3]:
                os.close(fd)
            os.write(fds[3], b"%d\n" % child)
            os.write(fds[3], b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            os._exit(0)
        for fd in fds:
            os.close(fd)


def run(kind: Kind, args: list[str], env: dict[str, str], cwd: str, fds: list[int]) -> NoReturn:
    """The command or the server as if this process had been started for it."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    time.tzset()
    for number, fd in enumerate(fds[:3]):
        os.dup2(fd, number)
    for fd in fds:
        os.close(fd)
    try:
        if kind == "command":
            from pipeline.cli import main

            signal.alarm(MOST_S)
            main(args, prog_name="gradium-batch")
            raise AssertionError("the command returned")
        from pipeline.server.serve import main as serve_until_told

        os.setpgid(0, 0)
        sys.argv[1:] = args
        code = serve_until_told()
    except SystemExit as ended:
        code = int(ended.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # to take Python down takes longer than most commands do


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
