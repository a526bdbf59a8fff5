"""One million rows: the first plan, a run with nothing to do, and `status`, in seconds and megabytes.

The rows name a few real files, and all but one are noted as done by hand: the state is measured, not the sending.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

from tests.batch import COMMAND, environment, write_wav
from tests.servers import start_server

ROWS = int(os.environ.get("ROWS", "1000000"))
FILES = 1_000


def measured(name: str, *args: str, env: dict[str, str]) -> dict[str, float | int | str]:
    """Runs the command; seconds, peak memory of the process, exit status."""
    started = time.monotonic()
    process = subprocess.Popen([*COMMAND, *args], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    row: dict[str, float | int | str] = {
        "what": name,
        "seconds": round(time.monotonic() - started, 2),
        "peak_mb": usage.ru_maxrss // 1024,
        "exit": os.waitstatus_to_exitcode(status),
    }
    print(f"{row['what']:<40} {row['seconds']:>8} s {row['peak_mb']:>6} MB   exit {row['exit']}", flush=True)
    return row


def main() -> None:
    """Prints a line for each measurement, and all of them as JSON."""
    with tempfile.TemporaryDirectory(prefix="million-") as name, start_server() as server:
        base = Path(name)
        for number in range(FILES):
            write_wav(base / "audio" / f"{number}.wav", seed=number, seconds=0.05)
        manifest, out = base / "rows.csv", base / "out"
        with manifest.open("w") as file:
            file.write("id,audio,speaker\n")
            file.writelines(f"row-{n:07d},audio/{n % FILES}.wav,speaker {n % 97}\n" for n in range(ROWS))
        env = environment(server)
        run = ("run", str(manifest), "--out", str(out), "--progress", "off")
        rows = [measured(f"first plan of {ROWS:,} rows, one sent", *run, "--limit", "1", env=env)]
        with sqlite3.connect(out / "checkpoint.sqlite") as connection:
            connection.execute("UPDATE utterances SET state = 2, selected = 0, duration_s = 0.05 WHERE state = 0")
        rows.append(measured("run with nothing to do", *run, env=env))
        rows.append(measured("status", "status", str(out), env=env))
        size = (out / "checkpoint.sqlite").stat().st_size >> 20
        print(f"the checkpoint: {size} MB")
        print(json.dumps({"rows": rows, "checkpoint_mb": size}))
