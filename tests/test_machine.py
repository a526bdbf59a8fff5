"""The CPUs that may be used: of the affinity that a process was given, and of the quota of its cgroups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.machine import usable_cpus

COUNTS = """
import asyncio, os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from pipeline.machine import usable_cpus
from pipeline.workers import Workers
from tests.test_workers import make_tool
async def started():
    workers = Workers(make_tool)
    await workers.start()
    pids = await asyncio.gather(*(workers.call("pid") for _ in range(2)))
    await workers.close()
    return len(set(pids))
if __name__ == "__main__":
    print(usable_cpus(), asyncio.run(started()))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_processes_are_counted_by_the_affinity_of_taskset(tmp_path: Path) -> None:
    script = tmp_path / "counts.py"
    script.write_text(COUNTS)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    done = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["1", "1"]


HAS = 3
"""CPUs of the affinity in the cases."""


@pytest.mark.parametrize(
    ("own", "files", "count"),
    [
        ("0::/\n", {}, HAS),
        ("0::/\n", {"cpu.max": "max 100000\n"}, HAS),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "900000 100000\n"}, HAS),
        ("0::/\n", {"cpu.max": "no number\n"}, HAS),
        ("0::/\n", {"cpu.max": "0 0\n"}, HAS),
        ("0::/pod/box\n", {"pod/cpu.max": "100000 100000\n", "pod/box/cpu.max": "max 100000\n"}, 1),
        # in a container: the host's path, while its own cgroup is mounted as the topmost
        ("0::/host/of/it\n", {"cpu.max": "100000 100000\n"}, 1),
        ("0::/../..\n", {"cpu.max": "100000 100000\n"}, 1),
        ("4:cpu,cpuacct:/\n0::/\n", {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "1"}, HAS),
        (
            "4:memory:/\n3:cpu,cpuacct:/box\n",
            {"cpu,cpuacct/box/cpu.cfs_quota_us": "100000\n", "cpu,cpuacct/box/cpu.cfs_period_us": "50000\n"},
            2,
        ),
        ("1:cpu:/docker/x\n", {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ("no cgroup\n", {}, HAS),
        (None, {"cpu.max": "100000 100000\n"}, HAS),
    ],
)
def test_a_container_uses_what_its_quota_allows(
    own: str | None, files: dict[str, str], count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(HAS)))
    told = tmp_path / "own"
    if own is not None:
        told.write_text(own)
    for name, text in files.items():
        path = tmp_path / "cgroups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert usable_cpus(tmp_path / "cgroups", told) == count
