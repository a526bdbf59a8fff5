"""Requests in flight: noted while they last, in the ledger when their end is never seen, once whatever happens."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline.checkpoint import Checkpoint, Sent, Started, Store
from pipeline.checkpoint.events import Event
from pipeline.model import Attempt
from tests.forked import run_forked
from tests.records import attempt, scanned

NAMES = ("a", "b", "c")


def in_flight(name: str, number: int = 1) -> Attempt:
    return msgspec.structs.replace(attempt(name), attempt=number, outcome="CutOff", billed="maybe")


def ended(name: str, number: int = 1) -> Sent:
    return Sent(attempt=msgspec.structs.replace(attempt(name), attempt=number))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.sqlite"


@pytest.fixture
def checkpoint(path: Path) -> Iterator[Checkpoint]:
    with Checkpoint(path) as opened:
        opened.scan([scanned(name) for name in NAMES], "m.csv")
        opened.merge(())
        yield opened


def noted(path: Path) -> list[tuple[str, int]]:
    db = sqlite3.connect(path)
    try:
        return db.execute("SELECT id, attempt FROM open_attempts ORDER BY id, attempt").fetchall()
    finally:
        db.close()


def ledger(checkpoint: Checkpoint) -> list[tuple[str, int, str]]:
    return sorted((row.id, row.attempt, row.outcome) for _, row in checkpoint.attempts(100))


def requests(checkpoint: Checkpoint) -> dict[str, int]:
    return {found.utterance.id: found.attempts for found in checkpoint.next_rows(None, 100)}


def test_a_request_whose_end_is_never_seen_becomes_an_attempt_once(checkpoint: Checkpoint, path: Path) -> None:
    checkpoint.apply([Started(attempt=in_flight(name)) for name in NAMES])
    checkpoint.apply([ended("a"), Started(attempt=in_flight("a", 2)), ended("b")])
    assert noted(path) == [("a", 2), ("c", 1)]
    assert checkpoint.totals().credits == 24.0, "what is in flight may be billed as well"
    with Checkpoint(path) as later:
        assert {(row.id, row.attempt) for row in later.end_open_attempts()} == {("a", 2), ("c", 1)}
        assert later.end_open_attempts() == []
        assert ledger(later) == [("a", 1, "ok"), ("a", 2, "CutOff"), ("b", 1, "ok"), ("c", 1, "CutOff")]
        assert requests(later) == {"a": 2, "b": 1, "c": 1}
        assert later.totals().credits == later.fact("credits", float) == 24.0


def commit(checkpoint: Checkpoint, *events: Event) -> None:
    """Has the journal write them in one window."""

    async def run() -> None:
        journal = Store(checkpoint)
        try:
            journal.add(*events)
            journal.close()
            await journal.keep()
        finally:
            journal.release()

    asyncio.run(run())


def test_a_request_that_ends_in_the_window_it_began_in_is_never_noted(checkpoint: Checkpoint, path: Path) -> None:
    statements: list[str] = []
    checkpoint._db.set_trace_callback(statements.append)
    commit(checkpoint, Started(attempt=in_flight("a")), Started(attempt=in_flight("b")), ended("a"))
    assert noted(path) == [("b", 1)]
    assert ledger(checkpoint) == [("a", 1, "ok")]
    [insert] = [text for text in statements if "open_attempts" in text]
    assert "'b'" in insert


def test_a_note_goes_with_the_end_in_a_later_window(checkpoint: Checkpoint, path: Path) -> None:
    commit(checkpoint, Started(attempt=in_flight("a")), Started(attempt=in_flight("b")))
    assert noted(path) == [("a", 1), ("b", 1)]
    commit(checkpoint, ended("a"), Started(attempt=in_flight("a", 2)))
    assert noted(path) == [("a", 2), ("b", 1)]
    assert ledger(checkpoint) == [("a", 1, "ok")]


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from pipeline.checkpoint import Checkpoint

with Checkpoint(Path(sys.argv[1])) as checkpoint:
    left = int(sys.argv[2])

    def count(statement):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint._db.set_trace_callback(count)
    checkpoint.end_open_attempts()
"""


def test_killed_at_any_statement_of_the_taking_over_nothing_is_taken_twice_or_lost(
    checkpoint: Checkpoint, path: Path
) -> None:
    checkpoint.apply([Started(attempt=in_flight(name)) for name in NAMES])
    kills = 0
    while run_forked([KILLED_AT, str(path), str(kills + 1)], os.environ, kind="python")[0]:
        kills += 1
        assert noted(path) == [("a", 1), ("b", 1), ("c", 1)]
        assert ledger(checkpoint) == []
        assert not checkpoint.fact("credits", float)
        assert kills < 100
    assert kills > 3 * len(NAMES)
    assert noted(path) == []
    assert ledger(checkpoint) == [(name, 1, "CutOff") for name in NAMES]
    assert requests(checkpoint) == dict.fromkeys(NAMES, 1)
    assert checkpoint.fact("credits", float) == 18.0
