"""Exports of a million rows whose parts have them in another order than the manifest: seconds and peak memory of the
first export, of one with nothing to do, and of one after ten rows changed in ten parts, beside reading the parts alone.

    ROWS=1000000 FORMATS=csv,nemo python -m benchmarks exports
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = int(os.environ.get("ROWS", "1000000"))
FORMATS = os.environ.get("FORMATS", "csv,nemo").split(",")
PER_PART = 10_000
WORDS = 12
CHANGED = 10
# a process counts the memory of the one that forked it as its own, so that one must be small
LAUNCH = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, usage.ru_utime + usage.ru_stime, os.waitstatus_to_exitcode(status))
"""
COLUMNS = ("id", "audio", "offset_s", "duration_s", "text", "reference", "language", "channel")
MAKE = """
import random, sqlite3, sys
from contextlib import closing
from pathlib import Path
import pyarrow as pa
from benchmarks.exports import PER_PART, WORDS
from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.codec import encode
from pipeline.model import Transcript, Utterance, Word
from pipeline.segments import segments_of
from pipeline.sink import FolderStore, Sink
from pipeline.sink.schema import as_table
from tests.records import transcript

out, rows = Path(sys.argv[1]), int(sys.argv[2])
with Checkpoint(out / "checkpoint.sqlite"):
    pass
names = [f"row-{n:07d}" for n in range(rows)]
with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db, db:
    db.executemany(
        "INSERT INTO utterances (n, id, row, state, expected_s, config_hash, part) VALUES (?, ?, x'', 2, 1, 'c', 1)",
        enumerate(names, 1),
    )
random.Random(1).shuffle(names)
spoken = [" ".join(random.Random(n).choices("the rain in spain stays mainly on plains".split(), k=WORDS))
          for n in range(PER_PART)]
base = as_table([transcript("x", text) for text in spoken], Transcript)
sink = Sink(FolderStore(out))
for part, start in enumerate(range(0, rows, PER_PART), 1):
    ids = names[start : start + PER_PART]
    table = base.slice(0, len(ids))
    table = table.set_column(0, table.schema.field(0), pa.array(ids))
    table = table.set_column(1, table.schema.field(1), pa.array([f"/archive/{id_[4:8]}/{id_}.wav" for id_ in ids]))
    sink.parts.table(part)._write([table])
"""
CHANGE = """
import random, sys
from pathlib import Path
import msgspec
from benchmarks.exports import CHANGED
from pipeline.sink import FolderStore, Sink

sink = Sink(FolderStore(Path(sys.argv[1])))
for part in random.Random(2).sample(sink.parts.numbers(), CHANGED):
    rows = list(sink.rows(part))
    one = rows[len(rows) // 2]
    new = msgspec.structs.replace(one, text=one.text + " changed", metadata={"night": sys.argv[2]})
    sink.replace(part, {one.id}.intersection, [new], len(rows), lambda ids: range(len(ids)))
"""
READ = """
import sys
from pathlib import Path
from pipeline.sink import FolderStore, Sink
sink = Sink(FolderStore(Path(sys.argv[1])))
columns = sys.argv[2].split(",") if len(sys.argv) > 2 else ()
print(sum(table.num_rows for part in sink.parts.numbers() for table in sink.parts.table(part).tables(columns)))
"""


def measured(what: str, *command: str) -> float:
    """Runs a command; prints and returns its seconds."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-SEc", LAUNCH, *command], env=os.environ | {"PYTHONPATH": str(Path.cwd())}, check=True,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    seconds = time.monotonic() - started
    peak_kb, cpu_s, status = done.stdout.split()[-3:]
    print(f"{what}: {seconds:.2f} s, {float(cpu_s):.2f} s of CPU, peak {int(peak_kb) // 1024} MB, exit {status}")
    return seconds


def main() -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("WORK")) as work:
        out = Path(work) / "out"
        out.mkdir()
        python = (sys.executable, "-c")
        measured(f"making {ROWS:,} rows", *python, MAKE, str(out), str(ROWS))
        whole = measured("reading all columns of the parts", *python, READ, str(out))
        some = measured(f"reading {len(COLUMNS)} columns of them", *python, READ, str(out), ",".join(COLUMNS))
        for night, format_ in enumerate(FORMATS):
            command = [sys.executable, "-m", "pipeline", "export", str(out), "--format", format_]
            command += ["--to", str(Path(work) / format_)]
            first = measured(f"{format_}, first", *command)
            again = measured(f"{format_}, nothing changed", *command)
            measured(f"changing {CHANGED} rows", *python, CHANGE, str(out), str(night))
            second = measured(f"{format_}, {CHANGED} rows changed", *command)
            print(
                f"{format_}: first {first / whole:.1f} x reading all, {first / some:.1f} x {len(COLUMNS)} columns; "
                f"nothing changed {again / first:.3f}, {CHANGED} rows changed {second / first:.3f} of the first"
            )


if __name__ == "__main__":
    main()
