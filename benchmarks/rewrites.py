"""What it costs to write published rows anew: a changed metadata column, and an archive renamed as a whole.

Prints for each night the bytes that the run wrote, beside those of its output (transcripts in all formats), its
seconds, processor time and peak memory. Nothing may be sent.

    ROWS=20000,200000 FILES=100000 python -m benchmarks rewrites
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.measuring import keep
from tests.batch import COMMAND, environment, write_wav
from tests.servers import RunningServer, start_server

ROWS = tuple(int(size) for size in os.environ.get("ROWS", "20000,200000").split(","))
FILES = tuple(int(size) for size in os.environ.get("FILES", "10000,100000").split(","))
RECORDINGS = 500
# a process counts the memory of the one that forked it as its own, so that one must be small
LAUNCH = """
import os, sys
quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
io = dict(line.split(": ") for line in open(f"/proc/{pid}/io").read().splitlines())
_, status, usage = os.wait4(pid, 0)
print(io["wchar"], usage.ru_utime + usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


class Night(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    rows: int
    formats: str
    output_mb: float
    written_mb: float
    x_output: float
    seconds: float
    cpu_s: float
    peak_mb: int
    requests: int


def night(what: str, rows: int, manifest: Path, out: Path, server: RunningServer, formats: str) -> Night:
    """One run, measured. Raises SystemExit where it does not end well."""
    told = ", ".join(f'"{name}"' for name in formats.split("+"))
    command = [*COMMAND, "run", str(manifest), "--out", str(out), "--progress", "off"]
    command += ["--set", f"sink.formats=[{told}]"]
    before, started = server.stats()["requests"], time.monotonic()
    launched = subprocess.run(
        [sys.executable, "-SEc", LAUNCH, *command], env=environment(server), check=True, capture_output=True, text=True
    )
    seconds = time.monotonic() - started
    written, cpu_s, peak_kb, status = launched.stdout.split()
    if status != "0":
        raise SystemExit(f"{what}: exit {status}")
    files = [*(out / "transcripts").glob("*.parquet"), *out.glob("transcripts.jsonl")]
    size = sum(path.stat().st_size for path in files)
    made = Night(
        what=what,
        rows=rows,
        formats=formats,
        output_mb=round(size / 1e6, 1),
        written_mb=round(int(written) / 1e6, 1),
        x_output=round(int(written) / size, 2),
        seconds=round(seconds, 1),
        cpu_s=round(float(cpu_s), 1),
        peak_mb=int(peak_kb) >> 10,
        requests=server.stats()["requests"] - before,
    )
    print("  ".join(f"{name}={value}" for name, value in msgspec.to_builtins(made).items()), flush=True)
    return made


def refreshed(base: Path, rows: int, formats: str, server: RunningServer) -> Night:
    """Rows over a few recordings of 10 s, of whose columns one says something else on the second night."""
    for number in range(RECORDINGS):
        write_wav(base / "audio" / f"{number}.wav", seed=number, seconds=10)
    manifest = base / "m.csv"
    for what in ("first", "refreshed"):
        lines = (f"r{n},audio/{n % RECORDINGS}.wav,{what}\n" for n in range(rows))
        manifest.write_text("id,audio,about\n" + "".join(lines))
        last = night(what, rows, manifest, base / "out", server, formats)
    return last


def renamed(base: Path, files: int, server: RunningServer) -> Night:
    """A folder of short recordings, all of which have other names on the second night, in another order."""
    folder, before = base / "audio", base / "before"
    for number in range(files):
        write_wav(folder / f"{number:06d}.wav", seed=number, seconds=0.1)
    night("first", files, folder, base / "out", server, "parquet+jsonl")
    folder.rename(before)
    folder.mkdir()
    names = sorted(before.iterdir())
    for number, path in enumerate(random.Random(1).sample(names, len(names))):
        path.rename(folder / f"n{number:06d}.wav")
    return night("renamed", files, folder, base / "out", server, "parquet+jsonl")


def main() -> None:
    """All sizes; exits with 1 where anything was sent, or more was written than four times the output."""
    found = []
    for rows in ROWS:
        for formats in ("parquet+jsonl", "jsonl"):
            with tempfile.TemporaryDirectory() as folder, start_server(recognizer="fingerprint") as server:
                found.append(refreshed(Path(folder), rows, formats, server))
    too_much = any(one.x_output > 4 for one in found)
    for files in FILES:
        with tempfile.TemporaryDirectory() as folder, start_server(recognizer="fingerprint") as server:
            found.append(renamed(Path(folder), files, server))
    keep("rewrites", [msgspec.to_builtins(one) for one in found])
    if too_much or any(one.requests for one in found):
        raise SystemExit(1)
