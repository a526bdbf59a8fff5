"""Peak memory with large bodies: 10 MB each, 32 at a time, every answer half a second late so that all are in flight.

The sender must not hold bodies; its memory is what a run holds anyway, which is measured with small ones beside it.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measuring import ROUNDS, Load, keep, machine, measured, middle, ours, rounds, write_files

SIZES = {"64 KB": 64 << 10, "10 MB": 10 << 20}
COUNT = 96
LATENCY_S = 0.5


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="memory-") as base:
        runs = {}
        for label, size_bytes in SIZES.items():
            load = Load(folder=Path(base) / label, count=COUNT, size_bytes=size_bytes, latency_s=LATENCY_S)
            write_files(load.folder, size_bytes, COUNT)
            runs[label] = partial(measured, load, partial(ours, load))
        found = rounds(ROUNDS, runs)
    print(f"{machine()}; medians of {ROUNDS}")
    for label, rows in found.items():
        print(f"{label:<8} bodies, 32 in flight: peak {middle(rows)['peak_mb']:.0f} MB")
    keep("memory", found)
