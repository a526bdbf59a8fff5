"""One million rows: the first plan, a run with nothing to do, and `status`, in seconds and megabytes, as medians.

The rows name a few real files, and all but one are noted as done by hand: the state is measured, not the sending. A
manifest of 1,000 rows shows what of it the rows cost, and one with a file for each row what the file system does.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.measuring import keep
from tests.batch import COMMAND, environment, write_wav
from tests.servers import RunningServer, start_server

ROWS = int(os.environ.get("ROWS", "1000000"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
FEW = 1_000
FILES = 1_000
READING = """
import sys
from pipeline.manifest import inputs_of
from pipeline.source import Sources
print(sum(1 for part in inputs_of([sys.argv[1]], Sources()) for _ in part))
"""
# a process counts the memory of the one that forked it as its own, so that one must be small
LAUNCH = """
import os, sys
quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""

Row = dict[str, float | int | str]


def measured(name: str, command: list[str], env: dict[str, str], server: RunningServer | None = None) -> Row:
    """Runs the command; seconds, peak memory of the process, exit status, and when its first request came."""
    before, first_s = server.stats()["requests"] if server else 0, None
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-SEc", LAUNCH, *command], env=env, stdout=subprocess.PIPE, text=True)
    while server is not None and first_s is None and process.poll() is None:
        time.sleep(0.05)
        if server.stats()["requests"] > before:
            first_s = round(time.monotonic() - started, 2)
    peak_kb, status = map(int, process.communicate()[0].split())
    row: Row = {
        "what": name,
        "seconds": round(time.monotonic() - started, 2),
        "peak_mb": peak_kb // 1024,
        "exit": status,
    }
    if first_s is not None:
        row["first_request_s"] = first_s
    return row


def write_manifest(path: Path, rows: int, files: int) -> Path:
    with path.open("w") as file:
        file.write("id,audio,speaker\n")
        file.writelines(
            f"row-{n:07d},audio/{n % files // 1000:03d}/{n % files % 1000:03d}.wav,speaker {n % 97}\n"
            for n in range(rows)
        )
    return path


def link_files(folder: Path, files: int) -> None:
    """A name of its own for each row; the content is that of the first thousand."""
    for n in range(FILES, files):
        path = folder / f"{n // 1000:03d}" / f"{n % 1000:03d}.wav"
        path.parent.mkdir(exist_ok=True)
        path.hardlink_to(folder / "000" / path.name)


def round_of(name: str, manifest: Path, out: Path, server: RunningServer) -> list[Row]:
    """The life of one output: planned, done by hand, looked at again."""
    env = environment(server)
    shutil.rmtree(out, ignore_errors=True)
    run = [*COMMAND, "run", str(manifest), "--out", str(out), "--progress", "off"]
    rows = [
        measured(f"{name}: reading the manifest alone", [sys.executable, "-c", READING, str(manifest)], env),
        measured(f"{name}: first plan, one sent", [*run, "--limit", "1"], env, server),
    ]
    with sqlite3.connect(out / "checkpoint.sqlite") as connection:
        connection.execute("UPDATE utterances SET state = 2, selected = 0, duration_s = 0.05 WHERE state = 0")
    rows.append(measured(f"{name}: a run with nothing to do", run, env))
    rows.append(measured(f"{name}: status", [*COMMAND, "status", str(out)], env))
    return rows


def medians(rounds: list[list[Row]]) -> list[Row]:
    """The medians over rounds, line by line; an exit status that is not always the same would be no measurement."""
    found = []
    for rows in zip(*rounds, strict=True):
        row: Row = {"what": rows[0]["what"]}
        for key in rows[0].keys() - {"what"}:
            row[key] = median(float(one[key]) for one in rows)
        found.append(row)
    return found


def main() -> None:
    """Prints a line for each measurement, and keeps all of them."""
    with tempfile.TemporaryDirectory(prefix="million-") as name, start_server() as server:
        base = Path(name)
        for number in range(FILES):
            write_wav(base / "audio" / "000" / f"{number:03d}.wav", seed=number, seconds=0.05)
        cases = {
            f"{FEW:,} rows": (write_manifest(base / "few.csv", FEW, FILES), base / "few"),
            f"{ROWS:,} rows": (write_manifest(base / "rows.csv", ROWS, FILES), base / "many"),
        }
        found = []
        for case, (manifest, out) in cases.items():
            found += _shown(medians([round_of(case, manifest, out, server) for _ in range(ROUNDS)]))
        size = (base / "many" / "checkpoint.sqlite").stat().st_size >> 20
        print(f"the checkpoint: {size} MB")
        link_files(base / "audio", ROWS)
        each = write_manifest(base / "each.csv", ROWS, ROWS)
        case = f"{ROWS:,} files"
        found += _shown(medians([round_of(case, each, base / "each", server) for _ in range(ROUNDS)]))
    keep("million", found)


def _shown(rows: list[Row]) -> list[Row]:
    for row in rows:
        first = f"   first request after {row['first_request_s']} s" if "first_request_s" in row else ""
        print(f"{row['what']:<50} {row['seconds']:>8} s {row['peak_mb']:>6.0f} MB   exit {row['exit']:.0f}{first}")
    sys.stdout.flush()
    return rows
