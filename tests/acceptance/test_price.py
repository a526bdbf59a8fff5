"""Units that are rounded up: `check` tells what the account pays, and no budget is exceeded by its figure."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.acceptance.test_budget import corpus_of
from tests.acceptance.test_check_costs import billed, forecast_of, stereo
from tests.acceptance.test_month import status_of
from tests.audio.forms import encoded
from tests.batch import Corpus, batch, jsonl_of, rows_of, start_batch, table_of, write_wav
from tests.servers import RunningServer, start_server, wait_for_answers

UNITS = {"unit_s": 15.0, "overhead_s": 1.04}
ROOT = Path(__file__).parents[2]
PRICED = ("--set", "price.unit_s=15", "--set", "price.overhead_s=1.04")
QUICK = ("--set", "retry.base_s=0.01", "--set", "retry.max_s=0.05")


@pytest.fixture
def in_units() -> Iterator[RunningServer]:
    with start_server(**UNITS) as running:
        yield running


def noise(samples: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).uniform(-0.1, 0.1, samples).astype(np.float32)


def flac(path: Path, samples: int, rate: int) -> None:
    soundfile.write(path, noise(samples, samples + 1), rate, subtype="PCM_16", format="FLAC")


def table(corpus: Corpus, out: Path, *more: str) -> str:
    return batch("check", corpus.folder, "--out", out, *more).stdout


def plain(path: Path, samples: int, rate: int, subtype: str = "PCM_16") -> None:
    soundfile.write(path, noise(samples, samples), rate, subtype=subtype, format="WAV")


# -- what check says is what is paid ----------------------------------------------------------------------------------


def at_the_edge(folder: Path, full_s: float) -> None:
    """Recordings that just fill a unit, are two samples shorter, or two longer (half a sample may be rounded away)."""
    folder.mkdir()
    for more in (-2, 0, 2):
        name = f"{full_s}{more:+}"
        for rate in (11_025, 44_100):
            plain(folder / f"{name}-{rate}.wav", round(full_s * rate) + more, rate)
        for rate in (22_050, 48_000):
            flac(folder / f"{name}-{rate}.flac", round(full_s * rate) + more, rate)
        plain(folder / f"{name}-24bit.wav", round(full_s * 11_025) + more, 11_025, "PCM_24")
        plain(folder / f"{name}-32bit.wav", round(full_s * 16_000) + more, 16_000, "PCM_32")
        opus = encoded("libopus", "ogg", rate=24_000)(noise(round(full_s * 24_000) + more, 1))
        (folder / f"{name}-.opus").write_bytes(opus)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("full_s", "settings"),
    [
        (13.96, ()),
        (28.96, ()),
        (13.96, ("--set", "audio.upload=opus")),
        (13.64, ("--set", "audio.lead_silence_s=0.32")),
        (13.64, ("--set", "audio.lead_silence_s=0.32", "--set", "audio.upload=opus")),
    ],
)
def test_check_tells_to_the_credit_what_is_paid_for_what_just_fills_a_unit_or_just_does_not(
    in_units: RunningServer, tmp_path: Path, out: Path, full_s: float, settings: tuple[str, ...]
) -> None:
    at_the_edge(tmp_path / "audio", full_s)
    args = (tmp_path / "audio", "--out", out, *PRICED, *settings)
    told = forecast_of(*args)
    requests, paid, result = billed(in_units, *args)
    assert (told["requests"], told["credits"], told["estimated_credits"]) == (requests, paid, 0.0) == (21, paid, 0.0)
    assert (result.exit, result.figures["credits"], sum(table_of(out)["credits"].to_pylist())) == (0, paid, paid)
    units = -(-(full_s + 1.04) // 15)
    dearer = {row["id"] for row in jsonl_of(out) if row["credits"] == 45 * (units + 1)}
    assert dearer == {row["id"] for row in jsonl_of(out) if "+2-" in row["id"]}


def test_each_channel_and_the_silence_in_front_of_it_are_priced_in_units(
    in_units: RunningServer, tmp_path: Path, out: Path
) -> None:
    for seed, seconds in enumerate((13.65, 5.0)):
        stereo(tmp_path / f"audio/{seconds}.wav", seed, seconds)
    write_wav(tmp_path / "audio/mono.wav", 9, 13.65)
    args = (tmp_path / "audio", "--out", out, *PRICED, "--set", "audio.channels=split")
    args += ("--set", "audio.lead_silence_s=0.32")
    told = forecast_of(*args)
    requests, paid, _ = billed(in_units, *args)
    assert (told["requests"], told["credits"]) == (requests, paid) == (5, 2 * 90 + 2 * 45 + 90)
    assert told["estimated_credits"] == 2 * 90 + 2 * 45, "channels may turn out to be silent"
    assert told["estimated_share"] == 0.75


def test_check_says_how_the_price_is_made(tmp_path: Path, out: Path) -> None:
    corpus = corpus_of(tmp_path / "audio", 5.0, 5.0, 5.0)
    told = forecast_of(corpus.folder, "--out", out)
    assert (told["credits_per_s"], told["unit_s"], told["overhead_s"], told["credits"]) == (3.0, 0.0, 0.0, 45.0)
    assert "\ncredits        45 (3 per second that is sent, without retries)\n" in table(corpus, out)
    told = forecast_of(corpus.folder, "--out", out, *PRICED)
    assert (told["credits_per_s"], told["unit_s"], told["overhead_s"], told["credits"]) == (3.0, 15.0, 1.04, 135.0)
    line = (
        "credits        135 (3 per second in units of 15 s, 1.04 s beside the audio of each request, without retries)"
    )
    assert f"\n{line}\n" in table(corpus, out, *PRICED)


def test_the_examples_of_the_documentation_are_what_check_prints(tmp_path: Path) -> None:
    page = (ROOT / "docs/price.md").read_text("utf-8")
    [commands] = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    [printed] = re.findall(r"```text\n(would send.*?)```", page, re.DOTALL)
    for command, lines in zip(commands.splitlines(), printed.split("\n\n"), strict=True):
        told = batch(*command.split()[1:], "--out", tmp_path / "out", cwd=ROOT)
        assert f"\n{lines.strip()}\n" in told.stdout


# -- budgets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds",
    [
        pytest.param(("--budget", "135"), marks=pytest.mark.slow),
        pytest.param(("--budget", "134"), marks=pytest.mark.slow),
        ("--budget", "135", "--limit", "2"),
        pytest.param(("--budget", "44"), marks=pytest.mark.slow),
        ("--set", "budget.credits_per_month=100"),
    ],
)
def test_what_fits_is_what_a_run_sends(
    in_units: RunningServer, tmp_path: Path, out: Path, bounds: tuple[str, ...]
) -> None:
    corpus = corpus_of(tmp_path / "audio", 20.0, 13.97, 13.96, 3.0, 1.0)
    args = (corpus.folder, "--out", out, *PRICED, *bounds)
    done = 0.0
    for _ in range(2):  # the next night has another order
        fitting = forecast_of(*args, server=in_units)["fitting"]
        requests, paid, result = billed(in_units, *args, "--concurrency", "1")
        assert (fitting["requests"], fitting["credits"]) == (requests, paid)
        assert (fitting["utterances"], paid <= 135, result.exit) == (result.figures["done"] - done, True, 4)
        done = result.figures["done"]


def test_a_budget_below_one_unit_sends_nothing_and_says_what_a_request_takes(
    in_units: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = corpus_of(tmp_path / "audio", 1.0, 14.0)
    args = (corpus.folder, "--out", out, *PRICED, "--budget", "44.99")
    assert "fits           nothing; 2 utterances passed over" in batch("check", *args).stdout
    requests, paid, result = billed(in_units, *args)
    assert (requests, paid, result.exit) == (0, 0.0, 4)
    for said in (result.stderr, batch("check", *args, server=in_units).stdout):
        assert "2 recordings need 45 to 90 credits each: more than the budget (00000.wav, 00001.wav)" in said


FAULTS = """
seed = 5
[[fault]]
kind = "session_cap"
cap = 20
at_most = 60
[[fault]]
kind = "cut"
at_byte = 90
probability = 0.1
times = 2
[[fault]]
kind = "internal_error"
probability = 0.1
times = 1
[[fault]]
kind = "reset_in_stream"
probability = 0.1
times = 1
"""


@pytest.mark.parametrize("budget", [1_000, pytest.param(1_500, marks=pytest.mark.slow)])
def test_a_budget_is_kept_to_the_credit_with_32_in_flight_faults_and_retries(
    tmp_path: Path, out: Path, budget: int
) -> None:
    draw = random.Random(budget)
    corpus = corpus_of(tmp_path / "audio", *(draw.choice((0.5, 5.0, 13.96, 13.97, 14.0, 29.0)) for _ in range(50)))
    with start_server(faults=FAULTS, latency_s=0.02, **UNITS) as server:
        args = ("run", corpus.folder, "--out", out, *PRICED, *QUICK, "--concurrency", "32", "--budget", str(budget))
        done = 0.0
        for _ in range(2):
            before = server.stats()["credits_charged"]
            result = batch(*args, server=server)
            paid = server.stats()["credits_charged"] - before
            assert paid <= result.figures["credits"] <= budget
            assert (result.exit, result.figures["done"] > done) == (4, True)
            done = result.figures["done"]


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, 6])
def test_a_month_is_kept_to_the_credit_however_often_its_runs_are_killed(tmp_path: Path, out: Path, kills: int) -> None:
    corpus = corpus_of(tmp_path / "audio", *[0.5, 13.97] * 30)
    month = 60 * 45.0
    with start_server(latency_s=0.05, **UNITS) as server:
        args = ("run", corpus.folder, "--out", out, *PRICED, "--concurrency", "32")
        args += ("--set", f"budget.credits_per_month={month}")
        for _ in range(kills):
            answered = server.stats()["answered"]
            killed = start_batch(*args, server=server)
            wait_for_answers(server, answered + 3)
            killed.kill()
            killed.communicate()
        last = batch(*args, server=server)
        paid, answered = server.stats()["credits_charged"], server.stats()["answered"]
        assert paid <= month
        assert last.exit == 4
        status = status_of(out)
        assert paid <= status["month_credits"] <= month
        assert status["month_left"] < 90
        assert answered >= 10


# -- a price that changes ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_price_changes_nothing_that_was_recorded_and_sends_nothing_again(
    in_units: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = corpus_of(tmp_path / "audio", 5.0, 5.0)
    args = (corpus.folder, "--out", out)
    assert batch("run", *args, server=in_units).figures["credits"] == 30
    for price in (PRICED, ("--set", "price.credits_per_s=4"), ()):
        assert forecast_of(*args, *price, server=in_units)["requests"] == 0
        again = billed(in_units, *args, *price)
        assert (again[0], again[2].exit, again[2].figures["credits"]) == (0, 0, 0)
    corpus.add(2, 5.0)
    assert billed(in_units, *args, *PRICED)[:2] == (1, 45.0)
    status = status_of(out)
    assert (status["credits"], status["month_credits"]) == (75.0, 75.0)
    assert sorted(table_of(out)["credits"].to_pylist()) == sorted(table_of(out, "attempts")["credits"].to_pylist())
    assert sorted(table_of(out)["credits"].to_pylist()) == [15.0, 15.0, 45.0]
    assert rows_of(out) == corpus.texts


@pytest.mark.slow
def test_clips_that_wait_for_the_others_keep_what_they_cost(tmp_path: Path, out: Path) -> None:
    corpus = corpus_of(tmp_path / "audio", 40.0)
    short = (corpus.folder, "--out", out, "--set", "pool.concurrency=1", "--set", "audio.max_clip_s=16", *QUICK)
    fault = (
        '[[fault]]\nkind = "policy"\nmessage = "the audio cannot be decoded"\nafter_requests = 2\nuntil_requests = 3'
    )
    with start_server(faults=fault, **UNITS) as server:
        first = batch("run", *short, "--set", "retry.max_attempts=1", server=server)
        assert first.exit == 3
        paid = status_of(out)["credits"]
        assert forecast_of(*short, *PRICED, "--only", "failed", server=server)["answered_clips"] == 3
        _, charged, second = billed(server, *short, *PRICED, "--only", "failed")
        assert (second.exit, second.figures["credits"]) == (0, charged)
    [row] = jsonl_of(out)
    assert row["credits"] == status_of(out)["credits"] == pytest.approx(paid + charged)


@pytest.mark.parametrize("value", ["0", "-3", "nan", "inf", "cheap", "true", "1e308", "1e-320"])
def test_a_price_that_is_none_is_refused_in_a_sentence(tmp_path: Path, value: str) -> None:
    write_wav(tmp_path / "audio/a.wav", seed=1)
    result = batch("check", tmp_path / "audio", "--set", f"price.credits_per_s={value}")
    assert result.exit == 2
    sentence = "price.credits_per_s: should be a number of credits from 0.0001 to 1,000,000, or"
    assert f'{sentence} "auto" for the price of the model' in result.stderr
    assert len(result.stderr.splitlines()) <= 2


@pytest.mark.parametrize("value", ["5e-324", "1e-9"])
def test_units_too_short_to_count_are_refused_in_a_sentence(tmp_path: Path, value: str) -> None:
    write_wav(tmp_path / "audio/a.wav", seed=1)
    result = batch("check", tmp_path / "audio", "--set", f"price.unit_s={value}")
    assert result.exit == 2
    assert "price.unit_s: should be 0 for no units, or at least 0.001" in result.stderr
