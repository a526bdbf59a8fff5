"""What was aimed at beside what was measured: one table from the figures that the other measurements kept.

Measures nothing; where a measurement was not run yet, its lines say so. Writes runs/bench/aims.json beside.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.measuring import IN_FLIGHT, RESULTS, keep, machine, middle, ratio
from benchmarks.mixed import of_slower
from benchmarks.slots import LATENCY_S, MANY

Kept = Any
"""The figures of one measurement, as it kept them."""


class Aim(msgspec.Struct, frozen=True):
    what: str
    source: str
    """The measurement."""
    figure: Callable[[Kept], float]
    least: float | None = None
    most: float | None = None

    @property
    def bound(self) -> str:
        return f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"

    def met(self, figure: float) -> bool:
        return figure >= self.least if self.least is not None else figure <= (self.most or 0)


def _times(size: str, peer: str, key: str = "sending_per_s") -> Callable[[Kept], float]:
    return lambda kept: ratio(kept["sizes"][size]["ours"], kept["sizes"][size][peer], key)


def _row(what: str, key: str) -> Callable[[Kept], float]:
    return lambda kept: float(next(row[key] for row in kept if row["what"] == what))


def _more(kept: Kept, key: str) -> float:
    """How much more the first plan of the many rows takes than that of the few."""
    many, few = (_row(f"{rows} rows: first plan, one sent", key)(kept) for rows in ("1,000,000", "1,000"))
    return many - few


def _later(kept: Kept) -> float:
    return _more(kept, "first_request_s") / _row("1,000,000 rows: reading the manifest alone", "seconds")(kept)


AIMS = (
    Aim("64 KB: requests/s, x bare aiohttp", "throughput", _times("64 KB", "aiohttp"), least=0.6),
    Aim("64 KB: requests/s, x quickstart", "throughput", _times("64 KB", "quickstart"), least=4),
    Aim("64 KB: requests/s, x httpx", "throughput", _times("64 KB", "httpx"), least=8),
    Aim("960 KB: requests/s, x bare aiohttp", "throughput", _times("960 KB", "aiohttp"), least=0.85),
    Aim("30 s WAVs: processor time, x bare aiohttp", "throughput", _times("30 s", "aiohttp", "cpu_ms"), most=1.5),
    Aim(
        f"{MANY} in flight, of what slots allow",
        "slots",
        lambda kept: middle(kept["many"]["ours"])["sending_per_s"] / (MANY / LATENCY_S),
        least=0.9,
    ),
    Aim(
        f"all lengths in {IN_FLIGHT} slots: makespan, x the ideal",
        "slots",
        lambda kept: middle(kept["makespan"])["sending_s"] / kept["ideal_s"],
        most=1.02,
    ),
    Aim("10 MB bodies: peak MB", "memory", lambda kept: middle(kept["10 MB"])["peak_mb"], most=150),
    Aim("1,000,000 rows: MB more than with 1,000", "million", lambda kept: _more(kept, "peak_mb"), most=60),
    Aim("1,000,000 rows: first plan, s", "million", _row("1,000,000 rows: first plan, one sent", "seconds"), most=30),
    Aim(
        "1,000,000 rows: nothing to do, s", "million", _row("1,000,000 rows: a run with nothing to do", "seconds"),
        most=10,
    ),
    Aim("1,000,000 rows: status, s", "million", _row("1,000,000 rows: status", "seconds"), most=0.5),
    Aim("1,000,000 rows: first request later, x reading", "million", _later, most=1),
    Aim("--help, s", "start", lambda kept: float(kept["--help"]["wall_s"]), most=0.15),
    Aim("first recording sent, s", "start", lambda kept: float(kept["first request"]["recording_s"]), most=0.6),
    Aim(
        "durable commits, x without",
        "durable",
        lambda kept: ratio(kept["durable"], kept["not durable"]),
        least=0.95,
    ),
    Aim(
        "64 KB from S3: processor time, x from a disk",
        "buckets",
        lambda kept: ratio(kept["sizes"]["64 KB"]["s3"], kept["sizes"]["64 KB"]["disk"], "cpu_ms"),
        most=1.4,
    ),
    Aim("10 MB from S3: peak MB", "buckets", lambda kept: middle(kept["sizes"]["10 MB"]["s3"])["peak_mb"], most=200),
    Aim("MP3: decoded and sent, x the slower alone", "mixed", lambda kept: of_slower(kept["mp3"]), least=0.85),
    Aim("FLAC: decoded and sent, x the slower alone", "mixed", lambda kept: of_slower(kept["flac"]), least=0.85),
)  # fmt: skip


def main() -> None:
    """Prints the table."""
    print(machine())
    found: dict[str, dict[str, float | str | bool]] = {}
    for aim in AIMS:
        path = RESULTS / f"{aim.source}.json"
        if not path.exists():
            print(f"{aim.what:<50}{'':>9}   {aim.bound:<15} not measured: {aim.source}")
            continue
        figure = aim.figure(json.loads(path.read_text())["figures"])
        found[aim.what] = {"figure": figure, "aim": aim.bound, "met": aim.met(figure)}
        print(f"{aim.what:<50}{figure:>9.3f}   {aim.bound:<15} {'met' if aim.met(figure) else 'NOT met'}")
    keep("aims", found)
