"""What does not fit the budget is passed over and named; what fits is sent, night after night."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.batch import Corpus, Finished, batch, rows_of, write_wav
from tests.servers import RunningServer, start_server


def stopped_by(out: Path) -> str | None:
    reason: str | None = json.loads((out / "summary.json").read_text())["stopped_by"]
    return reason


def corpus_of(folder: Path, *seconds: float) -> Corpus:
    corpus = Corpus(folder, count=0)
    for number, length_s in enumerate(seconds):
        corpus.add(number, length_s)
    return corpus


def figures(result: Finished) -> tuple[float, ...]:
    return tuple(result.figures[name] for name in ("exit", "done", "failed", "left", "credits"))


@pytest.mark.parametrize("concurrency", ["1", "32"])
def test_a_recording_above_the_budget_keeps_no_other_from_being_sent(
    tmp_path: Path, out: Path, server: RunningServer, concurrency: str
) -> None:
    corpus = corpus_of(tmp_path / "audio", 100.0, *[2.0] * 10)
    args = ("run", corpus.folder, "--out", out, "--concurrency", concurrency)
    above = "00000.wav needs 300 credits: more than the budget"

    first = batch(*args, "--budget", "30", server=server)
    assert figures(first) == (4, 5, 0, 6, 30)
    assert above in first.stderr
    assert stopped_by(out) == f"the budget of 30 credits; {above}"

    second = batch(*args, "--budget", "30", server=server)
    assert figures(second) == (4, 10, 0, 1, 30)
    assert stopped_by(out) == above

    assert figures(batch(*args, "--budget", "30", server=server)) == (4, 10, 0, 1, 0)
    assert figures(batch(*args, "--budget", "300", server=server)) == (0, 11, 0, 0, 300)
    assert rows_of(out) == corpus.texts


def test_what_is_passed_over_takes_no_place_of_the_limit(tmp_path: Path, out: Path, server: RunningServer) -> None:
    corpus = corpus_of(tmp_path / "audio", 100.0, 30.0, 20.0, *[2.0] * 4)
    args = ("run", corpus.folder, "--out", out, "--limit", "2", "--budget", "30")
    above = "3 recordings need 60 to 300 credits each: more than the budget (00000.wav, 00001.wav, 00002.wav)"

    assert figures(batch(*args, server=server)) == (4, 2, 0, 5, 12)
    assert stopped_by(out) == f"--limit 2; {above}"
    # what was named last night comes after the others
    assert figures(batch(*args, server=server)) == (4, 4, 0, 3, 12)
    assert stopped_by(out) == "--limit 2"
    assert figures(batch(*args, server=server)) == (4, 4, 0, 3, 0)
    assert stopped_by(out) == above


def test_a_copy_of_what_was_passed_over_waits_with_it(tmp_path: Path, out: Path, server: RunningServer) -> None:
    corpus = corpus_of(tmp_path / "audio", 100.0, 2.0)
    for name in ("00000.wav", "00001.wav"):
        shutil.copy(corpus.folder / name, corpus.folder / f"copy-{name}")
        corpus.texts[f"copy-{name}"] = corpus.texts[name]
    args = ("run", corpus.folder, "--out", out)

    assert figures(batch(*args, "--budget", "30", server=server)) == (4, 2, 0, 2, 6)
    assert stopped_by(out) == "2 recordings need 300 credits each: more than the budget (00000.wav, copy-00000.wav)"
    assert figures(batch(*args, server=server)) == (0, 4, 0, 0, 300)
    assert rows_of(out) == corpus.texts


@pytest.mark.slow
def test_a_long_recording_is_finished_over_nights_clip_by_clip(
    tmp_path: Path, out: Path, server: RunningServer
) -> None:
    corpus = corpus_of(tmp_path / "audio", 35.0)
    shutil.copy(corpus.folder / "00000.wav", corpus.folder / "copy.wav")
    # five clips of about 7 s
    args = ("run", corpus.folder, "--out", out, "--set", "audio.max_clip_s=10", "--budget", "30")
    spent = 0.0
    for _ in range(4):
        night = batch(*args, server=server)
        assert figures(night)[:4] == (4, 0, 0, 2)
        assert 0 < night.figures["credits"] <= 30
        assert stopped_by(out) == "the budget of 30 credits"
        spent += night.figures["credits"]
    last = batch(*args, server=server)
    assert figures(last)[:4] == (0, 2, 0, 0)
    assert spent + last.figures["credits"] == pytest.approx(105, abs=0.1)


def test_what_is_passed_over_gives_its_room_in_the_spool_back(tmp_path: Path, out: Path) -> None:
    corpus = corpus_of(tmp_path / "audio", *[90.0] * 4, 2.0)
    small = ("--set", "audio.max_clip_s=10", "--set", "audio.spool_mb=5", "--concurrency", "2")
    with start_server() as server:
        result = batch("run", corpus.folder, "--out", out, *small, "--budget", "7", server=server)
        assert figures(result) == (4, 1, 0, 4, 6)
        assert server.stats()["requests"] == 1
    assert "4 recordings need " in (stopped_by(out) or "")


def test_what_failed_and_does_not_fit_any_more_is_left_for_the_next_night(tmp_path: Path, out: Path) -> None:
    corpus = corpus_of(tmp_path / "audio", 4.0, 2.0)
    with start_server(faults='[[fault]]\nkind = "cut"\nat_byte = 90\nat_most = 1') as server:
        args = ("run", corpus.folder, "--out", out, "--concurrency", "1", "--set", "retry.base_s=0.01")
        assert figures(batch(*args, "--budget", "20", server=server)) == (4, 1, 0, 1, 18)
        assert stopped_by(out) == "the budget of 20 credits"
        assert figures(batch(*args, "--budget", "20", server=server)) == (0, 2, 0, 0, 12)


def test_check_names_what_is_above_the_budget(tmp_path: Path, out: Path) -> None:
    corpus = corpus_of(tmp_path / "audio", 100.0, 30.0, 2.0)
    shutil.copy(corpus.folder / "00001.wav", corpus.folder / "copy.wav")
    args = ("check", corpus.folder, "--out", out, "--set", "budget.credits=30")
    told = batch(*args)
    assert told.exit == 0
    sentence = "3 recordings need 90 to 300 credits each: more than the budget ("
    [line] = [line for line in told.stdout.splitlines() if line.startswith(f"budget         30 credits; {sentence}")]
    assert set(line.partition(sentence)[2].rstrip(")").split(", ")) == {"00000.wav", "00001.wav", "copy.wav"}
    forecast = json.loads(batch(*args, "--json").stdout)
    assert (forecast["budget"], forecast["above_budget"], forecast["above_credits"]) == (30.0, 3, [90.0, 300.0])
    assert set(forecast["above_ids"]) == {"00000.wav", "00001.wav", "copy.wav"}
    assert "budget" not in batch("check", corpus.folder, "--out", out).stdout


def test_many_above_the_budget_are_named_by_the_first_and_the_rest_counted(
    tmp_path: Path, out: Path, server: RunningServer
) -> None:
    corpus = corpus_of(tmp_path / "audio", *[8.0] * 12)
    args = (corpus.folder, "--out", out, "--set", "budget.credits=20")
    told = batch("check", *args).stdout, batch("run", *args, server=server).stderr
    for text in told:
        assert re.search(
            r"12 recordings need 24 credits each: more than the budget \(\d{5}.wav, \d{5}.wav, \d{5}.wav and 9 more\)",
            text,
        ), text


def test_names_above_the_budget_are_told_in_one_short_line_whatever_they_hold(
    tmp_path: Path, out: Path, server: RunningServer
) -> None:
    write_wav(tmp_path / "a.wav", seed=1, seconds=8.0)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(json.dumps({"id": "x" * 20 + "\u202e\ue000" + "y" * 900, "audio": "a.wav"}))
    args = (manifest, "--out", out, "--set", "budget.credits=20")
    for text in (batch("check", *args).stdout, batch("run", *args, server=server).stderr):
        assert "x" * 20 + "\\u202e\\ue000" + "y" * 38 + "… needs 24 credits: more than the budget" in text
    assert len(stopped_by(out) or "") < 150
