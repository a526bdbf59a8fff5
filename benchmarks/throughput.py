"""Requests per second of the whole product and of what users would write instead, against the same mock and files.

Rounds go A B C A B C, so that whatever else the machine does hits all alike; ratios to the bare aiohttp loop are taken
within a round. Ours is the command with retry, checkpoint with fsync, Parquet and JSONL. A child inherits the peak
memory of its parent, so this module imports no big library, and the column means something only when it is run alone.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.peers import PEERS

COMMAND = (sys.executable, "-m", "pipeline")

ROUNDS = int(os.environ.get("ROUNDS", "5"))
IN_FLIGHT = int(os.environ.get("IN_FLIGHT", "32"))
LATENCY_S = os.environ.get("LATENCY_S", "0")
SIZES = {"64 KB": (64 << 10, 600), "960 KB": (960 << 10, 150)}
"""Body size in bytes, and how many files."""
RESULT = Path(os.environ.get("RESULT", "throughput.json"))
BASE = "aiohttp"
RATE = 24_000


def write_files(folder: Path, size_bytes: int, count: int) -> None:
    """Files of noise, each with its own: equal ones might be sent once."""
    folder.mkdir()
    for number in range(count):
        with wave.open(str(folder / f"{number:05d}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(os.urandom(size_bytes - 44))


@contextmanager
def mock() -> Iterator[str]:
    """A mock of its own for each measurement; yields its address."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.mock", LATENCY_S], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def measured(who: str, folder: Path, out: Path, count: int, size_bytes: int) -> dict[str, float]:
    """One run of one client. Raises SystemExit when not every file was answered for once."""
    with mock() as url:
        address = f"{url}/api/post/speech/asr"
        ours = who.startswith("ours")
        command = [sys.executable, "-m", "benchmarks.peers", who, address, str(folder), str(IN_FLIGHT)]
        if ours:
            command = [*COMMAND, "run", str(folder), "--out", str(out), "--progress", "off"]
            command += ["--concurrency", str(IN_FLIGHT)]
            if who == "ours, fixed":
                command += ["--set", "pool.adaptive=false"]
        env = os.environ | {"GRADIUM_API_KEY": "gd_bench", "GRADIUM_BATCH_SERVICE__URL": address}
        started = time.monotonic()
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        with urllib.request.urlopen(f"{url}/stats") as answer:  # noqa: S310
            stats = json.load(answer)
    if process.returncode or stats["requests"] != count:
        raise SystemExit(f"{who}: exit {process.returncode}, {stats['requests']} of {count}: {said[-500:].decode()}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return {
        "whole_per_s": count / seconds,
        "sending_per_s": count / (stats["last"] - stats["first"]),
        "cpu_ms": 1000 * cpu_s / count,
        "cpu_s_per_audio_hour": cpu_s / (count * size_bytes / (2 * RATE)) * 3600,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def main() -> None:
    """Prints the table, and writes every single run as JSON beside it."""
    names = ["ours", "ours, fixed", *PEERS]
    report: dict[str, object] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "in_flight": IN_FLIGHT,
        "load": os.getloadavg(),
    }
    print(f"{report['machine']}; {IN_FLIGHT} in flight, answers after {LATENCY_S} s, medians of {ROUNDS}")
    with tempfile.TemporaryDirectory(prefix="throughput-") as base:
        for label, (size_bytes, count) in SIZES.items():
            folder = Path(base) / label
            write_files(folder, size_bytes, count)
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
            for round_ in range(ROUNDS):
                for name in names:
                    out = Path(base) / f"out-{label}-{name}-{round_}"
                    runs[name].append(measured(name, folder, out, count, size_bytes))
            report[label] = runs
            print(
                f"{label:<14}{'whole/s':>9}{'sending/s':>11}{'x aiohttp':>11}"
                f"{'CPU ms':>8}{'s/audio h':>11}{'peak MB':>9}"
            )
            for name, rows in runs.items():
                middle = {key: median(row[key] for row in rows) for key in rows[0]}
                ratio = median(
                    row["sending_per_s"] / base_["sending_per_s"] for row, base_ in zip(rows, runs[BASE], strict=True)
                )
                print(
                    f"{name:<14}{middle['whole_per_s']:>9.0f}{middle['sending_per_s']:>11.0f}{ratio:>11.2f}"
                    f"{middle['cpu_ms']:>8.2f}{middle['cpu_s_per_audio_hour']:>11.2f}{middle['peak_mb']:>9.0f}",
                    flush=True,
                )
    RESULT.write_text(json.dumps(report, indent=1))
