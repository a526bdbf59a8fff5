"""Runs the real command to its end and tells how much memory it took at its peak.

The command is started by a small process: a child's peak begins with what its parent had when it was started.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.batch import COMMAND, Finished, environment
from tests.servers import RunningServer

MOST_MB = 250
"""No run takes more than that, whatever it is sent or has to write; its decoders and readers are counted too, each
by itself."""
LAUNCH = """
import json, os, signal, subprocess, sys
process = subprocess.Popen(sys.argv[3:])
signal.signal(signal.SIGALRM, lambda *_: process.kill())
signal.alarm(int(sys.argv[2]))
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1024], file)
"""


class Measured(Finished):
    """What the command left, and the most memory it took at a time."""

    def __init__(self, returncode: int, stdout: str, stderr: str, peak_mb: float) -> None:
        super().__init__(returncode, stdout, stderr)
        self.peak_mb = peak_mb


def measured(
    *args: str | Path, server: RunningServer | None = None, kept: Path, timeout_s: int = 100, **more: str
) -> Measured:
    """Runs the command; `kept` is a file that is not there yet, for what is measured."""
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH, str(kept), str(timeout_s), *COMMAND, *map(str, args)],
        env=environment(server, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    returncode, peak_mb = json.loads(kept.read_text())
    return Measured(returncode, done.stdout, done.stderr, peak_mb)
