"""Every run ends, whatever the service does: with the exit status, the reason and the bill that are right."""

from __future__ import annotations

import csv
import gzip
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.batch import Corpus, batch, errors_of, rows_of, table_of
from tests.gradium.scripted import Scripted, answer
from tests.servers import KEY, RunningServer, start_server

FAST = ("--set", "retry.base_s=0.02", "--set", "retry.probe_s=0.05", "--progress", "off")


def on_files(corpus: Corpus, numbers: range, fault: str) -> str:
    return "".join(f'[[fault]]\nfile = "{corpus.folder}/{n:05d}.wav"\n{fault}\n' for n in numbers)


def requests_of(out: Path) -> Counter[str]:
    return Counter(table_of(out, "attempts")["id"].to_pylist())


def outcomes_of(out: Path) -> set[str]:
    return set(table_of(out, "attempts")["outcome"].to_pylist())


def test_a_few_files_that_always_draw_1011_fail_and_the_run_ends(tmp_path: Path, out: Path) -> None:
    bad = 3
    corpus = Corpus(tmp_path / "audio", count=20 + bad)
    with start_server(faults=on_files(corpus, range(bad), 'kind = "internal_error"')) as server:
        result = batch("run", corpus.folder, "--out", out, *FAST, server=server)
    assert result.exit == 3, result.stderr
    assert errors_of(out) == {f"{n:05d}.wav": "ServerFault" for n in range(bad)}
    assert all(requests_of(out)[name] == 6 for name in errors_of(out))
    assert len(rows_of(out)) == 20


