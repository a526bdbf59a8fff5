"""Requests per second of the whole product and of what users would write instead, against the same mock and files.

Ours is the command with retry, checkpoint with fsync, Parquet and JSONL; rates count from the first request to the last
answer, so that no peer gains by its shorter start. Clients that are slow by themselves post a part of the files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.measuring import (
    IN_FLIGHT,
    ROUNDS,
    Figures,
    Load,
    keep,
    machine,
    measured,
    middle,
    ours,
    ratio,
    rounds,
    write_files,
)
from benchmarks.peers import PEERS, peer_command

SIZES = {"64 KB": (64 << 10, 6_000), "960 KB": (960 << 10, 800), "10 MB": (10 << 20, 128)}
"""Body size in bytes, and how many files."""
SLOW = {"quickstart", "threads", "httpx", "xargs curl"}
PART = 5
BASE = "aiohttp"
CLIPS = (1_440_044, 2_000)
"""WAVs of 30 s, for the processor time of an hour of audio."""
AT_A_TIME = (1, 4, 16, 64, 128, 256)

Found = dict[str, list[Figures]]


def compared(folder: Path, size_bytes: int, count: int, peers: Sequence[str], in_flight: int = IN_FLIGHT) -> Found:
    """Ours and the peers in turn, on the files of a folder or, for those that are slow, on a part of them."""
    load = Load(folder=folder, count=count, size_bytes=size_bytes, in_flight=in_flight)
    part = folder.with_name(f"part of {folder.name}")
    if not part.exists():
        part.mkdir()
        for path in sorted(folder.iterdir())[: count // PART]:
            (part / path.name).hardlink_to(path)
    less = msgspec.structs.replace(load, folder=part, count=count // PART)
    runs = {"ours": partial(measured, load, partial(ours, load))}
    for name in peers:
        share = less if name in SLOW else load
        command = partial(peer_command, name, share.folder, in_flight)
        runs[name] = partial(measured, share, lambda url, out, command=command: command(url))
    return rounds(ROUNDS, runs)


def show(label: str, found: Found) -> None:
    print(
        f"{label:<14}{'whole/s':>9}{'sending/s':>11}{'x aiohttp':>11}{'CPU ms':>8}{'x aiohttp':>11}"
        f"{'s/audio h':>11}{'peak MB':>9}"
    )
    for name, rows in found.items():
        one = middle(rows)
        print(
            f"{name:<14}{one['whole_per_s']:>9.0f}{one['sending_per_s']:>11.0f}{ratio(rows, found[BASE]):>11.2f}"
            f"{one['cpu_ms']:>8.2f}{ratio(rows, found[BASE], 'cpu_ms'):>11.2f}{one['cpu_s_per_audio_hour']:>11.2f}"
            f"{one['peak_mb']:>9.0f}",
            flush=True,
        )


def main() -> None:
    """Prints the tables, and keeps every single run."""
    print(f"{machine()}; medians of {ROUNDS}")
    sizes: dict[str, Found] = {}
    at_a_time: dict[int, Found] = {}
    with tempfile.TemporaryDirectory(prefix="throughput-") as name:
        base = Path(name)
        for label, (size_bytes, count) in SIZES.items():
            write_files(base / label, size_bytes, count)
            sizes[label] = compared(base / label, size_bytes, count, PEERS)
            show(label, sizes[label])
        label = "30 s"
        write_files(base / label, *CLIPS)
        sizes[label] = compared(base / label, *CLIPS, [BASE])
        show(label, sizes[label])
        for in_flight in AT_A_TIME:
            at_a_time[in_flight] = found = compared(base / "64 KB", *SIZES["64 KB"], [BASE], in_flight)
            show(f"{in_flight} in flight", found)
    keep("throughput", {"sizes": sizes, "at_a_time": at_a_time})
