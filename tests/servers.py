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
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pipeline.server.embedded import command, environment
from pipeline.server.options import ServerOptions

KEY = "gd_test_key"


class RunningServer:
    """A server process that listens."""

    def __init__(self, url: str, key: str, process: subprocess.Popen[bytes], stderr: Path) -> None:
        self.url = url
        """Where audio is posted."""
        self.key = key
        self.headers = {"x-api-key": key}
        self.base = urlunsplit(urlsplit(url)._replace(path="", query=""))
        self.host = str(urlsplit(url).hostname)
        self.port = int(urlsplit(url).port or 0)
        self.pid = process.pid
        self.process = process
        self._stderr = stderr

    def stats(self) -> dict[str, Any]:
        """Returns what GET /_stats answers."""
        with urllib.request.urlopen(f"{self.base}/_stats", timeout=10) as answer:  # noqa: S310  our own http URL
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
    **options: Any,
) -> Iterator[RunningServer]:
    """Yields a running server; it is ended with the block, and dies with this process too.

    `faults` is the text of a faults file, or the Path of one. `options` are those of `ServerOptions`.
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
        with stderr.open("wb") as sink:
            # stderr goes to a file: a pipe that nobody reads would stop the server when it is full
            process = subprocess.Popen(
                command(settings),
                # importing aiohttp reads all certificates of this machine: a quarter of the start, for nothing here
                env=environment(key) | {"SSL_CERT_FILE": os.devnull},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                process_group=0,
            )
        with process:
            try:
                line = process.stdout.readline() if process.stdout else b""
                if not line:
                    process.wait(10)
                    raise RuntimeError(stderr.read_text(errors="replace") or "the server died without a word")
                server = RunningServer(json.loads(line)["url"], key or "any", process, stderr)
                yield server
                server.stop()
            finally:
                if process.poll() is None:
                    process.kill()


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
