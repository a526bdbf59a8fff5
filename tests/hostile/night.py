"""A run of the command against a hostile service, and everything that must hold whatever the service did."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from tests.batch import run_command, write_wav
from tests.hostile.grammar import KEY
from tests.hostile.service import HostileService
from tests.leaks import leaks_in

AT_ONCE = 4
"""A run mostly waits."""
COUNT = 120
SECONDS = 0.1
CREDITS_PER_S = 3
MOST_S = 8
"""A run is asked to end after so long …"""
GRACE_S = 12.0
"""… and ends so soon after that: its last answers are waited for, and the machine is busy."""
FAST = (
    *("timeouts.connect_s=1", "timeouts.idle_s=0.3", "timeouts.attempt_base_s=1", "timeouts.attempt_per_audio_s=0"),
    *("timeouts.drain_s=1", "retry.base_s=0.01", "retry.max_s=0.1", "retry.probe_s=0.05", "retry.outage_max_s=2"),
)
EXITS = (0, 1, 2, 3, 4)
TINY = 1e-6


class Corpus(NamedTuple):
    folder: Path
    words: dict[str, str]
    credits: dict[str, float]
    ids: dict[str, str]
    """The right word by id."""


def make_corpus(folder: Path) -> Corpus:
    words, ids = {}, {}
    for number in range(COUNT):
        path = folder / "audio" / f"{number:03d}.wav"
        write_wav(path, seed=number, seconds=SECONDS)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        words[digest] = ids[path.name] = f"w{digest[:10]}"
    return Corpus(folder / "audio", words, dict.fromkeys(words, SECONDS * CREDITS_PER_S), ids)


class Night(NamedTuple):
    seed: int
    exchanges: int
    exit: int
    problems: list[str]


def nights(folder: Path, seeds: Iterable[int]) -> Iterator[Night]:
    """A night for each seed, AT_ONCE of them at the same time."""
    corpus = make_corpus(folder)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield from threads.map(lambda seed: night(corpus, folder / f"out-{seed}", seed), seeds)


def night(corpus: Corpus, out: Path, seed: int) -> Night:
    """One run into a fresh output."""
    rng = random.Random(seed)
    budget = rng.choice((None, None, 0.9, 3.0, 6.0))
    more = [option for setting in FAST for option in ("--set", setting)]
    more += [] if budget is None else ["--budget", str(budget)]
    more += ["--concurrency", str(rng.choice((1, 4, 16))), "--set", f"retry.max_attempts={rng.choice((1, 3, 6))}"]
    more += ["--log-format", rng.choice(("text", "json"))]
    more += ["--set", "service.require_credits=true"] if rng.random() < 0.1 else []
    with HostileService(seed, corpus.words, corpus.credits) as service:
        started = time.monotonic()
        result = run_command(
            *("run", corpus.folder, "--out", out, "--max-duration", f"{MOST_S}s", "--progress", "off", *more),
            server=service,
            GRADIUM_API_KEY=KEY,
        )
        took_s = time.monotonic() - started
    problems = [*_ends(result.exit, took_s), *_leaks(result.stdout + result.stderr, out), *_answers(out, corpus)]
    problems += _books(service, out, budget)
    if service.unknown:
        problems.append(f"{service.unknown} bodies that are none of the recordings")
    if "Traceback" in result.stderr:
        problems.append(f"a traceback: {result.stderr[-2000:]}")
    shutil.rmtree(out, ignore_errors=True)
    return Night(seed, service.exchanges, result.exit, problems)


def _ends(exit_: int, took_s: float) -> Iterator[str]:
    if exit_ not in EXITS:
        yield f"exit {exit_}"
    if took_s > MOST_S + GRACE_S:
        yield f"it took {took_s:.1f} s"


def _leaks(told: str, out: Path) -> Iterator[str]:
    if parts := leaks_in(told, KEY):
        yield f"the key is in what was printed: {sorted(parts)[:3]}"
    for path in out.rglob("*"):
        if path.is_file():
            content = path.read_bytes().decode("utf-8", "replace")
            if path.suffix == ".parquet":
                content = json.dumps(pq.read_table(path).to_pylist(), default=str)
            if parts := leaks_in(content, KEY):
                yield f"the key is in {path.relative_to(out)}: {sorted(parts)[:3]}"


def _books(service: HostileService, out: Path, budget: float | None) -> Iterator[str]:
    path = out / "summary.json"
    known = json.loads(path.read_text())["credits"] if path.exists() else 0.0
    if service.billed > known + TINY:
        yield f"billed {service.billed:.2f}, and the ledger says {known:.2f}"
    if budget is not None and service.billed > budget + TINY:
        yield f"billed {service.billed:.2f} of a budget of {budget}"


def _answers(out: Path, corpus: Corpus) -> Iterator[str]:
    path = out / "transcripts.jsonl"
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        row = json.loads(line)
        said = {word["text"] for word in row["words"]}
        others = {
            word for word in said if word != corpus.ids[row["id"]] and re.fullmatch(r"w[0-9a-f]{10}|unknown", word)
        }
        if others:
            yield f"{row['id']} has the words of another body: {others}"
