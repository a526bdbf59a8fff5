"""What this process may use of its machine: how many CPUs, and how its allocators give memory back.

CPUs are those of its affinity (taskset, cpusets), and no more than the quota of its cgroups: as many worker processes
as the host has CPUs would fight for what a container gets.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_CONTROLLER = "cpu"
_M_ARENA_MAX = -8
"""The option of glibc's mallopt."""


def usable_cpus(cgroups: Path = CGROUPS, own: Path = OWN) -> int:
    """At least 1. `cgroups` is where cgroups are mounted, `own` says which ones are this process's."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *map(math.ceil, _quotas(cgroups, own))]))


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """The quota of each cgroup around this process, in CPUs; a cgroup without one gives none."""
    try:
        lines = own.read_text("utf-8", "replace").splitlines()
    except OSError:
        return  # not Linux, or no /proc
    for number, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        is_v2 = number == "0" and not controllers
        if not is_v2 and _CONTROLLER not in controllers.split(","):
            continue
        names = ("cpu.max",) if is_v2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        mounts = (cgroups,) if is_v2 else (cgroups / controllers, cgroups / _CONTROLLER)
        # in a container the path may be the host's, of which only the part that is mounted can be read
        group = Path(os.path.normpath("/" + path.lstrip("/")))
        for parent in (group, *group.parents):
            for mount in mounts:
                text = " ".join(_read(mount / parent.relative_to("/") / name) for name in names)
                with suppress(ValueError):  # of files that are not there, or say "max": no quota
                    quota, period = map(int, text.split())
                    if quota > 0 and period > 0:  # -1 is none
                        yield quota / period


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text("utf-8", "replace")
    return ""


def limit_arenas() -> None:
    """To be called before other threads are started and before Arrow is loaded.

    glibc gives each thread a heap of its own, and Arrow has an allocator of its own: each keeps what it once took, so
    that a long run grew by 0.4 KB with each row.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
