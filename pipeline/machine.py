"""Resources of the machine for this process: its number of CPUs, and how its allocators return memory.

The CPUs are those of its affinity (taskset, cpusets), limited by the quota of its cgroups: in a container the host may
have many more.
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
_HEAP = {-8: 1, -3: 1 << 20, -1: 16 << 20}
"""Options of glibc's mallopt: M_ARENA_MAX; M_MMAP_THRESHOLD, from how many bytes on a block is returned once it is
freed; M_TRIM_THRESHOLD, how many free bytes the heap may end with."""


def usable_cpus(cgroups: Path = CGROUPS, own: Path = OWN) -> int:
    """The number of CPUs, at least 1. `cgroups` is the mount point, and the file `own` lists this process's cgroups."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *map(math.ceil, _quotas(cgroups, own))]))


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """The quotas of the cgroups around this process, in CPUs."""
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
        # in a container the path may be the host's, of which only a part is mounted
        group = Path(os.path.normpath("/" + path.lstrip("/")))
        for parent in (group, *group.parents):
            for mount in mounts:
                text = " ".join(_read(mount / parent.relative_to("/") / name) for name in names)
                with suppress(ValueError):  # no such file, or "max": no quota
                    quota, period = map(int, text.split())
                    if quota > 0 and period > 0:  # -1 is none
                        yield quota / period


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text("utf-8", "replace")
    return ""


def limit_heap() -> None:
    """Limits glibc to one heap that returns what is freed, and has Arrow use it.

    Call it before threads start and before Arrow is imported. Else each thread has a heap and Arrow an allocator of its
    own, which return no memory: a long run grew by 0.4 KB with each row. And glibc raises both thresholds with each
    large block that is freed: runs of rows of 100 KB took 40 to 60 MB that were free.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            library = ctypes.CDLL(None)
            for option, value in _HEAP.items():
                library.mallopt(option, value)
