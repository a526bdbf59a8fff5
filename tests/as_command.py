"""Stands in for the installed command in a shell: has it forked by `tests.forked` and ends as it does."""

import json
import os
import signal
import socket
import sys


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    told, tell = os.pipe()
    asked = ["command", sys.argv[2:], dict(os.environ), os.getcwd()]  # noqa: PTH109  as little as can be is loaded
    socket.send_fds(control, [json.dumps(asked).encode()], [tell, 0, 1, 2])
    os.close(tell)
    with os.fdopen(told, "rb") as answers:
        pid = int(answers.readline())
        signal.signal(signal.SIGTERM, lambda number, _: os.kill(pid, number))
        sys.exit(int(answers.read()) % 256)


main()