def test_a_captive_portal_is_told_as_what_it_is_after_the_attempts_of_each_row(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    page = answer(b"<html><body>Please log in</body></html>", headers={"Content-Type": "text/html"})
    with Scripted(page) as portal:
        result = batch(
            "run", corpus.folder, "--out", out, *FAST, GRADIUM_API_KEY=KEY, GRADIUM_BATCH_SERVICE__URL=portal.url
        )
    assert result.exit == 3, result.stderr
    assert errors_of(out) == dict.fromkeys(corpus.texts, "StreamMalformed")
    assert set(requests_of(out).values()) == {6}


def test_files_that_are_all_malformed_are_failures_and_no_outage(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    with start_server(faults='[[fault]]\nkind = "malformed_line"') as server:
        result = batch("run", corpus.folder, "--out", out, *FAST, server=server)
        assert server.stats()["requests"] <= 12 * 6
    assert result.exit == 3, result.stderr
    assert errors_of(out) == dict.fromkeys(corpus.texts, "StreamMalformed")
    assert set(requests_of(out).values()) == {6}


@pytest.mark.slow
def test_a_pause_with_the_budget_nearly_used_up_ends(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=20, seconds=1.0)
    with start_server(faults='[[fault]]\nkind = "rate_limited"\nretry_after_s = 1\nat_most = 2') as server:
        result = batch("run", corpus.folder, "--out", out, "--budget", "6", *FAST, server=server)
    assert result.exit == 4, result.stderr
    assert result.figures["credits"] == 6
    assert result.figures["done"] == 2


@pytest.mark.slow
def test_an_outage_ends_the_run_to_the_second_also_when_the_budget_is_nearly_used_up(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=40)
    with start_server(faults='[[fault]]\nkind = "policy"\nmessage = "something new"\nafter_requests = 2') as server:
        began = time.monotonic()
        args = ("--budget", "4.5", "--set", "retry.outage_max_s=1", "--set", "retry.probe_s=0.2", *FAST[:2])
        result = batch("run", corpus.folder, "--out", out, *args, server=server)
        assert time.monotonic() - began < 8
    assert result.exit == 1, result.stderr
    assert "the service has failed for everybody for 1 s" in result.stderr


@pytest.mark.slow
def test_a_stream_that_breaks_off_for_the_services_limits_uses_up_attempts(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=6, seconds=2.0)
    limit = 'kind = "stream_error"\nmessage = "Concurrency limit exceeded: 3 active sessions"\ncode = 1008'
    with start_server(faults=on_files(corpus, range(1), limit)) as server:
        args = ("--set", "retry.outage_max_s=20", *FAST)
        result = batch("run", corpus.folder, "--out", out, *args, server=server)
    assert result.exit == 3, result.stderr
    assert errors_of(out) == {"00000.wav": "ConcurrencyLimit"}
    assert requests_of(out)["00000.wav"] == 6


@pytest.mark.slow
def test_a_service_that_cuts_after_billing_costs_no_clip_more_than_its_attempts(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=40)
    with start_server(faults='seed = 3\n[[fault]]\nkind = "cut"\nat_byte = 90\nprobability = 0.95') as server:
        args = ("--set", "retry.outage_max_s=4", "--set", "retry.max_attempts=2", *FAST)
        result = batch("run", corpus.folder, "--out", out, *args, server=server)
    assert result.exit in (1, 3), result.stderr
    assert outcomes_of(out) <= {"ok", "StreamCut", "CutOff"}
    assert max(requests_of(out).values()) <= 2


def test_a_run_that_its_budget_stopped_says_so_when_a_limit_is_given_too(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=20)
    with start_server() as server:
        args = ("run", corpus.folder, "--out", out, *FAST)
        stopped = batch(*args, "--budget", "6", "--limit", "10", server=server)
        assert stopped.exit == 4
        assert "the budget of 6 credits" in stopped.stderr
        assert json.loads((out / "summary.json").read_text())["stopped_by"] == "the budget of 6 credits"
        limited = batch(*args, "--budget", "60", "--limit", "10", server=server)
        assert limited.exit == 4
        assert json.loads((out / "summary.json").read_text())["stopped_by"] == "--limit 10"
        assert batch(*args, "--budget", "60", "--limit", "10", server=server).exit == 0, "six were left"


@pytest.mark.parametrize("credits_", ["0", "nan"])
def test_a_budget_of_nothing_is_refused_before_anything_is_sent(
    server: RunningServer, out: Path, credits_: str
) -> None:
    before = server.stats()["requests"]
    for how in (f"--budget={credits_}", f"--set=budget.credits={credits_}"):
        result = batch("run", "manifests/sample.csv", "--out", out, how, server=server)
        assert result.exit == 2
        assert "credits above 0" in result.stderr
        assert result.last_line.endswith("exit=2")
    assert server.stats()["requests"] == before
    assert not out.exists()


def test_a_budget_of_none_lifts_the_one_of_the_configuration(tmp_path: Path, out: Path, server: RunningServer) -> None:
    corpus = Corpus(tmp_path / "audio", count=5)
    (tmp_path / "c.toml").write_text("[budget]\ncredits = 3\n")
    args = ("run", corpus.folder, "--out", out, "--config", tmp_path / "c.toml", *FAST)
    assert batch(*args, server=server).exit == 4
    assert batch(*args, "--budget", "none", server=server).exit == 0


def test_empty_answers_at_first_stop_a_run_only_where_these_settings_were_never_answered(
    tmp_path: Path, out: Path, server: RunningServer
) -> None:
    corpus = Corpus(tmp_path / "audio", count=8)
    args = ("run", corpus.folder, "--out", out, *FAST)
    assert batch(*args, "--limit", "2", server=server).exit == 4
    assert batch(*args, "--limit", "1", "--set", "service.json_config.temp=0.5", server=server).exit == 4
    with start_server(faults='[[fault]]\nkind = "empty_200"\nat_most = 6') as empty:
        refused = batch(*args, "--set", "service.json_config.temp=0.7", server=empty)
        assert refused.exit == 2
        assert "check service.json_config" in refused.stderr
    with start_server(faults='[[fault]]\nkind = "empty_200"\nat_most = 6') as empty:
        assert batch(*args, server=empty).exit == 0
    assert rows_of(out) == corpus.texts


def test_a_recording_that_vanished_is_no_sign_that_the_service_works(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=40)
    manifest = tmp_path / "m.csv"
    with manifest.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "audio"])
        for n in range(40):
            rows.writerow([f"here{n}", corpus.folder / f"{n:05d}.wav"])
            rows.writerow([f"gone{n}", corpus.folder / f"gone{n}.wav"])
    with start_server(faults='[[fault]]\nkind = "unavailable"\nretry_after_s = 0\nafter_requests = 5') as server:
        args = ("--set", "retry.outage_max_s=0.5", *FAST)
        result = batch("run", manifest, "--out", out, *args, server=server)
    assert result.exit == 1, result.stderr
    assert "the service has failed for everybody" in result.stderr


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_answers_that_come_compressed_are_read_or_end_the_run_after_the_first_few(
    tmp_path: Path, out: Path, coding: str
) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    said = b'{"type":"text","text":"one","start_s":0}\n{"type":"end_of_stream"}\n'
    with Scripted(answer(gzip.compress(said), headers={"Content-Encoding": coding})) as proxy:
        result = batch(
            "run", corpus.folder, "--out", out, *FAST, GRADIUM_API_KEY=KEY, GRADIUM_BATCH_SERVICE__URL=proxy.url
        )
        posts = sum(request.head.startswith("POST") for request in proxy.requests)
    if coding == "gzip":
        assert (result.exit, posts) == (0, 12), result.stderr
        assert rows_of(out) == dict.fromkeys(corpus.texts, "one")
        return
    assert result.exit == 1, result.stderr
    assert (
        "the answer came compressed (br), which was not asked for and cannot be undone here; 4 times" in result.stderr
    )
    assert posts <= 8
    assert errors_of(out) == {}
    assert outcomes_of(out) == {"CompressedAnswer"}
