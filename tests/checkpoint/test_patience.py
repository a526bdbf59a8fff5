"""A checkpoint that cannot be written for now is tried again, and what is pending stays in memory meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from pipeline.checkpoint import Checkpoint, Finished, Patience, Sent, Store
from pipeline.checkpoint.patience import reason_of
from pipeline.checkpoint.sqlite_errors import unusable
from pipeline.errors import CheckpointError
from tests.records import attempt, scanned, transcript


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        checkpoint.scan([scanned("a")], "m.csv")
        checkpoint.merge(())
        yield checkpoint


@contextmanager
def locked(checkpoint: Checkpoint) -> Iterator[None]:
    with closing(sqlite3.connect(checkpoint.path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


def full_disk(checkpoint: Checkpoint, *, pages: int) -> None:
    """As SQLite tells it; fewer pages than there are count as those."""
    checkpoint._db.execute(f"PRAGMA max_page_count = {pages}")


def add_answer(journal: Store) -> None:
    journal.add(Sent(attempt=attempt("a")), Finished(n=1, transcript=transcript("a")))


def test_a_full_disk_is_waited_for_and_told_when_it_begins_and_ends(checkpoint: Checkpoint) -> None:
    told: list[bool] = []

    async def run() -> None:
        journal = Store(checkpoint)

        def on_wait(waits: bool) -> None:
            told.append(waits)
            if waits:
                full_disk(checkpoint, pages=1 << 30)

        journal.patience.on_wait = on_wait
        full_disk(checkpoint, pages=1)
        journal.add(Finished(n=1, transcript=transcript("a", text="word " * 10_000)))
        journal.close()
        await journal.keep()
        journal.release()

    asyncio.run(run())
    assert told == [True, False]
    assert checkpoint.totals().done == 1


@pytest.mark.slow
def test_what_could_be_written_at_the_last_moment_is_not_told_as_lost(checkpoint: Checkpoint) -> None:
    async def run() -> str:
        journal = Store(checkpoint, Patience(0.1))
        with locked(checkpoint):
            add_answer(journal)
            with pytest.raises(CheckpointError, match="end the program that holds it"):
                await journal.keep()
        add_answer(journal)
        try:
            return await journal.last_try()
        finally:
            journal.release()

    assert asyncio.run(run()) == "no answer that came is lost"
    assert checkpoint.pending_attempts() == 2


@pytest.mark.slow
def test_what_could_not_be_written_at_all_is_told_with_its_price(checkpoint: Checkpoint) -> None:
    async def run() -> str:
        journal = Store(checkpoint, Patience(0.1))
        with locked(checkpoint):
            add_answer(journal)
            with pytest.raises(CheckpointError):
                await journal.keep()
            add_answer(journal)
            journal.add(Sent(attempt=msgspec.structs.replace(attempt("a"), outcome="CutOff", credits=9.0)))
            told = await journal.last_try()
        journal.release()
        return told

    assert asyncio.run(run()) == (
        "answers that are lost and will be paid again: 2 (12 credits); unanswered, may have been billed: 1 (9 credits)"
    )


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, True),
        (sqlite3.SQLITE_LOCKED, True),
        (sqlite3.SQLITE_FULL, True),
        (sqlite3.SQLITE_IOERR_WRITE, True),
        (sqlite3.SQLITE_IOERR_FSYNC, True),
        (sqlite3.SQLITE_IOERR_READ, False),
        (sqlite3.SQLITE_READONLY, False),
        (sqlite3.SQLITE_CORRUPT, False),
    ],
)
def test_only_what_may_pass_is_waited_for(tmp_path: Path, code: int, passes: bool) -> None:
    cause = sqlite3.OperationalError("told")
    cause.sqlite_errorcode = code
    error = unusable(tmp_path / "checkpoint.sqlite", cause)
    error.__cause__ = cause
    assert (reason_of(error) is not None) == passes


def test_what_merely_takes_long_is_told_as_well_and_what_is_quick_is_not() -> None:
    async def run() -> list[bool]:
        told: list[bool] = []
        is_held = asyncio.Event()

        def on_wait(waits: bool) -> None:
            told.append(waits)
            is_held.set()

        patience = Patience()
        patience.on_wait = on_wait
        with patience.watching():
            pass
        assert not told
        with patience.watching():
            await is_held.wait()
        return told

    assert asyncio.run(run()) == [True, False]
