"""`check` shows what the account holds and what a run would leave of it, and never loses the forecast for that."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.batch import Corpus, Finished, batch
from tests.gradium.scripted import Scripted, answer
from tests.servers import KEY, start_server

JSON = {"Content-Type": "application/json"}
HELD = answer(b'{"remaining_credits": 30}', headers=JSON)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """4 recordings of 2 s, 24 credits."""
    return Corpus(tmp_path / "audio", count=4, seconds=2.0)


def check_at(url: str, corpus: Corpus, out: Path, *args: str) -> Finished:
    return batch("check", corpus.folder, "--out", out, *args, GRADIUM_API_KEY=KEY, GRADIUM_BATCH_SERVICE__URL=url)


def told_at(url: str, corpus: Corpus, out: Path, *args: str) -> tuple[Any, ...]:
    """What stands in `--json`, after an exit status of 0."""
    result = check_at(url, corpus, out, "--json", *args)
    assert result.exit == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["credits"] == 24.0
    assert not out.exists()
    return found["balance"], found["balance_unknown"], found["left_after"], found["money"]


def lines_of(result: Finished, *names: str) -> list[str]:
    return [line for line in result.stdout.splitlines() if line.startswith(names)]


def test_the_balance_is_shown_with_what_would_be_left_and_in_money(corpus: Corpus, out: Path) -> None:
    with start_server(credits=30) as server:
        result = check_at(server.url, corpus, out, "--set", "price.per_1000_credits=12.5")
        assert lines_of(result, "money", "balance", "left after") == [
            "money          0.30 (24 credits at 12.5 for 1,000)",
            "balance        30 credits",
            "left after     6",
        ]
        assert (result.exit, result.stderr) == (0, "")
        assert told_at(server.url, corpus, out) == (30, None, 6, None)
        assert told_at(server.url, corpus, out, "--budget", "13", "--set", "price.per_1000_credits=1") == (
            30, None, 18, 0.01,
        )  # fmt: skip
        assert server.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (HELD, []),
        (answer(b'{"remaining_credits": 23}', headers=JSON), ["does not suffice"]),
        (answer(b"error", status=500), ["is not known"]),
        (answer(b'{"detail": "no such key"}', status=401), []),
    ],
    ids=["enough", "too little", "unknown", "bad key"],
)
def test_that_a_run_would_stop_for_required_credits_is_said(
    corpus: Corpus, out: Path, reply: bytes, said: list[str]
) -> None:
    with Scripted(reply) as peer:
        result = check_at(peer.url, corpus, out, "--set", "service.require_credits=true")
    told = [line for line in result.stderr.splitlines() if line.startswith("a run would stop")]
    assert told == [f"a run would stop: the balance {why} (service.require_credits)" for why in said]


def test_a_balance_that_does_not_suffice_is_told(corpus: Corpus, out: Path) -> None:
    with start_server(credits=4) as server:
        result = check_at(server.url, corpus, out)
        assert told_at(server.url, corpus, out) == (4, None, -20, None)
    assert lines_of(result, "left after") == [
        "left after     nothing: the balance does not suffice, 20 credits are missing"
    ]


def test_a_bad_key_ends_it_as_it_ends_a_run_after_the_forecast(corpus: Corpus, out: Path) -> None:
    with start_server(key="another") as server:
        result = check_at(server.url, corpus, out)
        ran = batch("run", corpus.folder, "--out", out, server=server)
    assert result.exit == ran.exit == 1
    [told] = [line for line in ran.stderr.splitlines() if line.startswith("gradium-batch: ")]
    assert result.stderr.splitlines() == [told]
    assert "(the key is from the environment variable GRADIUM_API_KEY)" in told
    assert lines_of(result, "credits") == ["credits        24 (3 per second that is sent, without retries)"]


UNKNOWN = {
    "403": (answer(b'{"detail": "Forbidden"}', status=403), "HTTP 403 from /api/usages/credits"),
    "500": (answer(b"error", status=500), "HTTP 500 from /api/usages/credits"),
    "302": (answer(b"", status=302, headers={"Location": "http://127.0.0.1:1/"}), "HTTP 302 from /api/usages/credits"),
    "html": (answer(b"<html>log in</html>"), "there is no balance in the answer of /api/usages/credits"),
    "huge": (answer(b" " * 200_000), "there is no balance in the answer of /api/usages/credits"),
    "short": (HELD[:-4], "the answer of /api/usages/credits broke off"),
    "far below 0": (
        answer(b'{"remaining_credits": -1e13}', headers=JSON),
        "the account is said to hold -1e+13 credits, which is not plausible",
    ),
}


@pytest.mark.parametrize("name", sorted(UNKNOWN))
def test_a_page_that_tells_no_balance_is_a_warning(corpus: Corpus, out: Path, name: str) -> None:
    reply, why = UNKNOWN[name]
    with Scripted(reply) as peer:
        result = check_at(peer.url, corpus, out)
        assert len(peer.requests) == 1
        assert told_at(peer.url, corpus, out) == (None, why, None, None)
    assert (result.exit, result.stderr) == (0, f"the account's balance is not known: {why}\n")
    assert lines_of(result, "balance", "left") == [f"balance        unknown ({why})"]


@pytest.mark.parametrize(("reply", "open_end"), [(None, False), (HELD[:-4], True)])
def test_a_page_that_hangs_is_a_warning(
    corpus: Corpus, out: Path, reply: bytes | None, open_end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.engines.forecast.ASK_S", 0.2)
    with Scripted(reply, open_end=open_end) as peer:
        assert told_at(peer.url, corpus, out) == (None, "no answer within 0.2 s", None, None)


def test_an_address_where_nothing_answers_is_asked_once(corpus: Corpus, out: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port
        origin = f"http://127.0.0.1:{unused.getsockname()[1]}"
        balance, unknown, left, _ = told_at(f"{origin}/api/post/speech/asr", corpus, out)
    assert (balance, left) == (None, None)
    assert unknown.startswith(f"nothing answers at {origin} (")
    assert "try" not in unknown


def test_nothing_is_asked_where_it_must_not_be(corpus: Corpus, out: Path) -> None:
    with Scripted(HELD) as peer:
        assert told_at(peer.url, corpus, out, "--offline") == (None, "not asked: --offline", None, None)
        local = told_at("local", corpus, out)
        assert local == (None, 'not asked: service.url is "local"', None, None)
        result = batch("check", corpus.folder, "--out", out, GRADIUM_BATCH_SERVICE__URL=peer.url)
        assert peer.requests == []
    assert result.exit == 0
    assert result.stderr.startswith("a run would stop: no API key: set the environment variable GRADIUM_API_KEY")
    assert lines_of(result, "balance") == ["balance        unknown (not asked: there is no usable key or address)"]


@pytest.mark.parametrize("price", ["-1", "nan", "inf", "much"])
def test_a_price_that_is_none_is_refused(corpus: Corpus, out: Path, price: str) -> None:
    result = batch("check", corpus.folder, "--out", out, "--set", f"price.per_1000_credits={price}")
    assert result.exit == 2
    assert "price.per_1000_credits" in result.stderr
