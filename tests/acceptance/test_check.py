"""`check` says what a run would do and cost, and touches nothing."""

from __future__ import annotations

import json
from pathlib import Path

from tests.batch import Corpus, batch, write_wav
from tests.servers import RunningServer


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
