"""How many CPUs this process may use: those of its affinity (taskset, cpusets), and no more than its cgroup's quota.

The one count that processes and threads are made by: as many as the machine has would fight for what a container gets.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_CONTROLLER = "cpu"


def usable_cpus(cgroups: Path = CGROUPS, own: Path = OWN) -> int:
    """At least 1. `cgroups` is where cgroups are mounted, `own` says which ones are this process's."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *map(math.ceil, _quotas(cgroups, own))]))


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """The CPUs' time that each cgroup around this process has, in CPUs; those without a bound give none."""
    try:
        lines = own.read_text("utf-8", "replace").splitlines()
    except OSError:
        return  # no Linux, or none that tells
    for number, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        is_second = number == "0" and not controllers
        if not is_second and _CONTROLLER not in controllers.split(","):
            continue
        # in a container the path may be the host's, which is not mounted there: what is there is looked at
        group = Path(os.path.normpath("/" + path.lstrip("/")))
        for above in (group, *group.parents):
            for mounted in (cgroups,) if is_second else (cgroups / controllers, cgroups / _CONTROLLER):
                quota = _second(mounted, above) if is_second else _first(mounted, above)
                if quota is not None:
                    yield quota


def _second(mounted: Path, group: Path) -> float | None:
    """Of cgroup v2: `max 100000`, or a quota and its period in microseconds."""
    return _share(_text(mounted, group, "cpu.max").split())


def _first(mounted: Path, group: Path) -> float | None:
    """Of cgroup v1: a quota of -1 is none."""
    return _share([_text(mounted, group, f"cpu.cfs_{name}_us") for name in ("quota", "period")])


def _text(mounted: Path, group: Path, name: str) -> str:
    with suppress(OSError):
        return (mounted / group.relative_to("/") / name).read_text("utf-8", "replace").strip()
    return ""


def _share(quota_and_period: list[str]) -> float | None:
    try:
        quota, period = map(int, quota_and_period)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None
