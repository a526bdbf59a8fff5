"""The ledger is compared with the account's balance at the end of a run, and every sentence about that is true."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.batch import Corpus, batch, finish, rows_of, start_batch, write_wav
from tests.servers import start_server, wait_for_answers


def account(out: Path) -> Any:
    found = json.loads((out / "summary.json").read_text("utf-8"))["account"]
    status = json.loads(batch("status", out, "--json").stdout)
    assert status["account"] == found
    if found is not None:
        assert found["sentence"] in batch("status", out).stdout
    return found


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path / "audio", count=4)  # 2 s together: 6 credits


def run(corpus: Corpus, out: Path, *args: str, **options: Any) -> Any:
    with start_server(**options) as server:
        done = batch("run", corpus.folder, "--out", out, *args, server=server)
        assert done.exit == 0, done.stderr
    found = account(out)
    assert found["sentence"] in done.stderr
    return found


def test_an_account_that_agrees_is_believed_at_once(corpus: Corpus, out: Path) -> None:
    found = run(corpus, out)
    assert (found["paid"], found["ledger"], found["difference"]) == (6, 6, 0)
    assert found["sentence"] == "the account paid 6 credits, as the ledger has"


def test_units_that_are_not_configured_are_a_difference(corpus: Corpus, out: Path) -> None:
    found = run(corpus, out, "--set", "price.settle_s=0", unit_s=15)
    assert (found["paid"], found["difference"]) == (180, 174)
    assert "174 more than the ledger has: perhaps somebody else used the account" in found["sentence"]
    assert "its price is another one" in found["sentence"]


@pytest.mark.slow
def test_a_balance_that_lags_is_waited_for(corpus: Corpus, out: Path) -> None:
    found = run(corpus, out, "--set", "price.settle_s=10", balance_lag_s=2)
    assert found["difference"] == 0


def test_without_waiting_a_balance_that_lags_tells_nothing(corpus: Corpus, out: Path) -> None:
    found = run(corpus, out, "--set", "price.settle_s=0", balance_lag_s=30)
    assert (found["paid"], found["difference"]) == (None, None)
    assert "it lags behind" in found["sentence"]


def test_another_user_is_a_difference(corpus: Corpus, out: Path) -> None:
    found = run(corpus, out, "--set", "price.settle_s=0", others_credits_per_s=100_000)
    assert found["difference"] > 1
    assert "perhaps somebody else used the account" in found["sentence"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top_up_after": 2, "top_up_credits": 500}, "its balance rose by 494"),
        ({"top_up_after": 2, "top_up_credits": 5}, "5 less than was billed by the ledger"),
        ({"new_month_after": 4}, "a new month began"),
    ],
)
def test_a_top_up_or_a_new_month_is_left_out(corpus: Corpus, out: Path, options: Any, said: str) -> None:
    found = run(corpus, out, "--set", "price.settle_s=0", **options)
    assert (found["paid"], found["difference"]) == (None, None)
    assert said in found["sentence"]


@pytest.mark.slow
@pytest.mark.parametrize("lag_s", [0.0, 2.0])
def test_after_three_runs_the_price_is_named_and_with_it_check_is_right(
    tmp_path: Path, out: Path, lag_s: float
) -> None:
    chance, told = random.Random(18), ""
    for number in range(45):
        folder = tmp_path / str(number // 15)
        write_wav(folder / f"{number}.wav", seed=number, seconds=round(chance.uniform(0.5, 40), 2))
    settle = ("--set", "price.settle_s=10" if lag_s else "price.settle_s=0")
    with start_server(unit_s=15, overhead_s=1.04, balance_lag_s=lag_s) as server:
        for night in range(3):
            assert "fit 3 of 3 runs" not in told
            told = batch("run", tmp_path / str(night), "--out", out, *settle, server=server).stderr
        assert "price.unit_s = 15 and price.overhead_s = 1" in told
        fit = json.loads(batch("status", out, "--json").stdout)["price_fit"]
        assert fit["sentence"] in told
        assert fit["sentence"] in batch("status", out).stdout
        assert (fit["fits"], fit["compared"], fit["configured_fits"]) == (3, 3, 0)
        price = [f"price.{key}={value}" for key, value in fit["price"].items() if key != "credits_per_s"]
        named = [word for one in price for word in ("--set", one)]
        for number in range(45, 60):
            write_wav(tmp_path / "3" / f"{number}.wav", seed=number, seconds=round(chance.uniform(0.5, 40), 2))
        forecast = json.loads(batch("check", tmp_path / "3", "--out", out, "--json", *named, server=server).stdout)
        batch("run", tmp_path / "3", "--out", out, *settle, *named, server=server)
    assert account(out)["paid"] == pytest.approx(forecast["credits"], rel=0.01)
    assert json.loads(batch("status", out, "--json").stdout)["price_fit"] is None


def test_a_price_that_is_configured_too_high_is_found_too(tmp_path: Path, out: Path) -> None:
    dear = ("--set", "price.unit_s=15", "--set", "price.settle_s=0")
    with start_server() as server:
        for night in range(3):
            write_wav(tmp_path / str(night) / f"{night}.wav", seed=night, seconds=2.25 + night)
            told = batch("run", tmp_path / str(night), "--out", out, *dear, server=server).stderr
    assert "price.unit_s = 0 fits 3 of 3 runs" in told


@pytest.mark.slow
def test_the_embedded_server_bills_nothing(corpus: Corpus, out: Path) -> None:
    local = ("--set", "service.url=local", "--set", "local.recognizer=fingerprint")
    assert batch("run", corpus.folder, "--out", out, *local).exit == 0
    assert account(out) is None


def test_nothing_is_told_where_nothing_was_sent(corpus: Corpus, out: Path) -> None:
    with start_server() as server:
        batch("run", corpus.folder, "--out", out, server=server)
        batch("run", corpus.folder, "--out", out, server=server)
    assert json.loads((out / "summary.json").read_text("utf-8"))["account"] is None


@pytest.mark.parametrize(("number", "exit_"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_settling(corpus: Corpus, out: Path, number: int, exit_: int) -> None:
    with start_server(balance_lag_s=60) as server:
        settling = ("--set", "price.settle_s=60")
        process = start_batch("run", corpus.folder, "--out", out, *settling, server=server)
        wait_for_answers(server, 4)
        began = time.monotonic()
        process.send_signal(number)
        done = finish(process)
    assert time.monotonic() - began < 30, "it waited for the balance"
    assert done.exit == exit_, done.stderr
    assert done.figures["done"] == 4
    found = account(out)
    assert found["paid"] is None
    # before or after it was asked for the first time
    assert "was not asked for" in found["sentence"] or "perhaps it lags behind" in found["sentence"]


def test_after_kill_9_while_the_balance_settles_nothing_is_sent_again(corpus: Corpus, out: Path) -> None:
    with start_server(balance_lag_s=60) as server:
        process = start_batch("run", corpus.folder, "--out", out, "--set", "price.settle_s=60", server=server)
        wait_for_answers(server, 4)
        while json.loads(batch("status", out, "--json").stdout)["done"] < 4:
            assert process.poll() is None
        process.kill()
        process.communicate()
        done = batch("run", corpus.folder, "--out", out, server=server)
        assert (done.exit, server.stats()["requests"]) == (0, 4), done.stderr
    assert rows_of(out) == corpus.texts
    assert account(out) is None


def test_a_key_that_is_revoked_after_the_last_answer_fails_no_run(corpus: Corpus, out: Path) -> None:
    found = run(corpus, out, faults="[[fault]]\nkind = 'key_revoked'\nafter_requests = 4\n")
    assert found["paid"] is None
    assert "no balance after the run (" in found["sentence"]
    assert "revoked or expired" in found["sentence"]


@pytest.mark.parametrize(("settle_s", "lag_s"), [(0, 0.0), pytest.param(10, 2.0, marks=pytest.mark.slow)])
def test_requests_that_may_have_been_billed_are_a_possible_reason(
    corpus: Corpus, out: Path, settle_s: int, lag_s: float
) -> None:
    cut = "[[fault]]\nkind = 'cut'\nat_byte = 100\ntimes = 1\n"
    found = run(corpus, out, "--set", f"price.settle_s={settle_s}", faults=cut, balance_lag_s=lag_s)
    assert (found["paid"], found["ledger"], found["maybe"], found["difference"]) == (12, 12, 6, 0)
