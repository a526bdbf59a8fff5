"""What settings of the service change: warnings, prices, the place where it answers."""

from __future__ import annotations

import json
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.settings import ServiceSettings
from pipeline.errors import CreditsSpent, GradiumBatchError, KeyRefused
from pipeline.gradium.ending import explained
from tests.asked import Asked
from tests.batch import Corpus, batch, errors_of, table_of, write_wav
from tests.servers import KEY, start_server

EU, US = (f"service.url=https://{region}.api.gradium.ai/api/post/speech/asr" for region in ("eu", "us"))
TRANSLATES = ("--set", "service.model=stt-translate")
ANY = ("--set", "service.language=any")


@pytest.fixture
def call(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path / "audio", count=1)


@pytest.fixture
def calls(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path / "audio", count=4)


def attempts_of(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table_of(out, "attempts").to_pylist()
    return found


def test_a_delay_outside_the_list_is_warned_of_once(calls: Corpus, out: Path) -> None:
    name, words = "delay_in_tokens", "delay_in_frames: 17 is not a documented value"
    odd = ("--set", f"service.json_config.{name}=17")
    with Asked() as service:
        planned = batch("check", calls.folder, "--out", out, *odd, server=service)
        done = batch("run", calls.folder, "--out", out, *odd, server=service)
        assert (planned.exit, done.exit, len(service.queries)) == (0, 0, 4)
        assert (planned.stderr.count(words), done.stderr.count(words)) == (1, 1)
        listed = batch("run", calls.folder, "--out", out, "--set", f"service.json_config.{name}=20", server=service)
        assert (listed.exit, len(service.queries), "documented" in listed.stderr) == (0, 8, False)
        beyond = batch("run", calls.folder, "--out", out, "--set", f"service.json_config.{name}=81", server=service)
        assert (beyond.exit, len(service.queries)) == (2, 8)
        assert f"{name}: 81 is not between 4 and 80" in beyond.stderr


def test_a_translation_costs_what_check_and_ledger_say(calls: Corpus, out: Path) -> None:
    with Asked() as service:
        plain = json.loads(batch("check", calls.folder, "--out", out, "--json", server=service).stdout)
        planned = batch("check", calls.folder, "--out", out, "--json", *TRANSLATES, server=service)
        forecast = json.loads(planned.stdout)
        assert (plain["credits"], plain["credits_per_s"]) == (pytest.approx(6.0), 3)
        assert (forecast["credits"], forecast["credits_per_s"]) == (pytest.approx(8.0), 4)
        assert "(4 per second" in batch("check", calls.folder, "--out", out, *TRANSLATES, server=service).stdout
        done = batch("run", calls.folder, "--out", out, *TRANSLATES, server=service)
    assert (done.exit, done.figures["credits"]) == (0, pytest.approx(8.0))
    assert {query["model"] for query in service.queries} == {"stt-translate"}
    assert [row["credits"] for row in attempts_of(out)] == [2.0] * 4
    assert table_of(out)["credits"].to_pylist() == [2.0] * 4
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db:
        assert db.execute("SELECT value FROM facts WHERE key = 'credits'").fetchone() == (8.0,)
    assert json.loads(batch("status", out, "--json").stdout)["credits"] == 8.0


@pytest.mark.parametrize(
    "limit", [("--budget", "7.9"), ("--set", "budget.credits_per_month=7.9")], ids=["run", "month"]
)
def test_a_budget_holds_for_a_translation(calls: Corpus, out: Path, limit: tuple[str, ...]) -> None:
    options = (*TRANSLATES, *limit)
    with Asked() as service:
        planned = json.loads(batch("check", calls.folder, "--out", out, "--json", *options, server=service).stdout)
        done = batch("run", calls.folder, "--out", out, *options, server=service)
    assert planned["fitting"]["requests"] == len(service.queries) == 3, "four at the price of a transcription"
    assert (done.exit, done.figures["credits"]) == (4, 6.0)


def test_the_service_charges_a_translation_as_the_ledger_does(calls: Corpus, out: Path) -> None:
    with start_server(residency="best-effort; zone=eu") as server:
        assert batch("run", calls.folder, "--out", out, *TRANSLATES, server=server).exit == 0
        assert server.stats()["credits_charged"] == pytest.approx(sum(row["credits"] for row in attempts_of(out))) == 8
    assert {row["residency"] for row in attempts_of(out)} == {"best-effort; zone=eu"}


def test_a_balance_has_to_be_enough_for_a_translation(calls: Corpus, out: Path) -> None:
    with Asked(credits=7.0) as service:
        needs = ("--set", "service.require_credits=true")
        translated = batch("run", calls.folder, "--out", out, *needs, *TRANSLATES, server=service)
        assert (translated.exit, service.queries) == (1, []), translated.stderr
        assert "the run takes about 8" in translated.stderr
        assert batch("run", calls.folder, "--out", out, *needs, server=service).exit == 0


@pytest.mark.parametrize(
    ("said", "kept", "refuses"),
    [
        ("pinned; zone=eu", "pinned; zone=eu", False),
        ("best-effort; zone=eu", "best-effort; zone=eu", True),
        (None, None, False),
        (None, None, True),
        ("x" * 5000, "x" * 200, False),
        (f"pinned; zone={KEY}", "pinned; zone=[API key]", False),
        (f"pinned; zone={KEY}", "pinned; zone=[API key]", True),
        ("pinned\x1b[31m; zone=eu", "pinned\x1b[31m; zone=eu", False),
    ],
)
def test_where_the_service_worked_is_in_the_ledger(
    call: Corpus, out: Path, said: str | None, kept: str | None, refuses: bool
) -> None:
    headers = {} if said is None else {"x-gradium-residency": said}
    with Asked(headers=headers, refuses=refuses) as service:
        batch("run", call.folder, "--out", out, "--only", "failed", "--only", "new", server=service)
    assert table_of(out, "attempts").column_names[-1] == "residency"
    assert {row["residency"] for row in attempts_of(out)} == {kept}
    shown = json.loads(batch("show", out, "--id", "00000.wav", "--json").stdout)
    assert {attempt["residency"] for attempt in shown["attempts"]} == {kept}
    table = batch("show", out, "--id", "00000.wav").stdout
    assert ("residency" in table) == (kept is not None)
    assert "\x1b" not in table
    assert bool(errors_of(out)) == refuses


def test_another_region_is_the_same_service(calls: Corpus, out: Path) -> None:
    """Nothing is sent, and the output is not refused: neither owner nor identity know a region."""
    with Asked() as service:
        assert batch("run", calls.folder, "--out", out, server=service).exit == 0
    for region in (EU, US, "service.url=https://EU.api.gradium.ai/api/post/speech/asr"):
        planned = batch(
            "check", calls.folder, "--out", out, "--offline", "--set", region, "--json", GRADIUM_API_KEY=KEY
        )
        assert json.loads(planned.stdout)["requests"] == 0
        done = batch("run", calls.folder, "--out", out, "--set", region, GRADIUM_API_KEY=KEY)
        assert (done.exit, done.figures["done"], done.figures["credits"]) == (0, 4, 0), done.stderr


@pytest.mark.parametrize(
    ("url", "is_told"),
    [
        ("https://eu.api.gradium.ai/api/post/speech/asr", True),
        ("https://US.api.gradium.ai/api/post/speech/asr", True),
        ("https://api.gradium.ai/api/post/speech/asr", False),
        ("https://eu.api.gradium.ai.example.org/api/post/speech/asr", False),
    ],
)
def test_a_key_that_looks_revoked_in_a_region_may_be_of_another(url: str, is_told: bool) -> None:
    refused: GradiumBatchError = KeyRefused("API key is revoked or expired", http_status=500, code=1008)
    told = explained(refused, ServiceSettings(url=url))
    assert isinstance(told, KeyRefused)
    assert (told.http_status, told.code) == (500, 1008)
    assert "GRADIUM_API_KEY" in str(told)
    assert ("a key of another region can look revoked" in str(told)) == is_told
    spent = CreditsSpent("no credits")
    assert str(explained(spent, ServiceSettings(url=url))) == "no credits"


def test_a_translation_has_its_language_as_a_setting_of_its_own(calls: Corpus, out: Path) -> None:
    with Asked() as service:
        wrong = shlex.split("--set service.json_config.target_language=fr")
        done = batch("run", calls.folder, "--out", out, *TRANSLATES, *wrong, server=service)
    assert (done.exit, service.queries) == (2, [])
    assert "set the language to translate into as service.language" in done.stderr


@pytest.mark.slow
def test_a_translation_into_any_language_is_refused_for_the_run_and_for_a_row(tmp_path: Path, out: Path) -> None:
    write_wav(tmp_path / "a.wav", seed=1)
    manifest = tmp_path / "m.csv"
    manifest.write_text("audio,language\na.wav,Any\n")
    with Asked() as service:
        configured = batch("run", tmp_path / "a.wav", "--out", out, *TRANSLATES, *ANY, server=service)
        of_a_row = batch("run", manifest, "--out", out, *TRANSLATES, server=service)
        checked = batch("check", manifest, "--out", out, "--offline", *TRANSLATES)
        assert (configured.exit, of_a_row.exit, checked.exit, service.queries) == (2, 2, 2, [])
        spoken = batch("run", manifest, "--out", out, *ANY, server=service)
        assert (spoken.exit, len(service.queries)) == (0, 1), spoken.stderr
    sentence = "stt-translate translates into the language, which 'any' does not name; give one of en, fr, de, es, pt"
    assert f"service.language: {sentence}" in configured.stderr
    for told in (of_a_row, checked):
        assert f"m.csv:2: {sentence}" in told.stderr
