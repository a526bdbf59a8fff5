"""The command in a process of its own that need not load it: forked from one that has.

What Python does when it starts (its variables, its warnings) and when it ends is not tried this way.
"""

from __future__ import annotations

import json
import os
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
from typing import NoReturn

MOST_S = 100
"""A command that has not ended by then is ended by a signal."""
_starting = threading.Lock()


def run_forked(args: Sequence[str], env: Mapping[str, str], stdin: str, cwd: Path | None) -> tuple[int, str, str]:
    """Returns the exit status (minus the signal's number where one ended it) and what stands on stdout and stderr."""
    with _starting:
        control, _ = _commands()
    told, tell = os.pipe()
    file = tempfile.TemporaryFile
    with file() as given, file() as out, file() as err, os.fdopen(told, "rb") as status:
        given.write(stdin.encode())
        given.seek(0)
        asked = json.dumps([args, dict(env), str(cwd or os.getcwd())]).encode()  # noqa: PTH109  as a subprocess does
        socket.send_fds(control, [asked], [given.fileno(), out.fileno(), err.fileno(), tell])
        os.close(tell)
        code = int(status.read())
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
    import pipeline.run.status  # noqa: F401

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
            os.write(fds[3], b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            os._exit(0)
        for fd in fds:
            os.close(fd)


def run(args: list[str], env: dict[str, str], cwd: str, fds: list[int]) -> NoReturn:
    """The command as if this process had been started for it."""
    from pipeline.cli import main

    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    time.tzset()
    for number, fd in enumerate(fds[:3]):
        os.dup2(fd, number)
    for fd in fds:
        os.close(fd)
    signal.alarm(MOST_S)
    try:
        main(args, prog_name="gradium-batch")
    except SystemExit as ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(ended.code or 0))  # to take Python down takes longer than most commands do
    raise AssertionError("the command returned")


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
