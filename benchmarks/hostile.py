"""Runs against a service that answers at random, within a grammar of everything that can be sent.

EXCHANGES=50000 SEED=1 python -m benchmarks hostile
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from itertools import count
from pathlib import Path

from tests.hostile.night import nights

EXCHANGES = int(os.environ.get("EXCHANGES", "50000"))
SEED = int(os.environ.get("SEED", "1"))
BATCH = 32
"""Runs between two lines."""


def main() -> None:
    """Exits with 1 where a promise was broken."""
    begun, exchanges, runs, broken, exits = time.monotonic(), 0, 0, 0, Counter[int]()
    with tempfile.TemporaryDirectory() as folder:
        for first in count(SEED * 1_000_000, BATCH):
            for night in nights(Path(folder), range(first, first + BATCH)):
                runs, exchanges, broken = runs + 1, exchanges + night.exchanges, broken + bool(night.problems)
                exits[night.exit] += 1
                for problem in night.problems:
                    print(f"BROKEN, run {night.seed}: {problem}", flush=True)
            print(f"  {exchanges:,} exchanges, {runs} runs after {time.monotonic() - begun:.0f} s", flush=True)
            if exchanges >= EXCHANGES:
                break
    told = ", ".join(f"exit {status}: {times}" for status, times in sorted(exits.items()))
    print(f"{exchanges:,} exchanges in {runs} runs, seed {SEED}: {broken} broken ({told})")
    if broken:
        raise SystemExit(1)
