"""Bills are kept compactly, the newest 50, and damaged ones are left out."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import msgspec
import pytest

from pipeline.bill import LENGTH_S, Bill, LengthCounts, packed, unpacked
from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.bills import MOST_BILLS
from pipeline.checkpoint.codec import encode
from pipeline.checkpoint.migrations import MIGRATIONS
from pipeline.price import Price


def bill(run_id: str) -> Bill:
    lengths = packed({5: 1, 700: 12})
    return Bill(run_id=run_id, model="default", price=Price(3.0), lengths=lengths, ledger=9.0, maybe=3.0, paid=None)


def test_the_newest_are_kept_and_damaged_ones_left_out(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.sqlite"
    with Checkpoint(path) as checkpoint:
        for number in range(MOST_BILLS + 3):
            checkpoint.save_run(f"run-{number}", f"2026-11-{number:04}", b"{}", bill(f"run-{number}"))
        found = checkpoint.bills()
        assert found == [bill(f"run-{number}") for number in range(3, MOST_BILLS + 3)]
    with sqlite3.connect(path) as db:
        db.execute("UPDATE bills SET row = x'00' WHERE run_id = 'run-5'")
        db.execute("UPDATE bills SET row = 'text' WHERE run_id = 'run-6'")
        db.execute("UPDATE bills SET row = substr(row, 1, 90) WHERE run_id = 'run-7'")
        [(row,)] = db.execute("SELECT row FROM bills WHERE run_id = 'run-8'")
        db.execute("UPDATE bills SET row = ? WHERE run_id = 'run-8'", (row.replace(b"default", b"defaul\xff"),))
        free = encode(msgspec.structs.replace(bill("run-9"), price=Price(0.0)))
        db.execute("UPDATE bills SET row = ? WHERE run_id = 'run-9'", (free,))
    with Checkpoint(path, only_read=True) as checkpoint:
        assert len(checkpoint.bills()) == MOST_BILLS - 5


def test_a_million_lengths_take_little_room() -> None:
    numbers, counted = random.Random(1), LengthCounts()
    for _ in range(200_000):
        counted.add(numbers.uniform(0, 300), 5)
    assert counted.requests.total() == 1_000_000
    seconds = sum(length * LENGTH_S * count for length, count in counted.requests.items())
    assert seconds == pytest.approx(150 * 1_000_000, rel=0.01)
    kept = packed(counted.requests)
    assert len(kept) < 100_000
    assert unpacked(kept) == counted.requests


def test_a_checkpoint_of_version_9_gets_the_table(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.sqlite"
    with Checkpoint(path):
        pass
    with sqlite3.connect(path) as db:
        db.executescript(
            """DROP TABLE bills; DROP TABLE removing; ALTER TABLE utterances DROP COLUMN removed;
               DROP INDEX selected; ALTER TABLE utterances DROP COLUMN step;
               ALTER TABLE utterances DROP COLUMN remote_span;
               CREATE INDEX selected ON utterances (n); PRAGMA user_version = 9;"""
        )
    with Checkpoint(path, only_read=True) as checkpoint:
        assert checkpoint.bills() == []
    with Checkpoint(path) as checkpoint:
        checkpoint.save_run("run", "2026-11-29", None, bill("run"))
        assert checkpoint.bills() == [bill("run")]
    assert "bills" in MIGRATIONS[9]
