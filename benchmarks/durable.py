"""What durable commits cost: the command as it is, and with every fsync left out.

python -m benchmarks.durable ARGS… is the command without them; nobody but this measurement wants that.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measuring import ROUNDS, Load, keep, machine, measured, middle, ours, ratio, rounds, write_files

SIZE_BYTES, COUNT = 64 << 10, 6_000
WITHOUT = (sys.executable, "-m", "benchmarks.durable")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="durable-") as base:
        load = Load(folder=Path(base) / "audio", count=COUNT, size_bytes=SIZE_BYTES)
        write_files(load.folder, SIZE_BYTES, COUNT)
        found = rounds(
            ROUNDS,
            {
                "durable": partial(measured, load, partial(ours, load)),
                "not durable": partial(measured, load, partial(ours, load, command=WITHOUT)),
            },
        )
    print(f"{machine()}; medians of {ROUNDS}")
    for name, rows in found.items():
        one = middle(rows)
        kept = ratio(rows, found["not durable"]), ratio(rows, found["not durable"], "whole_per_s")
        print(f"{name:<12}{one['sending_per_s']:6.0f}/s, {kept[0]:.2f} x; the whole run {kept[1]:.2f} x")
    keep("durable", found)


def without_fsync() -> None:
    """The command, with nothing brought to the disk."""
    from pipeline.checkpoint import connection as checkpoint
    from pipeline.cli import main as command

    real = checkpoint.connect

    def connect(path: Path) -> sqlite3.Connection:
        connection = real(path)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    checkpoint.connect = connect
    os.fsync = os.fdatasync = lambda descriptor: None
    command(sys.argv[1:], prog_name="gradium-batch")


if __name__ == "__main__":
    without_fsync()
