"""One refusal for all, or for one: what a run makes of it, and the nights after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.batch import Corpus, Finished, batch, errors_of, jsonl_of, rows_of, table_of
from tests.servers import RunningServer, start_server

FAST = ("--set", "retry.base_s=0.02", "--set", "retry.probe_s=0.05", "--progress", "off")
PAGE = "<html><h1>Forbidden</h1>Your API key, no credits, invalid audio file</html>"
DECODE = "error decoding audio, see file 'x'"


def policy(message: str, more: str = "") -> str:
    return f'[[fault]]\nkind = "policy"\nmessage = "{message}"\n{more}\n'


def firewall(more: str = "", status: int = 403) -> str:
    return f'[[fault]]\nkind = "proxy_rejection"\nmessage = "{PAGE}"\nstatus = {status}\n{more}\n'


def run(corpus: Corpus, out: Path, server: RunningServer, *more: str) -> Finished:
    return batch("run", corpus.folder, "--out", out, *FAST, *more, server=server)


def test_one_refusal_for_everything_stops_the_run_and_fails_nothing_for_good(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=60)
    with start_server(faults=policy(DECODE)) as server:
        first = run(corpus, out, server)
        assert first.exit == 1, first.stderr
        assert f"refused with the same words and none was answered: error from server 1008: {DECODE};" in first.stderr
        assert 5 <= server.stats()["requests"] <= 20
    assert set(errors_of(out).values()) == {"UnconfirmedRefusal"}
    assert all(row["retryable"] and row["attempts"] == 1 for row in jsonl_of(out, "errors.jsonl"))
    with start_server() as healthy:
        assert run(corpus, out, healthy).exit == 0
    assert rows_of(out) == corpus.texts
    assert errors_of(out) == {}


@pytest.mark.slow
def test_what_is_refused_again_while_others_are_answered_is_refused_for_good(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=200)
    with start_server(faults=policy(DECODE)) as server:
        assert run(corpus, out, server).exit == 1
    met = set(errors_of(out))
    with start_server(faults="".join(policy(DECODE, f'file = "{corpus.folder}/{name}"') for name in met)) as server:
        # enough that are not refused are sent before them: 128 are prepared side by side
        assert run(corpus, out, server).exit == 3
        assert errors_of(out) == dict.fromkeys(met, "AudioRefused")
        before = server.stats()["requests"]
        assert run(corpus, out, server).exit == 0
        assert server.stats()["requests"] == before


def test_who_asks_for_the_failed_ones_has_each_refused_by_itself(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    with start_server(faults=policy(DECODE)) as server:
        assert run(corpus, out, server).exit == 1
        asked = run(corpus, out, server, "--only", "new", "--only", "failed")
        assert asked.exit == 3, asked.stderr
    assert errors_of(out) == dict.fromkeys(corpus.texts, "AudioRefused")


@pytest.mark.slow
def test_an_overload_for_everybody_ends_the_run_and_fails_nothing(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=60)
    with start_server(faults=policy("Overloaded: input queue too long")) as server:
        result = run(corpus, out, server)
        assert result.exit == 1, result.stderr
        assert "Overloaded: input queue too long" in result.stderr
        assert server.stats()["requests"] < 40
    assert errors_of(out) == {}
    with start_server() as healthy:
        assert run(corpus, out, healthy).exit == 0
    assert rows_of(out) == corpus.texts


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_recording_that_a_firewall_dislikes_is_named_and_the_run_goes_on(
    tmp_path: Path, out: Path, status: int
) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    longest = corpus.add(12, seconds=2.0)
    with start_server(faults=firewall(f'file = "{longest}"', status)) as server:
        result = run(corpus, out, server)
        assert result.exit == 3, result.stderr
        assert "00012.wav" in result.stderr
        assert errors_of(out) == {"00012.wav": "AccessDenied"}
        assert len(rows_of(out)) == 12
        [row] = jsonl_of(out, "errors.jsonl")
        assert (row["http_status"], row["retryable"]) == (status, True)


def test_a_quota_of_requests_a_minute_is_waited_out(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    quota = '[[fault]]\nkind = "proxy_rejection"\nstatus = 429\nmessage = "Quota exceeded for requests per minute"'
    with start_server(faults=f"{quota}\nat_most = 3\n") as server:
        result = run(corpus, out, server)
    assert result.exit == 0, result.stderr
    assert rows_of(out) == corpus.texts
    assert {"ok", "RateLimited"} == set(table_of(out, "attempts")["outcome"].to_pylist())


LANGUAGE = "A language is required to start an ASR session. Supported languages: en, fr, de, es, pt, any."
FOOTER = "\\nNeed help? Never send your API key: <html>no credits, Concurrency limit</html>"


def internal(message: str, more: str = "") -> str:
    return f'[[fault]]\nkind = "internal_error"\nmessage = "{message}{FOOTER}"\n{more}\n'


def test_a_1011_that_asks_for_a_language_is_the_configurations_fault_also_in_a_folder_that_was_answered(
    tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=5)
    with start_server() as healthy:
        assert run(corpus, out, healthy).exit == 0
    for number in range(5, 60):
        corpus.add(number)
    with start_server(faults=internal(LANGUAGE)) as server:
        result = run(corpus, out, server, "--concurrency", "3")
        assert 1 <= server.stats()["requests"] <= 3
    assert result.exit == 2, result.stderr
    assert f"{LANGUAGE}; what is sent are service.language, service.model and service.json_config" in result.stderr
    assert "Need help" not in result.stderr
    assert errors_of(out) == {}
    with start_server() as healthy:
        assert run(corpus, out, healthy).exit == 0
    assert rows_of(out) == corpus.texts


def test_keywords_of_a_row_that_are_refused_fail_that_row_until_they_change(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    manifest = tmp_path / "m.jsonl"

    def write(words: list[str]) -> None:
        rows = [f'{{"audio": "{corpus.folder}/{name}"}}' for name in sorted(corpus.texts)[1:]]
        first = f'{{"audio": "{corpus.folder}/00000.wav", "keywords": {words}}}'.replace("'", '"')
        manifest.write_text("\n".join([first, *rows]))

    fault = internal("keywords must be single tokens", f'file = "{corpus.folder}/00000.wav"\ntimes = 1')
    with start_server(faults=fault) as server:
        write(["one"])
        result = batch("run", manifest, "--out", out, *FAST, server=server)
        assert result.exit == 3, result.stderr
        [row] = jsonl_of(out, "errors.jsonl")
        assert (row["error"], row["attempts"], row["retryable"]) == ("KeywordsRefused", 1, False)
        assert server.stats()["requests"] == 12
        assert batch("run", manifest, "--out", out, *FAST, server=server).exit == 0
        assert server.stats()["requests"] == 12
        write(["two"])
        assert batch("run", manifest, "--out", out, *FAST, server=server).exit == 0
        assert server.stats()["requests"] == 13
    assert errors_of(out) == {}


def test_a_request_that_breaks_the_protocol_is_our_fault_and_nothing_is_given_up(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=40)
    broken = '[[fault]]\nkind = "proxy_rejection"\nmessage = "error from server Some(1002): input before setup"\n'
    with start_server(faults=broken) as server:
        result = run(corpus, out, server)
        assert server.stats()["requests"] <= 20
    assert result.exit == 1, result.stderr
    assert "fault of gradium-batch, please report it" in result.stderr
    assert all(row["retryable"] and row["attempts"] == 1 for row in jsonl_of(out, "errors.jsonl"))
    with start_server(faults=f'{broken}file = "{corpus.folder}/00007.wav"\n') as server:
        result = run(corpus, out, server)
        assert result.exit == 3, result.stderr
        assert "input before setup (code 1002) (please report it)" in result.stderr
    assert errors_of(out) == {"00007.wav": "ProtocolFault"}


@pytest.mark.parametrize("form", ["documented", "live", "json"])
def test_the_form_of_a_refusal_changes_nothing(tmp_path: Path, out: Path, form: str) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    with start_server(refusals=form, max_sessions=2, latency_s=0.05) as server:
        assert run(corpus, out, server).exit == 0
    assert rows_of(out) == corpus.texts
    attempts = table_of(out, "attempts").to_pylist()
    assert {(each["outcome"], each["billed"]) for each in attempts} == {("ok", "yes"), ("ConcurrencyLimit", "no")}
    corpus.add(12)
    with start_server(refusals=form, credits=0) as server:
        result = run(corpus, out, server)
    assert result.exit == 1, result.stderr
    assert "Insufficient credits" in result.stderr


def test_unknown_refusals_are_counted_by_their_words_whatever_follows_them(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=6)
    faults = (policy(f"something new\\nid {n}", f'file = "{corpus.folder}/0000{n}.wav"\ntimes = 1') for n in range(2))
    with start_server(faults="".join(faults)) as server:
        assert run(corpus, out, server).exit == 0
    assert json.loads((out / "summary.json").read_text())["unknown_refusals"] == {"something new (code 1008)": 2}
