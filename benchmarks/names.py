"""Nights on which every known recording has another id: numbered rows reversed, shuffled, rotated, and as they were.

Prints for each night its requests, which must be none, its seconds, and its seconds for 1,000 rows: the same at each
size where the cost is linear.

    SIZES=10000,100000 python -m benchmarks names
"""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.measuring import keep
from tests.batch import COMMAND, environment, jsonl_of, write_wav
from tests.servers import RunningServer, start_server

SIZES = tuple(int(size) for size in os.environ.get("SIZES", "10000,100000").split(","))
SECONDS = 0.1


def shuffled(names: list[str]) -> list[str]:
    return random.Random(12).sample(names, len(names))


ORDERS: dict[str, Callable[[list[str]], list[str]]] = {
    "reversed": lambda names: names[::-1],
    "shuffled": shuffled,
    "rotated": lambda names: names[len(names) // 3 :] + names[: len(names) // 3],
    "as they were": lambda names: names,
}


class Night(msgspec.Struct, frozen=True, kw_only=True):
    rows: int
    order: str
    requests: int
    seconds: float
    s_per_1000_rows: float
    wrong: int
    """Rows with another transcript than their recording's."""


def night(manifest: Path, names: list[str], out: Path, server: RunningServer) -> float:
    """Seconds of a run over the recordings in this order."""
    manifest.write_text("id,audio\n" + "".join(f"{n},audio/{name}\n" for n, name in enumerate(names)))
    started = time.monotonic()
    command = [*COMMAND, "run", str(manifest), "--out", str(out), "--progress", "off"]
    subprocess.run(command, env=environment(server), check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def nights(base: Path, size: int, server: RunningServer) -> list[Night]:
    texts = {f"{n:06d}.wav": write_wav(base / "audio" / f"{n:06d}.wav", seed=n, seconds=SECONDS) for n in range(size)}
    names, out, found = [*texts], base / "out", []
    print(f"{size:,} rows: first night {night(base / 'm.csv', names, out, server):.1f} s", flush=True)
    for order, arrange in ORDERS.items():
        names = arrange(names)
        before = server.stats()["requests"]
        seconds = night(base / "m.csv", names, out, server)
        row = Night(
            rows=size,
            order=order,
            requests=server.stats()["requests"] - before,
            seconds=round(seconds, 2),
            s_per_1000_rows=round(seconds / size * 1000, 3),
            wrong=sum(row["text"] != texts[names[int(row["id"])]] for row in jsonl_of(out)),
        )
        print("  ".join(f"{name}={value}" for name, value in msgspec.to_builtins(row).items()), flush=True)
        found.append(row)
    return found


def main() -> None:
    """All sizes; exits with 1 where anything was sent or is wrong."""
    found = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder, start_server(recognizer="fingerprint") as server:
            found += nights(Path(folder), size, server)
    keep("names", [msgspec.to_builtins(row) for row in found])
    if any(row.requests or row.wrong for row in found):
        raise SystemExit(1)
