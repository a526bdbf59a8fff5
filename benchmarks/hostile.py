"""Runs against a service that answers at random, within a grammar of everything that can be sent.

EXCHANGES=50000 SEED=1 python -m benchmarks hostile
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from tests.forked import Batch, forked
from tests.hostile.night import Night, make_corpus, night

EXCHANGES = int(os.environ.get("EXCHANGES", "50000"))
SEED = int(os.environ.get("SEED", "1"))
AT_ONCE = 4
"""A run mostly waits."""


def main() -> None:
    """Exits with 1 where a promise was broken."""
    begun, count, runs, broken, exits = time.monotonic(), 0, 0, 0, Counter[int]()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as threads, ExitStack() as stack:
        corpus = make_corpus(Path(folder))
        batches = SimpleQueue[tuple[Batch, Path]]()
        for number in range(AT_ONCE):
            batches.put((stack.enter_context(forked()), Path(folder) / f"out-{number}"))

        def one(seed: int) -> Night:
            batch, out = batches.get()
            try:
                return night(batch, corpus, out, seed)
            finally:
                batches.put((batch, out))

        while count < EXCHANGES:
            seeds = range(SEED * 1_000_000 + runs, SEED * 1_000_000 + runs + 8 * AT_ONCE)
            for done in threads.map(one, seeds):
                runs, count, broken = runs + 1, count + done.exchanges, broken + bool(done.problems)
                exits[done.exit] += 1
                for problem in done.problems:
                    print(f"BROKEN, run {done.seed}: {problem}", flush=True)
            print(f"  {count:,} exchanges, {runs} runs after {time.monotonic() - begun:.0f} s", flush=True)
    told = ", ".join(f"exit {status}: {times}" for status, times in sorted(exits.items()))
    print(f"{count:,} exchanges in {runs} runs, seed {SEED}: {broken} broken ({told})")
    if broken:
        raise SystemExit(1)
