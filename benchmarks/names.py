"""Nights on which every known row has another id: numbered rows reversed, shuffled, rotated, and as they were; of
recordings of their own, and of spans of a few recordings.

Prints for each night its requests, which must be none, its seconds, and its seconds for 1,000 rows: the same at each
size where the cost is linear.

    SIZES=10000,100000 SPANS=1000,4000 python -m benchmarks names
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
SPANS = tuple(int(size) for size in os.environ.get("SPANS", "1000,4000").split(","))
SECONDS = 0.1
ROWS_PER_RECORDING = 1000


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
    of: str
    order: str
    requests: int
    seconds: float
    s_per_1000_rows: float
    wrong: int
    """Rows with another transcript than their recording's."""


class Corpus:
    """Rows and what the first night made of them."""

    def __init__(self, base: Path, rows: list[str], header: str) -> None:
        """`rows` are what stands behind the ids."""
        self.manifest, self.out = base / "m.csv", base / "out"
        self.rows = rows
        self._header = header

    def night(self, server: RunningServer) -> float:
        """Seconds of a run over the rows in their order of now."""
        lines = (f"{n},{row}\n" for n, row in enumerate(self.rows))
        self.manifest.write_text(f"id,{self._header}\n{''.join(lines)}")
        started = time.monotonic()
        command = [*COMMAND, "run", str(self.manifest), "--out", str(self.out), "--progress", "off"]
        subprocess.run(command, env=environment(server), check=True, stderr=subprocess.DEVNULL)
        return time.monotonic() - started

    def texts(self) -> dict[str, str]:
        """What the output says of each row, whatever its id."""
        return {self.rows[int(row["id"])]: row["text"] for row in jsonl_of(self.out)}


def recordings(base: Path, count: int) -> Corpus:
    names = [f"audio/{n:06d}.wav" for n in range(count)]
    for n, name in enumerate(names):
        write_wav(base / name, seed=n, seconds=SECONDS)
    return Corpus(base, names, "audio")


def spans(base: Path, count: int) -> Corpus:
    rows = []
    for first in range(0, count, ROWS_PER_RECORDING):
        name = f"audio/{first:06d}.wav"
        write_wav(base / name, seed=first, seconds=ROWS_PER_RECORDING * SECONDS)
        rows += [f"{name},{n * SECONDS:.1f},{SECONDS}" for n in range(min(ROWS_PER_RECORDING, count - first))]
    return Corpus(base, rows, "audio,offset_s,duration_s")


def nights(corpus: Corpus, of: str, server: RunningServer) -> list[Night]:
    found: list[Night] = []
    size = len(corpus.rows)
    print(f"{size:,} {of}: first night {corpus.night(server):.1f} s", flush=True)
    texts = corpus.texts()
    for order, arrange in ORDERS.items():
        corpus.rows = arrange(corpus.rows)
        before = server.stats()["requests"]
        seconds = corpus.night(server)
        now = corpus.texts()
        row = Night(
            rows=size,
            of=of,
            order=order,
            requests=server.stats()["requests"] - before,
            seconds=round(seconds, 2),
            s_per_1000_rows=round(seconds / size * 1000, 3),
            wrong=sum(now.get(name) != text for name, text in texts.items()),
        )
        print("  ".join(f"{name}={value}" for name, value in msgspec.to_builtins(row).items()), flush=True)
        found.append(row)
    return found


def main() -> None:
    """All sizes; exits with 1 where anything was sent or is wrong."""
    found = []
    for made, sizes in ((recordings, SIZES), (spans, SPANS)):
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder, start_server(recognizer="fingerprint") as server:
                found += nights(made(Path(folder), size), made.__name__, server)
    keep("names", [msgspec.to_builtins(row) for row in found])
    if any(row.requests or row.wrong for row in found):
        raise SystemExit(1)
