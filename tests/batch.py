"""Runs the real command as a user does, and makes small recordings whose right transcript is known.

corpus = Corpus(tmp_path / "audio", count=20)
result = batch("run", corpus.folder, "--out", out, server=server)
assert rows_of(out) == corpus.texts
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import threading
import wave
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.server.fingerprint import fingerprint_words
from tests.forked import Started, run_forked
from tests.in_process import run_in_process
from tests.servers import KEY, RunningServer

RATE = 8_000
COMMAND = (sys.executable, "-m", "pipeline")


def write_wav(path: Path, seed: int, seconds: float = 0.5) -> str:
    """Writes noise that no other seed makes; returns the transcript that the local server's `fingerprint` gives it."""
    samples = random.Random(seed).randbytes(int(seconds * RATE) * 2)
    write_samples(path, samples, RATE)
    return " ".join(word for word, _, _ in fingerprint_words(samples, RATE))


def write_samples(path: Path, samples: bytes, rate: int) -> None:
    """Writes 16-bit mono samples as a WAV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples)


class Corpus:
    """A folder of recordings and their right transcripts by id (the file's name)."""

    def __init__(self, folder: Path, count: int, seconds: float = 0.5) -> None:
        self.folder = folder
        self.texts: dict[str, str] = {}
        for number in range(count):
            self.add(number, seconds)

    def add(self, number: int, seconds: float = 0.5) -> Path:
        path = self.folder / f"{number:05d}.wav"
        self.texts[path.name] = write_wav(path, seed=number, seconds=seconds)
        return path


class Finished:
    """What the command left: exit status, texts, and the figures of its last line."""

    def __init__(self, returncode: int, stdout: str, stderr: str) -> None:
        self.exit = returncode
        self.stdout = stdout
        self.stderr = stderr

    @property
    def last_line(self) -> str:
        return self.stderr.strip().splitlines()[-1]

    @property
    def figures(self) -> dict[str, float]:
        return {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", self.last_line)}


def environment(server: RunningServer | None = None, **more: str) -> dict[str, str]:
    """The environment of a command: no key unless a server is given."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GRADIUM_")}
    env["GRADIUM_BATCH_PRICE__SETTLE_S"] = "0"  # services of tests whose balance never changes are not waited for
    if server is not None:
        env["GRADIUM_API_KEY"] = KEY
        env["GRADIUM_BATCH_SERVICE__URL"] = server.url
    return env | more


def start_batch(*args: str | Path, server: RunningServer | None = None, **more: str) -> Started:
    """Starts the command in a process of its own and returns the process."""
    return Started(list(map(str, args)), environment(server, **more))


def run_command(
    *args: str | Path,
    server: RunningServer | None = None,
    stdin: str = "",
    cwd: Path | None = None,
    own_process: bool = False,
    **more: str,
) -> Finished:
    """Runs the command to its end, whatever becomes of it.

    In the process of the test, unless `own_process` is asked for: where the subject is a process (how it starts or
    ends, its limits, its memory), or the command may end itself at once. Variables that are not ours mean one as well.
    """
    env, words = environment(server, **more), [*map(str, args)]
    if any(name.startswith("PYTHON") for name in more):  # heard by Python when it starts
        done = subprocess.run(
            [*COMMAND, *words], env=env, input=stdin, capture_output=True, text=True, timeout=100, cwd=cwd, check=False
        )
        return Finished(done.returncode, done.stdout, done.stderr)
    is_ours = all(name.startswith("GRADIUM_") for name in more)
    if own_process or not is_ours or threading.current_thread() is not threading.main_thread():
        return Finished(*run_forked(words, env, stdin, cwd))
    return Finished(*run_in_process(words, env, stdin, cwd))


def batch(*args: str | Path, **options: Any) -> Finished:
    """Runs the command as `run_command` does, to its end, which is no error that nobody foresaw."""
    done = run_command(*args, **options)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def finish(process: Started | subprocess.Popen[str]) -> Finished:
    """Waits for a started command."""
    stdout, stderr = process.communicate(timeout=100)
    assert "Traceback" not in stderr, stderr
    assert process.returncode is not None
    return Finished(process.returncode, stdout, stderr)


def table_of(out: Path, kind: str = "transcripts") -> pa.Table:
    """All parts of one kind, as a reader sees them."""
    return pq.read_table(out / kind)


def rows_of(out: Path) -> dict[str, str]:
    """Transcripts by id; fails where an id stands twice."""
    return _texts(table_of(out).select(["id", "text"]).to_pylist())


def jsonl_of(out: Path, name: str = "transcripts.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / name).read_text("utf-8").splitlines()]


def jsonl_rows_of(out: Path) -> dict[str, str]:
    return _texts(jsonl_of(out))


def errors_of(out: Path) -> dict[str, str]:
    """Error class by id; fails where the two forms of the errors differ."""
    by_parquet = {row["id"]: row["error"] for row in pq.read_table(out / "errors.parquet").to_pylist()}
    assert by_parquet == {row["id"]: row["error"] for row in jsonl_of(out, "errors.jsonl")}
    return by_parquet


def _texts(rows: list[dict[str, Any]]) -> dict[str, str]:
    texts = {row["id"]: row["text"] for row in rows}
    assert len(texts) == len(rows), "an id stands twice"
    return texts
