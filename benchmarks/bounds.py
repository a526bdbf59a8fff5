"""Peak memory where much is written: 5,000 rows with 100 KB of metadata each, and one recording under 300,000 ids.

What is large in other ways (answers, refusals, files that decode to much) is in tests/acceptance/test_memory.py.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.measuring import keep, machine
from tests.batch import Corpus
from tests.measured import MOST_MB, Measured, measured
from tests.servers import start_server

FAT_ROWS, FAT_BYTES = 5_000, 100_000
SAME_ROWS = 300_000
HOUR = 3_600


def main() -> None:
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bounds-") as base, start_server(latency_s=3.0) as server:
        folder = Path(base)

        def run(name: str, *args: str | Path) -> None:
            result: Measured = measured(
                *args, "--progress", "off", kept=folder / f"{name}.json", server=server, timeout_s=HOUR
            )
            found[name] = result.peak_mb
            print(f"{name:<20} exit {result.exit}, peak {result.peak_mb:.0f} MB: {result.last_line}")

        recording = Corpus(folder / "audio", count=1, seconds=1.0).add(0)
        same = folder / "same.csv"
        same.write_text("id,audio\n" + "".join(f"r{n:06d},{recording}\n" for n in range(SAME_ROWS)))
        run("300,000 ids", "run", same, "--out", folder / "same")
        for note in ("first", "changed"):
            fat = folder / "fat.jsonl"
            with fat.open("w") as file:
                for n in range(FAT_ROWS):
                    row = {"id": f"r{n}", "audio": f"{folder}/none/{n}.wav", "note": f"{note}{n}" + "x" * FAT_BYTES}
                    file.write(json.dumps(row) + "\n")
            run(f"metadata, {note}", "run", fat, "--out", folder / "fat")
    print(machine())
    keep("bounds", found)
    if max(found.values()) >= MOST_MB:
        raise SystemExit(f"more than {MOST_MB} MB")
