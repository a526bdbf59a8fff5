"""The command as tests/batch.py runs it, hundreds of times: forked from a process that has loaded it.

with forked() as batch:
    result = batch("status", out, server=server)
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.batch import Finished, environment
from tests.servers import RunningServer

MOST_S = 100
"""A command that has not ended by then is killed."""
Batch = Callable[..., Finished]


@contextmanager
def forked() -> Iterator[Batch]:
    """Yields what is called like `tests.batch.batch`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-m", "tests.forked", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        asked, told = process.stdin, process.stdout
        assert asked is not None
        assert told is not None

        def batch(*args: str | Path, server: RunningServer | None = None, **more: str) -> Finished:
            print(json.dumps([[*map(str, args)], environment(server, **more)]), file=asked, flush=True)
            returncode = int(told.readline())
            stdout, stderr = (Path(folder, name).read_text("utf-8") for name in ("stdout", "stderr"))
            return Finished(returncode, stdout, stderr)

        yield batch
        asked.close()


def run_each(folder: Path) -> None:
    """Runs what is asked for on stdin, each time in a process of its own."""
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    import pipeline.engines.local
    import pipeline.run.check
    import pipeline.run.rebuild
    import pipeline.run.status  # noqa: F401
    from pipeline.cli import main

    for line in sys.stdin:
        args, env = json.loads(line)
        if not (child := os.fork()):
            os.environ.clear()
            os.environ.update(env)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            signal.alarm(MOST_S)
            for number, name in enumerate(("stdout", "stderr"), 1):
                os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            main(args, prog_name="gradium-batch")
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    run_each(Path(sys.argv[1]))
