"""How long a user waits before anything happens: --help, status, nothing to do, and the first request of a small run.

Wall seconds and processor seconds (user and system, which other work on the machine disturbs less), medians, with an
empty Python beside them. The server listens before the clock starts and notes when a request's head has come.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.measuring import keep
from tests.batch import COMMAND, Corpus, environment
from tests.servers import KEY, start_server

ROUNDS = max(7, int(os.environ.get("ROUNDS", "9")))
PATH = "/api/post/speech/asr"
BALANCE = b'{"remaining_credits": 1000000, "allocated_credits": 1000000, "billing_period": null}'


class Doorkeeper(threading.Thread):
    """Lets connections in, notes when the first POST has come, and answers nothing to it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}{PATH}"
        self.asked_at: float | None = None
        self.posted_at: float | None = None
        self.posted = threading.Event()
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            while head := connection.recv(65536):
                now = time.monotonic()
                self.asked_at = self.asked_at or now
                if head.startswith(b"POST"):
                    self.posted_at = self.posted_at or now
                    self.posted.set()
                    return
                length = b"%d" % len(BALANCE)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: " + length + b"\r\n\r\n" + BALANCE)


def finished(*command: str, env: dict[str, str]) -> tuple[float, float]:
    """Runs the command to its end; (wall seconds, processor seconds)."""
    started = time.monotonic()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} ended with {process.returncode}"
    return wall, usage.ru_utime + usage.ru_stime


def until_posted(audio: Path, out: Path) -> tuple[float, float]:
    """Seconds from the start of a run to the first thing it asks the service, and to its first recording."""
    keeper = Doorkeeper()
    env = environment(GRADIUM_API_KEY=KEY)
    command = [*COMMAND, "run", str(audio), "--out", str(out), "--set", f"service.url={keeper.url}"]
    started = time.monotonic()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert keeper.posted.wait(60), "nothing was sent"
    finally:
        process.kill()
        process.wait()
        keeper.listening.close()
    assert keeper.asked_at is not None
    assert keeper.posted_at is not None
    return keeper.asked_at - started, keeper.posted_at - started


def repeated(measure: Callable[[int], tuple[float, float]]) -> tuple[float, float]:
    """Medians over the rounds."""
    first, second = zip(*(measure(round_) for round_ in range(ROUNDS)), strict=True)
    return round(median(first), 3), round(median(second), 3)


def main() -> None:
    """Prints a line for each measurement, and keeps all of them."""
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="start-") as name, start_server() as server:
        base = Path(name)
        audio, out = Corpus(base / "audio", count=3).folder, base / "out"
        env = environment(GRADIUM_API_KEY=KEY)
        run = (*COMMAND, "run", str(audio), "--out", str(out), "--set", f"service.url={server.url}")
        finished(*run, env=env)
        for what, command in {
            "python -c pass": (sys.executable, "-c", "pass"),
            "--help": (*COMMAND, "--help"),
            "status": (*COMMAND, "status", str(out)),
            "nothing to do": run,
        }.items():
            wall, cpu = repeated(lambda _, command=command: finished(*command, env=env))  # type: ignore[misc]
            rows[what] = {"wall_s": wall, "cpu_s": cpu}
            print(f"{what:<40} {wall:>7.3f} s   {cpu:>7.3f} s of processor time", flush=True)
        asked, posted = repeated(lambda round_: until_posted(audio, base / f"out-{round_}"))
        rows["first request"] = {"balance_s": asked, "recording_s": posted}
        print(f"{'start to the balance being asked for':<40} {asked:>7.3f} s")
        print(f"{'start to the first recording':<40} {posted:>7.3f} s")
    keep("start", rows)
