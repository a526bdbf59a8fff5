"""Requests per second of the whole product and of what users would write instead, against the same mock and files.

Ours is the command with retry, checkpoint with fsync, Parquet and JSONL; rates count from the first request to the last
answer, so that no peer gains by its shorter start. Clients that are slow by themselves post a part of the files.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.measuring import ROUNDS, Load, keep, machine, measured, middle, ours, ratio, rounds, write_files
from benchmarks.peers import PEERS, peer_command

SIZES = {"64 KB": (64 << 10, 6_000), "960 KB": (960 << 10, 800), "10 MB": (10 << 20, 64)}
"""Body size in bytes, and how many files."""
SLOW = {"quickstart", "threads", "httpx", "xargs curl"}
PART = 5
BASE = "aiohttp"


def main() -> None:
    """Prints the table, and keeps every single run."""
    print(f"{machine()}; medians of {ROUNDS}")
    report = {}
    with tempfile.TemporaryDirectory(prefix="throughput-") as base:
        for label, (size_bytes, count) in SIZES.items():
            some, many = Path(base) / f"part {label}", Path(base) / label
            write_files(many, size_bytes, count)
            some.mkdir()
            for path in sorted(many.iterdir())[: count // PART]:
                (some / path.name).hardlink_to(path)
            load = Load(folder=many, count=count, size_bytes=size_bytes)
            less = msgspec.structs.replace(load, folder=some, count=count // PART)
            runs = {"ours": partial(measured, load, lambda url, out, load=load: ours(load, url, out))}
            for name in PEERS:
                share = less if name in SLOW else load
                command = partial(peer_command, name, share.folder, share.in_flight)
                runs[name] = partial(measured, share, lambda url, out, command=command: command(url))
            report[label] = found = rounds(ROUNDS, runs)
            print(
                f"{label:<14}{'whole/s':>9}{'sending/s':>11}{'x aiohttp':>11}"
                f"{'CPU ms':>8}{'s/audio h':>11}{'peak MB':>9}"
            )
            for name, rows in found.items():
                one = middle(rows)
                print(
                    f"{name:<14}{one['whole_per_s']:>9.0f}{one['sending_per_s']:>11.0f}"
                    f"{ratio(rows, found[BASE]):>11.2f}{one['cpu_ms']:>8.2f}"
                    f"{one['cpu_s_per_audio_hour']:>11.2f}{one['peak_mb']:>9.0f}",
                    flush=True,
                )
    keep("throughput", report)
