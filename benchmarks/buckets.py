"""What it costs that recordings lie in an object store: the same files from a disk and from a real S3 server.

Both servers run on this machine. Processor time is the command's alone; the command fetches without the proxy that
tests have before the store.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path

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
from tests.buckets import Bucket, s3_server

LOADS = {"64 KB": (64 << 10, 2_000, 0.1), "at once": (64 << 10, 3_000, 0.0), "10 MB": (10 << 20, 48, 0.0)}
"""Body size in bytes, how many files, and seconds that the service takes: only where it takes some are 32 really in
flight. `at once` is 64 KB and a service that takes none, so that the store and we share two processors."""

Found = dict[str, list[Figures]]


def compared(load: Load, bucket: Bucket) -> Found:
    """From the disk and from the bucket in turn."""

    def elsewhere(url: str, out: Path) -> list[str]:
        return [bucket.url() if word == str(load.folder) else word for word in ours(load, url, out)]

    return rounds(
        ROUNDS, {"disk": partial(measured, load, partial(ours, load)), "s3": partial(measured, load, elsewhere)}
    )


def show(label: str, found: Found) -> None:
    for name, rows in found.items():
        one, times = middle(rows), ratio(rows, found["disk"], "cpu_ms")
        print(
            f"{label:<8}{name:<6}{one['whole_per_s']:>9.0f}{one['cpu_ms']:>9.2f}{times:>9.2f}{one['peak_mb']:>9.0f}",
            flush=True,
        )


def main() -> None:
    """Prints the table, and keeps every single run."""
    print(f"{machine()}; medians of {ROUNDS}, {IN_FLIGHT} in flight")
    print(f"{'':<14}{'whole/s':>9}{'CPU ms':>9}{'x disk':>9}{'peak MB':>9}")
    sizes: dict[str, Found] = {}
    with tempfile.TemporaryDirectory(prefix="buckets-") as name, s3_server() as s3:
        os.environ.update(s3.environment(direct=True))
        for label, (size_bytes, count, latency_s) in LOADS.items():
            load = Load(folder=Path(name) / label, count=count, size_bytes=size_bytes, latency_s=latency_s)
            write_files(load.folder, size_bytes, count)
            bucket = s3.bucket()
            for path in sorted(load.folder.iterdir()):
                bucket.put(path.name, path.read_bytes())
            sizes[label] = compared(load, bucket)
            show(label, sizes[label])
    keep("buckets", {"sizes": sizes})


if __name__ == "__main__":
    main()
