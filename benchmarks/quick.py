"""Whether sending got worse, in less than a minute: ratios within one run beside those in `baseline.json`.

Ratios, because machines differ and other work on one slows all alike; what a bare aiohttp loop does is the measure.
`python -m benchmarks.quick --save` makes what is measured now the baseline. Exits with 1 where something got worse by
more than the tolerance.
"""

from __future__ import annotations

import json
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measuring import Figures, Load, keep, machine, measured, middle, ours, ratio, rounds, write_files
from benchmarks.peers import peer_command

ROUNDS = 3
BASELINE = Path(__file__).with_name("baseline.json")
SIZES = {"64 KB": (64 << 10, 2_000), "960 KB": (960 << 10, 250)}
TOLERANCE = 0.25
"""What two measurements of the same code differ by on a machine that does other things as well."""


def measure() -> dict[str, float]:
    """Each figure by its name; for all of them, more is better."""
    found: dict[str, float] = {}
    runs: dict[str, dict[str, list[Figures]]] = {}
    with tempfile.TemporaryDirectory(prefix="quick-") as base:
        for label, (size_bytes, count) in SIZES.items():
            load = Load(folder=Path(base) / label, count=count, size_bytes=size_bytes)
            write_files(load.folder, size_bytes, count)
            loop = partial(peer_command, "aiohttp", load.folder, load.in_flight)
            runs[label] = of = rounds(
                ROUNDS,
                {
                    "ours": partial(measured, load, partial(ours, load)),
                    "aiohttp": partial(measured, load, lambda url, out, loop=loop: loop(url)),
                },
            )
            found[f"{label}: whole process, x aiohttp"] = ratio(of["ours"], of["aiohttp"], "whole_per_s")
            found[f"{label}: sending alone, x aiohttp"] = ratio(of["ours"], of["aiohttp"])
            found[f"{label}: requests per CPU second, x aiohttp"] = 1 / ratio(of["ours"], of["aiohttp"], "cpu_ms")
            found[f"{label}: memory, 100 MB / peak"] = 100 / middle(of["ours"])["peak_mb"]
    keep("quick", runs)
    return found


def main() -> None:
    print(f"{machine()}; medians of {ROUNDS}")
    now = measure()
    if "--save" in sys.argv:
        BASELINE.write_text(json.dumps({"machine": machine(), "figures": now}, indent=1) + "\n")
    before = json.loads(BASELINE.read_text())["figures"]
    worse = []
    print(f"{'':<46}{'baseline':>9}{'now':>7}")
    for name, figure in now.items():
        is_worse = figure < before[name] * (1 - TOLERANCE)
        worse += [name] * is_worse
        print(f"{name:<46}{before[name]:>9.2f}{figure:>7.2f}{'  worse' if is_worse else ''}")
    if worse:
        raise SystemExit(f"got worse by more than {TOLERANCE:.0%}: {'; '.join(worse)}")
    print(f"nothing got worse by more than {TOLERANCE:.0%} (more is better)")


if __name__ == "__main__":
    main()
