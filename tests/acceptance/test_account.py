"""Answers that blame the account: believed where the balance says the same, else waited out or one recording's own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.batch import Corpus, batch, errors_of, rows_of, table_of
from tests.servers import start_server

FAST = ("--set", "retry.base_s=0.02", "--set", "retry.probe_s=0.05", "--progress", "off")
KEY_WORDS = "API key is revoked or expired"


def fault(kind: str, more: str = "") -> str:
    return f'[[fault]]\nkind = "{kind}"\n{more}\n'


def requests_of(out: Path) -> list[tuple[float, float, str]]:
    """(start, end, outcome) of each, in seconds."""
    rows = table_of(out, "attempts").sort_by("started_at").to_pylist()
    return [
        (row["started_at"].timestamp(), row["started_at"].timestamp() + row["latency_s"], row["outcome"])
        for row in rows
    ]


@pytest.mark.slow
def test_a_revoked_key_ends_a_run_with_many_in_flight_within_a_second(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=300)
    with start_server(faults=fault("key_revoked", "after_requests = 100"), latency_s=0.2) as server:
        result = batch("run", corpus.folder, "--out", out, "--concurrency", "32", *FAST, server=server)
        ended = time.time()
    assert result.exit == 1, result.stderr
    assert KEY_WORDS in result.stderr
    assert result.figures["done"] == 100
    assert errors_of(out) == {}
    requests = requests_of(out)
    first = min(end for _, end, outcome in requests if outcome == "KeyRefused")
    assert sum(start > first for start, _, _ in requests) <= 32
    assert ended - first < 1


@pytest.mark.parametrize("after", [0, 20])
@pytest.mark.parametrize("words", [KEY_WORDS, "Insufficient credits"])
def test_one_request_that_blames_the_account_does_not_stop_the_run(
    tmp_path: Path, out: Path, words: str, after: int
) -> None:
    corpus = Corpus(tmp_path / "audio", count=40)
    once = fault("policy", f'message = "{words}"\nat_most = 1\nafter_requests = {after}')
    with start_server(faults=once) as server:
        result = batch("run", corpus.folder, "--out", out, *FAST, server=server)
        assert server.stats()["requests"] == 41
    assert result.exit == 0, result.stderr
    assert "which the balance does not confirm: the account holds" in result.stderr
    assert rows_of(out) == corpus.texts


@pytest.mark.slow
def test_a_recording_that_always_draws_it_is_named_and_stops_no_night(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    odd = fault("policy", f'message = "{KEY_WORDS}"\nfile = "{corpus.folder}/00003.wav"')
    with start_server(faults=odd) as server:
        first = batch("run", corpus.folder, "--out", out, *FAST, server=server)
        assert first.exit == 3, first.stderr
        assert "00003.wav" in first.stderr
        assert errors_of(out) == {"00003.wav": "AccountDoubted"}
        corpus.add(12)
        again = batch("run", corpus.folder, "--out", out, *FAST, server=server)
        assert again.exit == 3, again.stderr
        assert len(rows_of(out)) == 12


def test_spent_credits_are_told_with_both_figures(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=30)
    with start_server(faults=fault("credits_spent", "after_audio_s = 5")) as server:
        result = batch("run", corpus.folder, "--out", out, *FAST, server=server)
    assert result.exit == 1, result.stderr
    assert "the account holds 0 credits and the refused request takes 2: " in result.stderr
    assert errors_of(out) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        pytest.param("until_s = 1.5", id="first"),
        pytest.param("after_s = 0.3\nuntil_s = 1.5", id="later"),
    ],
)
def test_pages_of_a_cdn_are_waited_out(tmp_path: Path, out: Path, more: str) -> None:
    corpus = Corpus(tmp_path / "audio", count=200)
    with start_server(faults=fault("page", more), latency_s=0.02) as server:
        result = batch("run", corpus.folder, "--out", out, "--concurrency", "8", *FAST, server=server)
    assert result.exit == 0, result.stderr
    assert rows_of(out) == corpus.texts
    assert errors_of(out) == {}
    outcomes = [outcome for _, _, outcome in requests_of(out)]
    assert 8 <= outcomes.count("AccessDenied") < 40


@pytest.mark.slow
def test_pages_that_do_not_end_end_the_run_as_an_outage(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=60)
    with start_server(faults=fault("page")) as server:
        args = ("--set", "retry.outage_max_s=1", *FAST)
        result = batch("run", corpus.folder, "--out", out, *args, server=server)
        assert result.exit == 1, result.stderr
        assert "(retry.outage_max_s); nothing is lost" in result.stderr
        assert errors_of(out) == {}
