"""Unattended against a hostile service: each class of fault gets its own answer.

The full-size figures (2,000 items, an outage of a minute) are measured by hand; these are the same runs, smaller.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.batch import Corpus, batch, errors_of, jsonl_rows_of, rows_of, table_of
from tests.servers import start_server

FAST = ("--set", "retry.base_s=0.02", "--progress", "off")
PASSING = (
    "internal_error",
    "unavailable",
    "bad_gateway",
    "proxy_rejection",
    "reset_before_answer",
    "reset_in_stream",
    "stream_error",
    "malformed_line",
    "empty_200",
)
HARMLESS = (
    "duplicate_messages",
    "untidy_lines",
    "odd_chunks",
    "unknown_types",
    "no_ready",
    "no_end_of_stream",
    "open_end",
)


def faults(*kinds: str, probability: float, more: str = "") -> str:
    each = probability / len(kinds)
    return "seed = 7\n" + "".join(f'[[fault]]\nkind = "{kind}"\nprobability = {each}\n{more}' for kind in kinds)


def test_mixed_passing_faults_lose_and_double_no_word(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=300)
    text = faults(*PASSING, probability=0.3) + faults(*HARMLESS, probability=0.3).removeprefix("seed = 7\n")
    # "unsupported content type" is what a broken file looks like too; here it is the proxy's mood
    text = text.replace('kind = "proxy_rejection"', 'kind = "proxy_rejection"\nmessage = "upstream is restarting"')
    with start_server(faults=text.replace('"unavailable"', '"unavailable"\nretry_after_s = 0')) as server:
        result = batch("run", corpus.folder, "--out", out, *FAST, server=server)
        assert result.exit == 0, result.stderr
        assert server.stats()["requests"] > 380
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    summary = json.loads((out / "summary.json").read_text())
    assert summary["unknown_refusals"].keys() == {"upstream is restarting"}


@pytest.mark.slow
@pytest.mark.parametrize("dress", ["policy", "rate_limited", "in_stream"])
def test_the_plans_limit_is_found_kept_and_remembered(tmp_path: Path, out: Path, dress: str) -> None:
    corpus = Corpus(tmp_path / "audio", count=150)
    cap = f'[[fault]]\nkind = "session_cap"\ncap = 3\ndress = "{dress}"\n'
    with start_server(faults=cap, latency_s=0.03) as server:
        result = batch("run", corpus.folder, "--out", out, "--concurrency", "32", *FAST, server=server)
        assert result.exit == 0
        assert rows_of(out) == corpus.texts
        refused = [row for row in _attempts(out) if row["outcome"] != "ok"]
        assert len(refused) <= 10
        assert "plan's limit  3 requests at a time" in result.stderr
        before = len(_attempts(out))
        again = batch("run", corpus.folder, "--out", out, "--only", "all", "--limit", "40", *FAST, server=server)
        assert again.exit == 4
        assert [row["outcome"] for row in _attempts(out)[before:]] == ["ok"] * 40


@pytest.mark.slow
def test_sessions_that_stay_counted_for_a_moment_do_not_lower_the_limit(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=60)
    cap = '[[fault]]\nkind = "session_cap"\ncap = 3\n'
    with start_server(faults=cap, latency_s=0.1, linger_s=0.1) as server:
        result = batch("run", corpus.folder, "--out", out, "--concurrency", "32", *FAST, server=server)
        assert result.exit == 0
        assert rows_of(out) == corpus.texts
        assert "plan's limit  3 requests at a time" in result.stderr
        assert sum(row["outcome"] != "ok" for row in _attempts(out)) <= 40


def test_a_revoked_key_stops_the_run_at_once_and_marks_nothing_as_failed(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=200)
    with start_server(faults='[[fault]]\nkind = "key_revoked"\nafter_requests = 60') as server:
        result = batch("run", corpus.folder, "--out", out, "--concurrency", "8", *FAST, server=server)
        assert result.exit == 1
        assert "API key is revoked or expired" in result.stderr
        assert result.figures["done"] == 60
        assert errors_of(out) == {}
        first = min(_end(row) for row in _attempts(out) if row["outcome"] == "KeyRefused")
        assert sum(row["started_at"].timestamp() > first for row in _attempts(out)) <= 8
    with start_server() as healthy:
        assert batch("run", corpus.folder, "--out", out, *FAST, server=healthy).exit == 0
        assert healthy.stats()["answered"] == 140
    assert rows_of(out) == corpus.texts


def test_spent_credits_stop_the_run(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=60)
    with start_server(faults='[[fault]]\nkind = "credits_spent"\nafter_audio_s = 10') as server:
        result = batch("run", corpus.folder, "--out", out, *FAST, server=server)
        assert result.exit == 1
        assert result.figures["done"] == 20
        assert errors_of(out) == {}


@pytest.mark.slow
def test_an_outage_is_waited_out_with_few_probes_and_costs_nobody_an_attempt(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=200)
    gone = '[[fault]]\nkind = "connection_refused"\nafter_requests = 60\nfor_s = 4'
    with start_server(faults=gone, latency_s=0.02) as server:
        args = ("--concurrency", "16", "--set", "retry.max_attempts=2", *FAST)
        result = batch("run", corpus.folder, "--out", out, *args, server=server)
    assert result.exit == 0, result.stderr
    assert rows_of(out) == corpus.texts
    failed = [row for row in _attempts(out) if row["outcome"] != "ok"]
    # what was in flight, what was sent before the circuit breaker opened (more on a busy machine), and the probes
    assert len(failed) <= 2 * 16 + 6
    assert json.loads((out / "summary.json").read_text())["outages"] == 1


@pytest.mark.slow
def test_an_outage_that_does_not_end_ends_the_run_resumable(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=80)
    with start_server(faults=faults("internal_error", probability=1.0, more="after_requests = 30\n")) as server:
        args = ("--set", "retry.outage_max_s=0.5", "--set", "retry.probe_s=0.1", *FAST)
        result = batch("run", corpus.folder, "--out", out, *args, server=server)
    assert result.exit == 1
    assert "the service has failed for everybody" in result.stderr
    assert errors_of(out) == {}
    assert result.figures["done"] == 30
    with start_server() as healthy:
        assert batch("run", corpus.folder, "--out", out, *FAST, server=healthy).exit == 0
    assert rows_of(out) == corpus.texts


def test_a_few_poisoned_files_are_no_outage(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=30)
    text = "".join(
        f'[[fault]]\nkind = "stream_error"\nmessage = "decoder lost its way"\nfile = "{corpus.folder}/{n:05d}.wav"\n'
        for n in (3, 9)
    )
    with start_server(faults=text) as server:
        args = ("run", corpus.folder, "--out", out, *FAST)
        assert batch(*args, server=server).exit == 3
        assert errors_of(out) == {"00003.wav": "RepeatedStreamError", "00009.wav": "RepeatedStreamError"}
        assert sum(row["id"] == "00003.wav" for row in _attempts(out)) == 6
        before = server.stats()["requests"]
        assert batch(*args, server=server).exit == 0
        assert server.stats()["requests"] == before, "their own fault: not sent again every night"


def test_settings_refused_as_empty_answers_stop_the_run(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=100)
    with start_server(faults=faults("empty_200", probability=1.0)) as server:
        result = batch("run", corpus.folder, "--out", out, *FAST, server=server)
        assert result.exit == 2
        assert "check service.json_config" in result.stderr
        assert server.stats()["requests"] <= 8
    assert errors_of(out) == {}


def test_the_budget_is_never_exceeded_whatever_is_in_flight(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=100)
    with start_server(faults=faults("stream_error", probability=0.2), latency_s=0.02) as server:
        result = batch("run", corpus.folder, "--out", out, "--budget", "60", *FAST, server=server)
        assert result.exit == 4
        assert result.figures["left"] > 0
        spent = sum(row["credits"] for row in _attempts(out))
        assert 58.5 <= spent <= 60.0
        assert server.stats()["credits_charged"] <= 60.0
        assert batch("run", corpus.folder, "--out", out, *FAST, server=server).exit == 0
    assert rows_of(out) == corpus.texts


def test_a_low_balance_warns_or_stops_before_anything_is_sent(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=10, seconds=2.0)
    with start_server(credits=5) as server:
        args = ("run", corpus.folder, "--out", out, "--set", "service.require_credits=true", *FAST)
        result = batch(*args, server=server)
        assert result.exit == 1
        assert "the account holds 5 credits" in result.stderr
        assert server.stats()["requests"] == 0
    with start_server(credits=40) as server:
        warned = batch("run", corpus.folder, "--out", out, "--limit", "2", *FAST, server=server)
        assert "the account holds 40 credits" not in warned.stderr, "two items take less than that"


@pytest.mark.slow
def test_hanging_and_dripping_answers_cost_a_deadline_each_and_not_the_night(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=120)
    text = faults("hang", "drip", probability=0.05, more="times = 1\n")
    args = ("--set", "timeouts.idle_s=0.5", "--set", "timeouts.attempt_base_s=0.5", *FAST)
    with start_server(faults=text, latency_s=0.1) as server:
        started = time.monotonic()
        result = batch("run", corpus.folder, "--out", out, *args, server=server)
        assert time.monotonic() - started < 30
        assert result.exit == 0, result.stderr
        assert server.stats()["requests"] > 120
    assert rows_of(out) == corpus.texts
    assert {row["outcome"] for row in _attempts(out)} == {"ok", "AttemptTimeout"}


def _attempts(out: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = table_of(out, "attempts").sort_by("started_at").to_pylist()
    return rows


def _end(row: dict[str, object]) -> float:
    return row["started_at"].timestamp() + row["latency_s"]  # type: ignore[attr-defined,operator]
