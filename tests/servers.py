"""Starts real local servers for tests, as processes of their own on a free port of this machine.

with start_server(faults='[[fault]]\\nkind = "hang"') as server:
    httpx.post(server.url, headers=server.headers, content=audio)
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit, urlunsplit

from pipeline.server.embedded import command, environment
from pipeline.server.options import ServerOptions
from tests.forked import Forked

KEY = "gd_test_key"


class RunningServer:
    """A server process that listens."""

    def __init__(
        self,
        url: str,
        key: str,
        process: Forked | subprocess.Popen[bytes],
        stdin: BinaryIO,
        stdout: BinaryIO,
        stderr: Path,
    ) -> None:
        self.url = url
        """Where audio is posted."""
        self.key = key
        self.headers = {"x-api-key": key}
        self.base = urlunsplit(urlsplit(url)._replace(path="", query=""))
        self.host = str(urlsplit(url).hostname)
        self.port = int(urlsplit(url).port or 0)
        self.pid = process.pid
        self.process = process
        self.stdin, self.stdout = stdin, stdout
        self._stderr = stderr

    def stats(self) -> dict[str, Any]:
        """Returns what GET /_stats answers."""
        asked = urllib.request.Request(f"{self.base}/_stats", headers=self.headers)  # noqa: S310  our own http URL
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
            stats: dict[str, Any] = json.load(answer)
        return stats

    def stderr(self) -> str:
        """Returns what the server has written to stderr so far."""
        return self._stderr.read_text(errors="replace")

    def kill(self) -> None:
        """Ends the server as a power cut would."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """Ends the server by SIGTERM and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise


@contextmanager
def start_server(
    *,
    recognizer: str = "fingerprint",
    faults: str | Path | None = None,
    key: str | None = KEY,
    forked: bool = True,
    **options: Any,
) -> Iterator[RunningServer]:
    """Yields a running server; it is ended with the block, and dies with this process too.

    `faults` is the text of a faults file, or the Path of one. `forked`: from a process that has loaded it.
    `options` are those of `ServerOptions`.
    Raises RuntimeError with the server's stderr when it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="gradium-server-") as folder:
        stderr = Path(folder) / "stderr"
        if isinstance(faults, str):
            text, faults = faults, Path(folder) / "faults.toml"
            faults.write_text(text, encoding="utf-8")
        texts: dict[str, Any] = {
            name: str(value) if isinstance(value, Path) else value for name, value in options.items()
        }
        settings = ServerOptions(
            recognizer=recognizer,
            faults=str(faults) if faults else None,
            until_stdin_eof=True,
            **texts,
        )
        stdin, ours = os.pipe()
        told, stdout = os.pipe()
        with stderr.open("wb") as sink, os.fdopen(ours, "wb") as until_closed, os.fdopen(told, "rb") as said:
            # stderr goes to a file: a pipe that nobody reads would stop the server when it is full
            fds = [stdin, stdout, sink.fileno()]
            process: Forked | subprocess.Popen[bytes]
            if forked:
                process = Forked("server", command(settings)[-1:], environment(key), None, fds)
            else:
                process = subprocess.Popen(
                    command(settings), env=environment(key), stdin=stdin, stdout=stdout, stderr=sink, process_group=0
                )
            os.close(stdin)
            os.close(stdout)
            try:
                line = said.readline()
                if not line:
                    process.wait(10)
                    raise RuntimeError(stderr.read_text(errors="replace") or "the server died without a word")
                server = RunningServer(json.loads(line)["url"], key or "any", process, until_closed, said, stderr)
                yield server
                server.stop()
            finally:
                process.kill()
                process.wait(10)


def wait_for_answers(server: RunningServer, count: int) -> None:
    """Until the server has answered `count` requests."""
    deadline = time.monotonic() + 30
    while server.stats()["answered"] < count:
        assert time.monotonic() < deadline, "the server was not asked"


def is_alive(pid: int) -> bool:
    """Says whether a process of this number runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not (status.exists() and "State:\tZ" in status.read_text())
