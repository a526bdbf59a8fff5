"""Memory does not grow with the number of rows or files."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from tests.manifest.reading import read_manifest

# a process of its own: the peak of this one was set by other tests
COUNT = """
import sys
from pipeline.manifest import inputs_of
from pipeline.source import Sources
rows = sum(1 for part in inputs_of([sys.argv[1]], Sources()) for _ in part)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(rows, status["VmHWM"].split()[0])
"""


def peak_kb(path: Path, rows: int) -> int:
    done = subprocess.run([sys.executable, "-c", COUNT, str(path)], check=True, capture_output=True, text=True)
    counted, peak = map(int, done.stdout.split())
    assert counted == rows
    return peak


def write(path: Path, rows: int) -> Path:
    with path.open("w") as file:
        if path.suffix == ".csv":
            file.write("audio,reference,topic\n")
            file.writelines(f"{n}.wav,the water was cold,t{n}\n" for n in range(rows))
        else:
            file.writelines(f'{{"audio": "{n}.wav", "topic": "t{n}"}}\n' for n in range(rows))
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_300_000_rows_cost_no_more_memory_than_3_000(tmp_path: Path, kind: str) -> None:
    few = peak_kb(write(tmp_path / f"few.{kind}", 3_000), 3_000)
    many = peak_kb(write(tmp_path / f"many.{kind}", 300_000), 300_000)
    assert many - few < 4_000  # all rows at once would be over 100,000


def walk_peak(folder: Path, folders: int) -> int:
    for n in range(folders):
        (folder / f"{n:04d}").mkdir(parents=True)
        for m in range(20):
            (folder / f"{n:04d}" / f"{m:02d}.wav").touch()
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_manifest(str(folder))) == folders * 20
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_a_walk_holds_one_folder_at_a_time(tmp_path: Path) -> None:
    few = walk_peak(tmp_path / "few", 10)
    many = walk_peak(tmp_path / "many", 200)
    assert many - few < 100_000  # the 3,800 more paths and ids together would be over 800,000
