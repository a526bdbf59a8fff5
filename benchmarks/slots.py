"""Whether slots stay busy: 256 at a time with answers after 0.2 s, and the makespan of recordings of all lengths.

The makespan is 2,000 recordings, log-normal (median 20 s, 99 % under 300 s, which one request may carry), each answered
after 0.05 of its length, in 32 slots. The ideal is what the slots would take if none ever waited.
"""

from __future__ import annotations

import math
import os
import random
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measuring import (
    BYTES_PER_S,
    IN_FLIGHT,
    ROUNDS,
    Figures,
    Load,
    keep,
    machine,
    measured,
    middle,
    ours,
    rounds,
    write_files,
)  # fmt: skip
from benchmarks.peers import peer_command
from pipeline.audio.tracks import SAMPLE_BYTES, SAMPLE_RATE
from pipeline.audio.wav import wav_header

MANY = 256
LATENCY_S = 0.2
RECORDINGS = int(os.environ.get("RECORDINGS", "2000"))
MEDIAN_S, P99_S = 20.0, 300.0
ANSWERED_AFTER = 0.05
MAKESPAN_ROUNDS = int(os.environ.get("MAKESPAN_ROUNDS", "1"))


def write_recordings(folder: Path) -> list[int]:
    """Silence behind a moment of noise, which takes no room on most disks; returns the sizes in bytes."""
    folder.mkdir()
    draw, spread = random.Random(1), math.log(P99_S / MEDIAN_S) / 2.326
    sizes = []
    for number in range(RECORDINGS):
        length_s = min(P99_S - 1, draw.lognormvariate(math.log(MEDIAN_S), spread))
        frames = int(length_s * SAMPLE_RATE)
        path = folder / f"{number:05d}.wav"
        with path.open("wb") as file:
            file.write(wav_header(frames) + os.urandom(256))
            file.truncate(44 + SAMPLE_BYTES * frames)
        sizes.append(path.stat().st_size)
    return sizes


def many_at_a_time(base: Path) -> dict[str, list[Figures]]:
    load = Load(folder=base / "many", count=30_000, size_bytes=16 << 10, in_flight=MANY, latency_s=LATENCY_S)
    write_files(load.folder, load.size_bytes, load.count)
    return rounds(
        ROUNDS,
        {
            "ours": lambda: measured(load, partial(ours, load)),
            "aiohttp": lambda: measured(load, lambda url, out: peer_command("aiohttp", load.folder, MANY, url)),
        },
    )


def makespan(base: Path) -> tuple[list[Figures], float]:
    """The runs, and the ideal in seconds."""
    folder = base / "lengths"
    sizes = write_recordings(folder)
    per_byte_s = ANSWERED_AFTER / BYTES_PER_S
    load = Load(folder=folder, count=len(sizes), size_bytes=sum(sizes) // len(sizes), per_byte_s=per_byte_s)
    found = rounds(MAKESPAN_ROUNDS, {"ours": lambda: measured(load, partial(ours, load))})
    return found["ours"], max(sum(sizes) * per_byte_s / IN_FLIGHT, max(sizes) * per_byte_s)


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory(prefix="slots-") as base:
        many = many_at_a_time(Path(base))
        possible = MANY / LATENCY_S
        for name, rows in many.items():
            rate = middle(rows)["sending_per_s"]
            print(f"{MANY} in flight, answers after {LATENCY_S} s: {name:<8} {rate:6.0f}/s, {rate / possible:.2f} of "
                  f"the {possible:.0f} that the slots allow; median of {ROUNDS}", flush=True)  # fmt: skip
        lengths, ideal_s = makespan(Path(base))
        took_s = middle(lengths)["sending_s"]
        print(f"{RECORDINGS} recordings in {IN_FLIGHT} slots: {took_s:.1f} s, {took_s / ideal_s:.3f} x the ideal of "
              f"{ideal_s:.1f} s; median of {MAKESPAN_ROUNDS}")  # fmt: skip
    keep("slots", {"many": many, "makespan": lengths, "ideal_s": ideal_s})
