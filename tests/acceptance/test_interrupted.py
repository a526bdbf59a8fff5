"""Runs that are killed, stopped or cut off, and what the next run finds."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.batch import Corpus, batch, finish, jsonl_rows_of, rows_of, start_batch, table_of
from tests.forked import Started
from tests.servers import RunningServer, start_server, wait_for_answers


def test_after_kill_9_nothing_is_lost_or_doubled_and_little_is_sent_again(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=120)
    in_flight, kills = 4, 3
    with start_server(latency_s=0.02) as server:
        args = ("run", corpus.folder, "--out", out, "--concurrency", str(in_flight), "--set", "sink.rows_per_part=10")
        for kill in range(1, kills + 1):
            process = start_batch(*args, server=server)
            wait_for_answers(server, kill * 25)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert batch(*args, server=server).exit == 0
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
        one_window = 4  # answers of 50 ms at 20 ms each and 4 in flight come to 10; most are committed by then
        assert server.stats()["answered"] - 120 <= kills * (in_flight + one_window + 6)


def wait_for_notes(server: RunningServer, out: Path, *, requests: int, noted: int, ended: int) -> None:
    """Until the server has so many requests, so many are noted as in flight and so many ends are committed."""
    deadline = time.monotonic() + 30
    while server.stats()["requests"] < requests:
        assert time.monotonic() < deadline, "the server was not asked"
    db = sqlite3.connect(f"{(out / 'checkpoint.sqlite').as_uri()}?mode=ro", uri=True)
    try:
        found = None
        while found != (requests, noted, ended):
            assert time.monotonic() < deadline, found
            in_flight, attempts = db.execute(
                "SELECT (SELECT count(*) FROM open_attempts), (SELECT count(*) FROM attempts)"
            ).fetchone()
            found = (server.stats()["requests"], in_flight, attempts)
    finally:
        db.close()


def kill(process: Started) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_the_ledger_has_what_was_in_flight_at_each_kill_once(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=10)
    hang = '[[fault]]\nkind = "hang"\nafter_requests = 2\nuntil_requests = 10'
    told = "4 requests were in flight when the last run was ended; they may have been billed (6 credits)"
    args = ("run", corpus.folder, "--out", out, "--concurrency", "4")
    with start_server(faults=hang) as server:
        process = start_batch(*args, server=server)
        wait_for_notes(server, out, requests=6, noted=4, ended=2)
        kill(process)
        assert json.loads(batch("status", out, "--json").stdout)["credits"] == 9.0
        process = start_batch(*args, server=server)
        wait_for_notes(server, out, requests=10, noted=4, ended=6)  # published with the rest
        kill(process)
        last = batch(*args, server=server)
        assert last.exit == 0
        assert last.stderr.count(told) == 1
        assert "in flight" not in batch(*args, server=server).stderr
        ledger = table_of(out, "attempts").to_pylist()
        assert len(ledger) == server.stats()["requests"] == 18
    cut = [row for row in ledger if row["outcome"] == "CutOff"]
    assert [(row["billed"], row["credits"]) for row in cut] == [("maybe", 1.5)] * 8
    assert len({(row["run_id"], row["id"], row["clip"], row["attempt"]) for row in ledger}) == 18
    assert {row["id"] for row in ledger if row["outcome"] == "ok"} == corpus.texts.keys()
    assert json.loads(batch("status", out, "--json").stdout)["credits"] == sum(row["credits"] for row in ledger) == 27.0
    assert sum(row["attempts"] for row in table_of(out).to_pylist()) == 18
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


@pytest.mark.slow
def test_answers_that_a_full_disk_kept_out_are_in_the_ledger_of_the_next_run(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4)
    with start_server(latency_s=2) as server:
        args = ("run", corpus.folder, "--out", out, "--concurrency", "4", "--set", "timeouts.checkpoint_s=1")
        process = start_batch(*args, server=server)
        wait_for_notes(server, out, requests=4, noted=4, ended=0)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        full = finish(process)
        assert full.exit == 1
        assert "make room" in full.stderr
        assert "answers that are lost and will be paid again: 4 (6 credits)" in full.stderr
        again = batch(*args, server=server)
        assert again.exit == 0
        assert "4 requests were in flight when the last run was ended" in again.stderr
        ledger = table_of(out, "attempts").to_pylist()
        assert len(ledger) == server.stats()["requests"] == 8
    assert sorted(row["outcome"] for row in ledger) == ["CutOff"] * 4 + ["ok"] * 4
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_answers_in_flight_come(tmp_path: Path, out: Path, number: signal.Signals, status: int) -> None:
    corpus = Corpus(tmp_path / "audio", count=60)
    with start_server(latency_s=0.2) as server:
        args = ("run", corpus.folder, "--out", out, "--concurrency", "4")
        process = start_batch(*args, server=server)
        wait_for_answers(server, 8)
        process.send_signal(number)
        result = finish(process)
        assert result.exit == status
        assert 0 < result.figures["done"] < 60
        # every answer the server gave is in the output
        assert server.stats()["answered"] == len(rows_of(out)) == result.figures["done"]
        assert batch(*args, "--concurrency", "32", server=server).exit == 0
        assert server.stats()["answered"] == 60
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_a_second_signal_cuts_what_is_in_flight(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4)
    with start_server(faults='[[fault]]\nkind = "hang"\nprobability = 1.0') as server:
        process = start_batch("run", corpus.folder, "--out", out, server=server)
        deadline = time.monotonic() + 30
        while server.stats()["requests"] < 4:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            _exited_within(process, 0.5)
        process.send_signal(signal.SIGTERM)
        result = finish(process)
        assert result.exit == 143
        assert result.figures["left"] == 4
        assert result.figures["failed"] == 0


def _exited_within(process: object, seconds: float) -> None:
    assert isinstance(process, Started)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None


@pytest.mark.slow
def test_max_duration_stops_and_resumes(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=20)
    with start_server(latency_s=0.25) as server:
        args = ("run", corpus.folder, "--out", out, "--concurrency", "2")
        first = batch(*args, "--max-duration", "1.2s", server=server)
        assert first.exit == 4
        assert first.figures["left"] > 0
        assert batch(*args, "--concurrency", "32", server=server).exit == 0
        assert rows_of(out) == corpus.texts
        assert server.stats()["answered"] == 20


def test_a_second_run_on_one_output_is_told_who_holds_it(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=10)
    with start_server(latency_s=0.3) as server:
        args = ("run", corpus.folder, "--out", out, "--concurrency", "2")
        process = start_batch(*args, server=server)
        wait_for_answers(server, 1)
        process.send_signal(signal.SIGSTOP)  # however slow the machine is: it holds the output while the other asks
        second = batch(*args, server=server)
        process.send_signal(signal.SIGCONT)
        assert second.exit == 5
        assert f"pid {process.pid}" in second.stderr
        assert finish(process).exit == 0
        assert rows_of(out) == corpus.texts
