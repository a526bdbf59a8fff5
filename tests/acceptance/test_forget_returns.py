"""What was forgotten and comes back with an old file; what may stay beside it; what `--allow` lets return."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.acceptance.remains import found_in
from tests.acceptance.test_forget import Night
from tests.batch import batch, environment, finish, jsonl_rows_of, rows_of
from tests.forked import Started
from tests.servers import RunningServer

FORGOTTEN = "00002.wav"
BEFORE_IT_IS_TAKEN_OUT = """
import os, signal, pipeline.cli, pipeline.run.rebuild
real = pipeline.run.rebuild.put_in_place

def put_in_place(*args):
    real(*args)
    os.kill(os.getpid(), signal.SIGKILL)

pipeline.run.rebuild.put_in_place = put_in_place
pipeline.cli.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [True, False])
def test_an_old_part_comes_back(tmp_path: Path, server: RunningServer, is_killed: bool) -> None:
    night = Night(tmp_path, server)
    night.run()
    words = night.words_of([FORGOTTEN])
    part = night.out / "transcripts" / "part-000001.parquet"
    shutil.copy(part, tmp_path)
    night.forget("--id", FORGOTTEN)
    requests = night.requests
    del night.texts[FORGOTTEN]
    shutil.copy(tmp_path / part.name, part)
    if is_killed:
        process = Started([BEFORE_IT_IS_TAKEN_OUT, "rebuild", str(night.out)], environment(), kind="python")
        assert finish(process).exit == -signal.SIGKILL
        night.run()
    else:
        told = batch("forget", night.out, "--id", FORGOTTEN, "--yes")
        assert told.exit == 1
        assert "it has 4 rows and had 3" in told.stderr
        assert "rebuild" in told.stderr
        assert batch("rebuild", night.out).exit == 0
    assert found_in(night.out, words) == {}
    night.run()
    assert rows_of(night.out) == jsonl_rows_of(night.out) == night.texts
    assert night.requests == requests


@pytest.mark.slow
def test_damaged_files_stay_where_nothing_of_it_is_found(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server)
    night.run()
    night.forget("--id", FORGOTTEN)
    part = night.out / "transcripts" / "part-000003.parquet"
    part.write_bytes(part.read_bytes()[:-3])
    for name in ("transcripts.jsonl", "checkpoint.sqlite"):
        (night.out / name).unlink()
    told = batch("rebuild", night.out)
    assert told.exit == 0
    kept = night.out / "transcripts" / "_part-000003.parquet.damaged"
    assert f"{kept} may have words of what was forgotten" in told.stdout
    assert kept.exists(), "it has rows that were paid for"
    assert "removed as well" in night.forget("--id", FORGOTTEN).stdout
    assert not kept.exists()


@pytest.mark.slow
def test_one_of_two_with_the_same_audio_cannot_be_allowed(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server)
    night.write(("second", night.corpus.folder / FORGOTTEN))
    night.run()
    night.forget("--audio", night.corpus.folder / FORGOTTEN)
    told = batch("forget", night.out, "--id", "second", "--allow")
    assert told.exit == 2
    assert "1 other forgotten utterance with the same audio" in told.stderr
    requests = night.requests
    assert batch("forget", night.out, "--id", "second", "--id", FORGOTTEN, "--allow").exit == 0
    night.run()
    assert night.requests == requests + 1
    assert rows_of(night.out) == {**night.texts, "second": night.texts[FORGOTTEN]}
