"""Requests per second of the whole product and of what users would write instead, against the same mock and files.

Ours is the command with retry, checkpoint with fsync, Parquet and JSONL. Each is shown twice: the whole process, from
its start to its exit, and from the first request to the last answer; on all cores, and with one for the client.
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
ON_ONE_CORE = ("64 KB", "960 KB")
BASE = "aiohttp"
CLIPS = (1_440_044, 2_000)
"""WAVs of 30 s, for the processor time of an hour of audio."""
AT_A_TIME = (1, 4, 16, 64, 128, 256)

Found = dict[str, list[Figures]]


def compared(load: Load, peers: Sequence[str] = (BASE,)) -> Found:
    """Ours and the peers in turn."""
    runs = {"ours": partial(measured, load, partial(ours, load))}
    for name in peers:
        command = partial(peer_command, name, load.folder, load.in_flight)
        runs[name] = partial(measured, load, lambda url, out, command=command: command(url))
    return rounds(ROUNDS, runs)


def show(label: str, found: Found) -> None:
    columns = ("whole/s", "x aiohttp", "sending/s", "x aiohttp", "CPU ms", "x aiohttp", "s/audio h", "peak MB")
    print(f"{label:<16}" + "".join(f"{column:>11}" for column in columns))
    for name, rows in found.items():
        one = middle(rows)
        figures = "".join(
            f"{one[key]:>11.{digits}f}{ratio(rows, found[BASE], key):>11.2f}"
            for key, digits in (("whole_per_s", 0), ("sending_per_s", 0), ("cpu_ms", 2))
        )
        print(f"{name:<16}{figures}{one['cpu_s_per_audio_hour']:>11.2f}{one['peak_mb']:>11.0f}", flush=True)


def main() -> None:
    """Prints the tables, and keeps every single run."""
    print(f"{machine()}; medians of {ROUNDS}, {IN_FLIGHT} in flight")
    sizes: dict[str, Found] = {}
    one_core: dict[str, Found] = {}
    at_a_time: dict[int, Found] = {}
    with tempfile.TemporaryDirectory(prefix="throughput-") as name:
        base = Path(name)
        for label, (size_bytes, count) in SIZES.items():
            load = Load(folder=base / label, count=count, size_bytes=size_bytes)
            write_files(load.folder, size_bytes, count)
            sizes[label] = compared(load, PEERS)
            show(label, sizes[label])
            if label in ON_ONE_CORE:
                one_core[label] = compared(msgspec.structs.replace(load, one_core=True))
                show(f"{label}, 1 core", one_core[label])
        size_bytes, count = CLIPS
        load = Load(folder=base / "30 s", count=count, size_bytes=size_bytes)
        write_files(load.folder, size_bytes, count)
        sizes["30 s"] = compared(load)
        show("30 s", sizes["30 s"])
        size_bytes, count = SIZES["64 KB"]
        for in_flight in AT_A_TIME:
            load = Load(folder=base / "64 KB", count=count, size_bytes=size_bytes, in_flight=in_flight)
            at_a_time[in_flight] = compared(load)
            show(f"{in_flight} in flight", at_a_time[in_flight])
    keep("throughput", {"sizes": sizes, "one_core": one_core, "at_a_time": at_a_time})
