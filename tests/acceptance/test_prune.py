"""`prune`: rows that left their manifest go, with `--yes`; no other row does, and the ledger stays."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.remains import found_in
from tests.acceptance.test_forget import QUIET, Night, status_of
from tests.batch import batch, jsonl_rows_of, rows_of, table_of, write_wav
from tests.servers import RunningServer

DAY_S = 86_400


def pruned(out: Path, *args: str, exit: int = 0) -> dict[str, Any]:
    done = batch("prune", out, "--json", *args)
    assert done.exit == exit, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture
def night(tmp_path: Path, server: RunningServer) -> Night:
    """Twelve rows, of which three left the manifest."""
    night = Night(tmp_path, server, count=12)
    night.run()
    for id_ in ("00000.wav", "00005.wav", "00011.wav"):
        del night.texts[id_]
    night.run()
    night.write()
    night.run()
    return night


def test_it_says_what_it_would_do_and_does_it_with_yes(night: Night) -> None:
    before, requests = status_of(night.out), night.requests
    would = pruned(night.out)
    assert would | {"out": ""} == {
        "out": "", "done": False, "rows": 3, "ids": ["00000.wav", "00005.wav", "00011.wav"], "transcripts": 3,
        "audio_s": 1.5, "credits": 4.5, "others": 0, "empty": [], "left": 0,
    }  # fmt: skip
    told = batch("prune", night.out).stdout
    assert "3 rows that left the manifest would be removed: 00000.wav, 00005.wav, 00011.wav" in told
    assert "4.5 credits" in told
    assert "paid for again" in told
    assert len(rows_of(night.out)) == 12
    assert pruned(night.out, "--yes") == would | {"done": True}
    assert rows_of(night.out) == jsonl_rows_of(night.out) == night.texts
    now = status_of(night.out)
    assert now["vanished"] == 0
    assert {name: now[name] for name in ("done", "failed", "left", "credits")} == {
        name: before[name] for name in ("done", "failed", "left", "credits")
    }
    assert table_of(night.out, "attempts").num_rows == 12
    assert pruned(night.out, "--yes")["rows"] == 0
    night.run()
    assert night.requests == requests
    night.texts["00005.wav"] = write_wav(night.corpus.folder / "00005.wav", seed=5)
    night.write()
    night.run()
    assert night.requests == requests + 1, "one that returns is paid for again"
    assert rows_of(night.out) == jsonl_rows_of(night.out) == night.texts


@pytest.mark.slow
def test_what_is_still_in_a_manifest_stays(night: Night, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    audio = tmp_path / "elsewhere.wav"
    text = write_wav(audio, seed=99)
    other.write_text(f"id,audio\nelsewhere,{audio}\n")
    assert batch("run", other, "--out", night.out, *QUIET, server=night.server).exit == 0
    gone = night.corpus.folder / "00001.wav"
    gone.unlink()
    night.run()
    assert status_of(night.out)["gone"] == 1
    assert pruned(night.out, "--yes")["rows"] == 3
    assert rows_of(night.out) == jsonl_rows_of(night.out) == night.texts | {"elsewhere": text}


@pytest.mark.slow
def test_only_those_that_have_been_missing_for_long(night: Night) -> None:
    assert pruned(night.out, "--older-than", "30d")["rows"] == 0
    assert "that long ago" in batch("prune", night.out, "--older-than", "30d").stdout
    with sqlite3.connect(night.out / "checkpoint.sqlite") as db:
        db.execute("UPDATE utterances SET removed = removed - ? WHERE id = '00005.wav'", (31 * DAY_S,))
    found = pruned(night.out, "--older-than", "30d", "--yes")
    assert (found["rows"], found["ids"], found["others"]) == (1, ["00005.wav"], 2)
    assert len(rows_of(night.out)) == 11


@pytest.mark.slow
def test_a_folder_whose_disk_is_not_mounted_keeps_its_rows(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server, count=3)
    night.manifest = night.corpus.folder
    night.run()
    for audio in night.corpus.folder.iterdir():
        audio.rename(tmp_path / audio.name)
    night.run()
    found = pruned(night.out, "--yes")
    assert (found["rows"], found["others"], found["empty"]) == (0, 3, [str(night.corpus.folder)])
    assert "is its disk mounted?" in batch("prune", night.out).stdout
    assert rows_of(night.out) == night.texts
    with sqlite3.connect(night.out / "checkpoint.sqlite") as db:
        db.execute("UPDATE utterances SET removed = removed - 10")
    assert pruned(night.out, "--older-than", "9s")["rows"] == 3
    for id_ in night.texts:
        (tmp_path / id_).rename(night.corpus.folder / id_)
    night.run()
    assert pruned(night.out, "--yes")["others"] == 0


@pytest.mark.slow
def test_errors_and_clips_of_removed_rows_go_and_waiting_rows_too(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server, count=2)
    write_wav(night.corpus.folder / "long.wav", seed=50, seconds=14)
    (night.corpus.folder / "broken.wav").write_bytes(b"nothing")
    night.write(("long", night.corpus.folder / "long.wav"), ("broken", night.corpus.folder / "broken.wav"))
    night.run("--set", "audio.max_clip_s=5", "--budget", "20", exit=4)
    assert (night.out / "clips.jsonl").exists()
    night.write()
    night.run()
    pruned(night.out, "--yes")
    assert not (night.out / "clips.jsonl").exists()
    assert found_in(night.out, ["long.wav", "broken.wav"]).keys() <= {"checkpoint.sqlite"}, "in free pages at most"
    assert rows_of(night.out) == jsonl_rows_of(night.out) == night.texts
