"""`show` tells of one utterance all that an output knows: row, transcript or error, and each request."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.batch import Corpus, batch, start_batch, table_of, write_wav
from tests.servers import start_server

QUIET = ("--progress", "off", "--set", "retry.base_s=0.01")


def shown(out: Path, id_: str) -> dict[str, Any]:
    result = batch("show", out, "--id", id_, "--json")
    assert result.exit == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Path]:
    """Done after two faults; refused; left; all in two runs."""
    folder = tmp_path_factory.mktemp("made")
    corpus, out = Corpus(folder / "audio", count=2), folder / "out"
    corpus.texts["poisoned.wav"] = write_wav(corpus.folder / "poisoned.wav", seed=99)
    manifest = folder / "m.csv"
    manifest.write_text("audio,id,speaker\n" + "".join(f"audio/{name},{name},Ann\n" for name in corpus.texts))
    faults = f"""
[[fault]]
kind = "internal_error"
file = "{corpus.folder}/00001.wav"
times = 2
[[fault]]
kind = "policy"
message = "bad format: \\u001b[2J\\ndone=9 exit=0"
file = "{corpus.folder}/poisoned.wav"
"""
    with start_server(faults=faults) as server:
        for only in ("new", "failed"):
            assert batch("run", manifest, "--out", out, "--only", only, *QUIET, server=server).exit == 3
    with manifest.open("a") as file:
        file.write("audio/later.wav,later.wav,Ann\n")
    assert batch("run", manifest, "--out", out, "--only", "suspect", *QUIET, server=server).exit == 0
    return corpus, out


def test_what_is_done_is_shown_with_its_transcript_and_every_request(made: tuple[Corpus, Path]) -> None:
    corpus, out = made
    found = shown(out, "00001.wav")
    assert (found["state"], found["error"], found["in_flight"]) == ("done", None, [])
    assert found["row"]["audio"] == str(corpus.folder / "00001.wav")
    assert found["row"]["metadata"] == {"speaker": "Ann"}
    assert found["transcript"]["text"] == corpus.texts["00001.wav"]
    ledger = [row for row in table_of(out, "attempts").to_pylist() if row["id"] == "00001.wav"]
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["ServerFault", "ServerFault", "ok"]
    assert [attempt["attempt"] for attempt in found["attempts"]] == [row["attempt"] for row in ledger]
    told = batch("show", out, "--id", "00001.wav").stdout
    assert corpus.texts["00001.wav"] in told
    assert "clip 0, attempt 3: ok HTTP 200" in told
    assert "1.5 credits billed" in told
    assert "speaker = Ann" in told


def test_what_failed_is_shown_with_its_error_and_moves_no_cursor(made: tuple[Corpus, Path]) -> None:
    found = shown(made[1], "poisoned.wav")
    assert (found["state"], found["transcript"]) == ("failed", None)
    assert found["error"]["error"] == "AudioRefused"
    assert {attempt["outcome"] for attempt in found["attempts"]} == {"AudioRefused"}
    assert len({attempt["run_id"] for attempt in found["attempts"]}) == 2
    for form in ((), ("--json",)):
        told = batch("show", made[1], "--id", "poisoned.wav", *form).stdout
        assert "\x1b" not in told
        assert not any(line.startswith("done=9") for line in told.splitlines())
    assert "-> the service does not take this file" in batch("show", made[1], "--id", "poisoned.wav").stdout


def test_what_is_left_is_shown_without_attempts(made: tuple[Corpus, Path]) -> None:
    found = shown(made[1], "later.wav")
    assert (found["state"], found["attempts"], found["transcript"], found["error"]) == ("left", [], None, None)


@pytest.mark.parametrize(
    ("id_", "told"),
    [
        ("0001.wav", "has no id 0001.wav; did you mean 00001.wav or 00000.wav?"),
        ("audio/poisoned.wav", "did you mean poisoned.wav"),
        ("\x1b[2J", r"has no id \x1b[2J"),
    ],
)
def test_an_unknown_id_is_told_with_those_that_are_like_it(made: tuple[Corpus, Path], id_: str, told: str) -> None:
    for form in ((), ("--json",)):
        result = batch("show", made[1], "--id", id_, *form)
        assert (result.exit, result.stdout) == (2, "")
        assert told in result.stderr
        assert "\x1b" not in result.stderr


def test_an_output_without_a_checkpoint_is_told(out: Path) -> None:
    result = batch("show", out, "--id", "a")
    assert result.exit == 2
    assert f"{out}: there is no checkpoint here" in result.stderr


def test_beside_a_run_and_after_a_kill_a_request_without_an_end_is_shown(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    hang = f'[[fault]]\nkind = "hang"\nfile = "{corpus.folder}/00001.wav"\n'
    with (
        start_server(faults=hang) as server,
        start_batch("run", corpus.folder, "--out", out, *QUIET, "--set", "budget.credits=100", server=server) as run,
    ):
        deadline = time.monotonic() + 30
        while server.stats()["requests"] < 2 or shown(out, "00000.wav")["transcript"] is None:
            assert time.monotonic() < deadline, "nothing came"
        [attempt] = shown(out, "00001.wav")["in_flight"]
        assert (attempt["billed"], attempt["credits"]) == ("maybe", 1.5)
        assert shown(out, "00000.wav")["transcript"]["text"] == corpus.texts["00000.wav"]
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=30)
    assert shown(out, "00001.wav")["in_flight"] == [attempt]
    assert "in flight" in batch("show", out, "--id", "00001.wav").stdout
    assert [one["outcome"] for one in shown(out, "00000.wav")["attempts"]] == ["ok"]
