"""Another program has the checkpoint locked: it is waited for, and nothing is sent meanwhile."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.at_work import WAITS, AtWork, nothing_is_sent
from tests.batch import Corpus, batch, jsonl_rows_of, rows_of, table_of
from tests.servers import RunningServer, start_server, wait_for_answers


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Another program that writes into the checkpoint and takes its time."""
    with closing(sqlite3.connect(out / "checkpoint.sqlite", timeout=30, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


@pytest.mark.slow
def test_a_foreign_lock_is_waited_for_with_nothing_sent_and_nothing_lost(
    tmp_path: Path, out: Path, start: Callable[..., AtWork]
) -> None:
    corpus = Corpus(tmp_path / "audio", count=100)
    with start_server(latency_s=0.05) as server:
        run = start(server, "run", corpus.folder, "--out", out, "--concurrency", "4")
        wait_for_answers(server, 12)
        with locked(out):
            run.says(WAITS)
            nothing_is_sent(server)
        result = run.finished()
        assert result.exit == 0, result.stderr
        assert server.stats()["requests"] == 100
    assert result.stderr.count(WAITS) == 1
    assert "is locked by another program" in result.stderr
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    assert table_of(out, "attempts").num_rows == 100


@pytest.mark.slow
def test_a_lock_of_twelve_seconds_costs_no_answer(tmp_path: Path, out: Path, start: Callable[..., AtWork]) -> None:
    corpus = Corpus(tmp_path / "audio", count=400)
    with start_server(latency_s=0.05) as server:
        run = start(server, "run", corpus.folder, "--out", out, "--concurrency", "32")
        wait_for_answers(server, 40)
        with locked(out):
            time.sleep(12)
        assert run.finished().exit == 0
        assert server.stats()["requests"] == 400
    assert rows_of(out) == corpus.texts


@pytest.mark.parametrize("first", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_lock_before_the_first_request_is_waited_for(
    tmp_path: Path, out: Path, server: RunningServer, start: Callable[..., AtWork], first: bool
) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    args = ("run", corpus.folder, "--out", out)
    if first:
        out.mkdir()
        (out / "checkpoint.sqlite").touch()
    else:
        assert batch(*args, server=server).exit == 0
        corpus.add(7)
    with locked(out):
        run = start(server, *args)
        run.says(WAITS)
    assert run.finished().exit == 0
    assert rows_of(out) == corpus.texts


@pytest.mark.slow
def test_a_stop_is_heard_while_the_checkpoint_is_waited_for(
    tmp_path: Path, out: Path, start: Callable[..., AtWork]
) -> None:
    corpus = Corpus(tmp_path / "audio", count=60)
    with start_server(latency_s=0.3) as server:
        run = start(server, "run", corpus.folder, "--out", out, "--concurrency", "4")
        wait_for_answers(server, 4)
        with locked(out):
            run.says(WAITS)
            run.process.send_signal(signal.SIGTERM)
            run.says("stopping at SIGTERM")
        result = run.finished()
        assert result.exit == 143, result.stderr
        assert server.stats()["answered"] == result.figures["done"] == len(rows_of(out))


@pytest.mark.slow
def test_a_stop_under_a_lock_that_stays_ends_in_bounded_time_and_says_what_is_lost(
    tmp_path: Path, out: Path, start: Callable[..., AtWork]
) -> None:
    corpus = Corpus(tmp_path / "audio", count=60)
    args = ("run", corpus.folder, "--out", out, "--concurrency", "4")
    with start_server(latency_s=0.1) as server:
        run = start(server, *args)
        wait_for_answers(server, 4)
        with locked(out):
            run.says(WAITS)
            nothing_is_sent(server)
            begun = time.monotonic()
            run.process.send_signal(signal.SIGTERM)
            result = run.finished()
            assert time.monotonic() - begun < 20
        answered = server.stats()["answered"]
    assert result.exit == 1
    assert "end the program that holds it" in result.stderr
    assert "make room" not in result.stderr
    with start_server() as server:
        assert batch(*args, server=server).exit == 0
        lost = answered + server.stats()["answered"] - 60
    assert f"answers that are lost and will be paid again: {lost} ({lost * 1.5:,.0f} credits)" in result.stderr
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


@pytest.mark.slow
def test_a_lock_that_stays_ends_the_run_once_the_time_for_it_is_over(
    tmp_path: Path, out: Path, start: Callable[..., AtWork]
) -> None:
    corpus = Corpus(tmp_path / "audio", count=40)
    args = ("run", corpus.folder, "--out", out, "--concurrency", "4")
    with start_server(latency_s=0.1) as server:
        run = start(server, *args, "--set", "timeouts.checkpoint_s=1.5")
        wait_for_answers(server, 4)
        with locked(out):
            result = run.finished()
    assert result.exit == 1
    assert "answers that are lost and will be paid again" in result.stderr
    assert result.stderr.count("gradium-batch: ") == 1
