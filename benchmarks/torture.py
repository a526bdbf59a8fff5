"""kill -9 at 100 random moments of a run over 500 items, and at each step of publishing: nothing lost or doubled.

A reader looks at the parts all the time, and the spend ledger is held against what the server counted. Prints what was
repeated, and fails loudly when a promise is broken.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.crash_at import STEPS
from pipeline.checkpoint import Checkpoint
from tests.batch import COMMAND, Corpus, batch, environment, jsonl_rows_of, rows_of, table_of
from tests.servers import RunningServer, start_server

ITEMS, KILLS, IN_FLIGHT = 500, 100, 4
LATENCY_S, WINDOW_S = 0.1, 0.05
SETTINGS = ("--concurrency", str(IN_FLIGHT), "--set", "sink.rows_per_part=20", "--progress", "off")


class Reader(threading.Thread):
    """Reads every part over and over, as a user's notebook would."""

    def __init__(self, out: Path) -> None:
        super().__init__(daemon=True)
        self.out, self.looks, self.faults, self.ended = out, 0, [], False  # type: ignore[var-annotated]

    def run(self) -> None:
        while not self.ended:
            seen: set[str] = set()
            for path in sorted((self.out / "transcripts").glob("part-*.parquet")):
                try:
                    ids = pq.read_table(path, columns=["id"])["id"].to_pylist()
                except FileNotFoundError:
                    continue  # a part that a kill left unnoted, taken away by the next start
                except Exception as error:
                    self.faults.append(f"{path.name}: {error}")
                    continue
                if seen & set(ids) or len(set(ids)) != len(ids):
                    self.faults.append(f"{path.name}: an id stands twice")
                seen |= set(ids)
            self.looks += 1
            time.sleep(0.005)


def run_once(server: RunningServer, out: Path, folder: Path, *, crash: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    """Starts the command, aimed or not."""
    head = [sys.executable, "-m", "benchmarks.crash_at", *crash] if crash else list(COMMAND)
    return subprocess.Popen(
        [*head, "run", str(folder), "--out", str(out), *SETTINGS],
        env=environment(server),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def verdict(name: str, server: RunningServer, out: Path, corpus: Corpus, reader: Reader, kills: int) -> None:
    """Finishes the run and holds it against the promises."""
    last = batch("run", corpus.folder, "--out", out, *SETTINGS, server=server)
    reader.ended = True
    reader.join()
    answered = server.stats()["answered"]
    repeated, allowed = answered - len(corpus.texts), kills * (IN_FLIGHT + IN_FLIGHT * WINDOW_S / LATENCY_S)
    exact = rows_of(out) == jsonl_rows_of(out) == corpus.texts
    told, good_ledger = ledger(server, out, corpus, kills)
    good = last.exit == 0 and exact and not reader.faults and repeated <= allowed and good_ledger
    print(
        f"{name}: {len(corpus.texts)} items, {kills} kills, {answered} answered, {repeated} repeated "
        f"(allowed {allowed:.0f}), {reader.looks} looks, {told}, "
        f"{'as promised' if good else f'BROKEN {reader.faults[:3]}'}"
    )
    if not good:
        raise SystemExit(1)


def ledger(server: RunningServer, out: Path, corpus: Corpus, kills: int) -> tuple[str, bool]:
    """The ledger in figures, and whether it has each request once and every one but those of a window for each kill."""
    rows, requests = table_of(out, "attempts").to_pylist(), server.stats()["requests"]
    cut = sum(row["outcome"] == "CutOff" for row in rows)
    window = kills * IN_FLIGHT * WINDOW_S / LATENCY_S
    once = len({(row["run_id"], row["id"], row["clip"], row["attempt"]) for row in rows}) == len(rows)
    complete = {row["id"] for row in rows if row["outcome"] == "ok"} == corpus.texts.keys()
    with Checkpoint(out / "checkpoint.sqlite", only_read=True) as checkpoint:
        spent = checkpoint.totals().credits
    adds_up = abs(spent - sum(row["credits"] for row in rows)) < 1e-6
    told = f"{requests} requests and {len(rows)} in the ledger ({cut} cut off, off by at most {window:.0f} allowed)"
    return told, once and complete and adds_up and cut > 0 and abs(requests - len(rows)) <= window


def random_moments(base: Path) -> None:
    corpus, out = Corpus(base / "audio", count=ITEMS), base / "random"
    reader = Reader(out)
    reader.start()
    kills = 0
    with start_server(latency_s=LATENCY_S) as server:
        while kills < KILLS:
            process = run_once(server, out, corpus.folder)
            try:
                process.wait(random.uniform(0.2, 0.9))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
            if process.wait() == 0:
                corpus.add(10_000 + kills)  # it was done before its time: there is something to do again
        verdict("random moments", server, out, corpus, reader, kills)


def each_step(base: Path) -> None:
    corpus, out = Corpus(base / "audio2", count=40), base / "steps"
    reader = Reader(out)
    reader.start()
    kills = 0
    with start_server(latency_s=LATENCY_S) as server:
        for number, (step, when) in enumerate((step, when) for step in STEPS for when in ("before", "after")):
            for nth in (1, 2):
                for extra in range(30):
                    corpus.add(1000 + 100 * (2 * number + nth) + extra)
                process = run_once(server, out, corpus.folder, crash=(step, when, str(nth)))
                kills += process.wait(60) == -signal.SIGKILL
        verdict("each step", server, out, corpus, reader, kills)


def main() -> None:
    """Runs both forms in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        each_step(Path(folder))
        random_moments(Path(folder))
