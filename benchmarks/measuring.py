"""What the measurements of sending share: files, a mock of its own for each run, one run of one client, the report.

A child inherits the peak memory of its parent, so this imports no big library.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import msgspec

from pipeline.audio.tracks import SAMPLE_BYTES, SAMPLE_RATE

COMMAND = (sys.executable, "-m", "pipeline")
ROUNDS = int(os.environ.get("ROUNDS", "5"))
IN_FLIGHT = 32
BYTES_PER_S = SAMPLE_BYTES * SAMPLE_RATE
CORES = sorted(os.sched_getaffinity(0))
"""Those that this process may use."""
RESULTS = Path("runs/bench")

Figures = dict[str, float]


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent: `count` files of a folder, so many at a time, to a mock that answers after a while."""

    folder: Path
    count: int
    size_bytes: int
    """Of one file, or the mean."""
    in_flight: int = IN_FLIGHT
    latency_s: float = 0.0
    per_byte_s: float = 0.0
    one_core: bool = False
    """The client has one core, and the mock the others."""


def write_files(folder: Path, size_bytes: int, count: int) -> None:
    """Files of noise, each with its own: equal ones would be sent once."""
    folder.mkdir()
    for number in range(count):
        with wave.open(str(folder / f"{number:05d}.wav"), "wb") as file:
            file.setparams((1, SAMPLE_BYTES, SAMPLE_RATE, 0, "NONE", ""))
            file.writeframes(os.urandom(size_bytes - 44))


@contextmanager
def mock(load: Load) -> Iterator[str]:
    """A mock of its own for each measurement; yields its address."""
    command = [sys.executable, "-m", "benchmarks.mock", str(load.latency_s), str(load.per_byte_s)]
    cores = CORES[1:] if load.one_core else CORES
    pin = partial(os.sched_setaffinity, 0, cores or CORES)
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=pin) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def ours(load: Load, url: str, out: Path, *settings: str, command: Sequence[str] = COMMAND) -> list[str]:
    """The whole product as a command."""
    words = [*command, "run", str(load.folder), "--out", str(out), "--progress", "off"]
    words += ["--concurrency", str(load.in_flight)]
    for setting in (f"service.url={url}", *settings):
        words += ["--set", setting]
    return words


def measured(load: Load, command_for: Callable[[str, Path], list[str]]) -> Figures:
    """One run of one client, whose command is made from the endpoint's address and a folder that is not there yet.

    Raises SystemExit when not every file was answered for once.
    """
    with tempfile.TemporaryDirectory(prefix="measured-") as base, mock(load) as server:
        command = command_for(f"{server}/api/post/speech/asr", Path(base) / "out")
        cores = CORES[:1] if load.one_core else CORES
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            env=os.environ | {"GRADIUM_API_KEY": "gd_bench"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=partial(os.sched_setaffinity, 0, cores),
        )
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        with urllib.request.urlopen(f"{server}/stats") as answer:  # noqa: S310
            stats = json.load(answer)
    if process.returncode or stats["requests"] != load.count:
        told = f"exit {process.returncode}, {stats['requests']} of {load.count}: {said[-500:].decode()}"
        raise SystemExit(f"{' '.join(command[:8])}: {told}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return {
        "whole_per_s": load.count / seconds,
        "sending_s": stats["last"] - stats["first"],
        "sending_per_s": load.count / (stats["last"] - stats["first"]),
        "cpu_ms": 1000 * cpu_s / load.count,
        "cpu_s_per_audio_hour": cpu_s / (load.count * load.size_bytes / BYTES_PER_S) * 3600,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def rounds(count: int, runs: dict[str, Callable[[], Figures]]) -> dict[str, list[Figures]]:
    """A B C A B C …, so that whatever else the machine does hits all alike."""
    found: dict[str, list[Figures]] = {name: [] for name in runs}
    for _ in range(count):
        for name, run in runs.items():
            found[name].append(run())
    return found


def middle(rows: Sequence[Figures]) -> Figures:
    return {key: median(row[key] for row in rows) for key in rows[0]}


def ratio(rows: Sequence[Figures], to: Sequence[Figures], key: str = "sending_per_s") -> float:
    """The median of the ratios within the rounds."""
    return median(row[key] / base[key] for row, base in zip(rows, to, strict=True))


def machine() -> str:
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {len(CORES)} cores, Python {platform.python_version()}"


def keep(name: str, figures: object) -> None:
    """Writes every single run as JSON beside the table."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "load": os.getloadavg(), "figures": figures}
    (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
