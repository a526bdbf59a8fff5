"""A three-hour recording one clip of which always fails with code 1011, over seven nights, and its end when it heals.

Prints for each night what it sent and spent by its ledger, how it ended, and what status and transcript
say; with `audio.allow_partial` and without. Fails loudly when something is not as promised.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.long import beeping
from tests.batch import batch, jsonl_of
from tests.beeps import RECOGNIZER
from tests.servers import RunningServer, start_server

HOURS = float(os.environ.get("HOURS", "3"))
NIGHTS = 7
POISONED = 13
TAKEN = (1, 2, 4)
"""The nights that send the clip: after two setbacks one night is left out, after three three of them."""
ATTEMPTS = 6
QUICK = ("--set", "retry.base_s=0.01", "--set", "retry.max_s=0.05", "--progress", "off")


def body_of_the_clip(folder: Path, base: Path) -> tuple[str, dict[str, Any]]:
    """The digest of what the clip's request carries, and the row that a service without faults makes."""
    with start_server(recognizer=RECOGNIZER, request_log=base / "log") as server:
        one_by_one = ("--concurrency", "1")
        assert batch("run", folder, "--out", base / "whole", *QUICK, *one_by_one, server=server).exit == 0
    lines = (base / "log").read_text("utf-8").splitlines()
    [row] = jsonl_of(base / "whole")
    return json.loads(lines[POISONED])["digest"], row


@contextmanager
def failing(digest: str) -> Iterator[RunningServer]:
    faults = f'[[fault]]\nkind = "internal_error"\nsha256 = "{digest}"\n'
    with start_server(recognizer=RECOGNIZER, faults=faults) as server:
        yield server


def told(name: str, night: str, server: RunningServer, folder: Path, out: Path, *more: str) -> tuple[int, list[Any]]:
    """Does a night and prints it; returns its requests and the transcripts."""
    before = server.stats()
    result = batch("run", folder, "--out", out, *QUICK, *more, server=server)
    after = server.stats()
    requests = after["requests"] - before["requests"]
    rows = jsonl_of(out) if (out / "transcripts.jsonl").exists() else []
    waiting = [line for line in batch("status", out).stdout.splitlines() if line.startswith("waiting")]
    text = f"{len(rows[0]['words'])} words, issues {rows[0]['issues']}" if rows else "no transcript"
    status = " ".join(waiting[0].split()) if waiting else "nothing waits"
    print(
        f"{name}, {night}: {requests} requests, {result.figures['credits']:.0f} credits, exit {result.exit}; "
        f"{status}; {text}"
    )
    return requests, rows


def nights(name: str, digest: str, whole: dict[str, Any], folder: Path, out: Path, *more: str) -> None:
    clips = len(whole["request_ids"])
    with failing(digest) as server:
        for number in range(1, NIGHTS + 1):
            requests, rows = told(name, f"night {number}", server, folder, out, *more)
            expected = (ATTEMPTS + (clips - 1) * (number == 1)) * (number in TAKEN)
            check(requests == expected, f"{requests} requests, expected {expected}")
            check(bool(rows) == bool(more), "a transcript with gaps is there where it was asked for")
            check(not rows or len(rows[0]["issues"]) == 1, "and says where its gap is")
    [error] = jsonl_of(out, "errors.jsonl")
    print(f"{name}: {error['message']}")
    with start_server(recognizer=RECOGNIZER) as server:
        requests, rows = told(name, "healed, --only failed", server, folder, out, *more, "--only", "failed")
    [row] = rows
    check(requests == 1, f"{requests} requests for one clip")
    check((row["text"], row["issues"]) == (whole["text"], []), "the transcript is whole")
    check(row["credits"] == whole["credits"], "at the price of the whole")
    print(f"{name}: as promised")


def check(good: bool, what: str) -> None:
    if not good:
        raise SystemExit(f"BROKEN: {what}")


def main() -> None:
    """Both forms in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="failing-") as folder:
        base = Path(folder)
        (base / "audio").mkdir()
        beeping(base / "audio/meeting.flac", HOURS * 3600)
        digest, whole = body_of_the_clip(base / "audio", base)
        nights("by itself", digest, whole, base / "audio", base / "plain")
        nights("allow_partial", digest, whole, base / "audio", base / "partial", "--set", "audio.allow_partial=true")
