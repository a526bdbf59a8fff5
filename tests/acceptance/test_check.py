"""`check` says what a run would do and cost, and touches nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.batch import Corpus, batch, table_of, write_wav
from tests.servers import RunningServer, start_server


def test_a_new_manifest_is_priced(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4, seconds=2.0)
    result = batch("check", corpus.folder, "--out", out, "--json")
    assert result.exit == 0
    forecast = json.loads(result.stdout)
    assert forecast["rows"] == forecast["new"] == forecast["requests"] == 4
    assert forecast["credits"] == 24.0
    assert not out.exists()


def test_what_is_done_costs_nothing_more(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    corpus.add(9, seconds=1.0)
    (corpus.folder / "bad.wav").write_text("no audio")
    before = sorted(path.name for path in out.rglob("*"))
    forecast = json.loads(batch("check", corpus.folder, "--out", out, "--json", server=server).stdout)
    assert forecast["done"] == 4
    assert forecast["new"] == 2
    assert forecast["requests"] == 1
    assert forecast["credits"] == 3.0
    assert forecast["unsendable"] == {"AudioUnreadable": 1}
    assert sorted(path.name for path in out.rglob("*")) == before


def test_bad_rows_and_missing_files_are_counted(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", seed=1)
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,audio\na,a.wav\nb,gone.wav\nc,\n")
    result = batch("check", manifest, "--out", tmp_path / "out", "--json")
    assert result.exit == 2
    forecast = json.loads(result.stdout)
    assert forecast["missing"] == 1
    assert forecast["bad_rows"] == 1
    assert "m.csv:4" in forecast["bad"][0]


def test_the_table_for_people(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    result = batch("check", corpus.folder, "--out", out)
    assert result.exit == 0
    assert "would send     3 requests" in result.stdout
    assert f"output         {out} (not there yet)\n" in result.stdout


def test_it_says_which_output_it_looked_at_where_none_was_named(tmp_path: Path) -> None:
    Corpus(tmp_path / "audio", count=1)
    assert "output         runs/audio (not there yet)\n" in batch("check", "audio", cwd=tmp_path).stdout
    assert json.loads(batch("check", "audio", "--json", cwd=tmp_path).stdout)["out"] == "runs/audio"


def test_it_says_why_strict_ends_with_2(tmp_path: Path, out: Path) -> None:
    write_wav(tmp_path / "a.wav", seed=1)
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,audio,keyword\na,a.wav,x\n")
    assert batch("check", manifest, "--out", out).exit == 0
    for form in ((), ("--json",)):
        result = batch("check", manifest, "--out", out, "--strict", *form)
        assert result.exit == 2
        assert result.stderr.splitlines()[-1] == (
            "gradium-batch: 1 warning (see above): with --strict a run refuses the manifest and sends nothing"
        )


def forecast_of(manifest: Path, out: Path, *more: str, server: RunningServer | None = None) -> dict[str, Any]:
    result = batch("check", manifest, "--out", out, "--json", *more, server=server)
    assert result.exit == 0, result.stderr
    forecast: dict[str, Any] = json.loads(result.stdout)
    return forecast


def figures(forecast: dict[str, Any]) -> tuple[int, int, int, float]:
    return forecast["unchanged"], forecast["copies"], forecast["requests"], forecast["credits"]


@pytest.mark.slow
def test_it_prices_what_the_run_then_sends(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=6, seconds=1.0)
    folder = corpus.folder
    with start_server() as server:
        run = ("run", folder, "--out", out)
        assert batch(*run, server=server).exit == 0
        sent = server.stats()["requests"]
        os.utime(folder / "00000.wav", (1, 1))  # looks changed, and is not
        write_wav(folder / "00001.wav", seed=101, seconds=1.0)  # changed, and as long as it was
        write_wav(folder / "00002.wav", seed=102, seconds=2.0)  # changed, and longer
        (folder / "00003.wav").rename(folder / "renamed.wav")
        shutil.copy(folder / "00004.wav", folder / "copied.wav")
        write_wav(folder / "new.wav", seed=103, seconds=1.0)  # as long as many others
        for number in range(3):
            shutil.copy(folder / "new.wav", folder / f"new-{number}.wav")
        shutil.copy(folder / "00002.wav", folder / "longer.wav")
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
        forecast = forecast_of(folder, out, server=server)
        assert figures(forecast) == (1, 2 + 3 + 1, 3, 3 * (1.0 + 2.0 + 1.0))
        assert forecast["audio_s"] == 4.0
        assert forecast["selected"] == 10
        table = batch("check", folder, "--out", out, server=server).stdout
        assert "1 unchanged by content, 6 copies of what is sent or done" in table
        assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
        assert server.stats()["requests"] == sent
        assert batch(*run, server=server).exit == 0
        assert server.stats()["requests"] - sent == forecast["requests"]
        assert figures(forecast_of(folder, out, server=server)) == (0, 0, 0, 0.0)
        # with other settings nothing has a transcript, and copies are copies still
        other = forecast_of(folder, out, "--set", "service.language=fr", server=server)
        assert (other["changed"], other["unchanged"], other["copies"], other["requests"]) == (12, 0, 4 + 1, 7)


def test_copies_that_cannot_be_sent_are_told_each(tmp_path: Path, out: Path) -> None:
    for name in "abc":
        (tmp_path / "audio").mkdir(exist_ok=True)
        (tmp_path / "audio" / f"{name}.wav").write_text("no audio")
    forecast = forecast_of(tmp_path / "audio", out)
    assert forecast["unsendable"] == {"AudioUnreadable": 3}
    assert figures(forecast) == (0, 0, 0, 0.0)


def test_spans_of_files_of_one_length_are_no_copies_of_each_other(tmp_path: Path, out: Path) -> None:
    for name, seed in (("a", 1), ("b", 2), ("twin", 1)):
        write_wav(tmp_path / f"{name}.wav", seed=seed, seconds=2.0)
    rows = [f"{name}-{start},{name}.wav,{start},1" for name in ("a", "b", "twin") for start in (0, 1)]
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,audio,offset_s,duration_s\n" + "\n".join(rows) + "\n")
    assert figures(forecast_of(manifest, out)) == (0, 2, 4, 12.0)


def test_what_is_asked_for_again_is_priced_again(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3, seconds=1.0)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    shutil.copy(corpus.folder / "00000.wav", corpus.folder / "copied.wav")
    assert figures(forecast_of(corpus.folder, out, "--only", "all", server=server)) == (0, 1, 3, 9.0)


def test_the_audio_that_it_tells_is_what_is_to_be_sent(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=1, seconds=25.0)
    clips = ("--set", "audio.max_clip_s=10", "--set", "retry.max_attempts=1", "--concurrency", "1")
    with start_server(faults='[[fault]]\nkind = "internal_error"\nafter_requests = 2') as server:
        assert batch("run", corpus.folder, "--out", out, *clips, server=server).exit == 3
        args = ("check", corpus.folder, "--out", out, *clips[:4])
        forecast = json.loads(batch(*args, "--json", server=server).stdout)
        table = batch(*args, server=server).stdout
    assert (forecast["requests"], forecast["answered_clips"]) == (2, 2)
    answered = sum(row["credits"] for row in table_of(out, "attempts").to_pylist() if row["billed"] == "yes")
    assert 0 < answered < 75
    assert forecast["sent_s"] == pytest.approx(25 - answered / 3, abs=0.02)
    assert forecast["credits"] == pytest.approx(3 * forecast["sent_s"])
    assert f"would send     2 requests, {forecast['sent_s']:.1f} s of audio\n" in table
