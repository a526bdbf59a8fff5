"""`forget` and `prune` killed at each step, and a disk that is full: no word comes back, no other row is lost."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.acceptance.remains import found_in
from tests.acceptance.test_forget import QUIET, Night, status_of
from tests.acceptance.test_full_disk import fill, small_disk
from tests.batch import batch, environment, finish, jsonl_rows_of, rows_of, table_of, write_wav
from tests.forked import Started
from tests.servers import RunningServer

AT_STEP = """
import os, pathlib, signal
from contextlib import contextmanager
import pipeline.cli, pipeline.run.forget, pipeline.run.prune
from pipeline.checkpoint import Checkpoint, connection
from pipeline.sink.store import FolderStore

steps = 0

def step():
    global steps
    steps += 1
    if steps == {nth}:
        os.kill(os.getpid(), signal.SIGKILL)

def around(owner, name):
    real = getattr(owner, name)
    def stepping(*args, **kwargs):
        step()
        result = real(*args, **kwargs)
        step()
        return result
    setattr(owner, name, stepping)

around(FolderStore, "remove")
around(Checkpoint, "compact")
around(pathlib.Path, "replace")
real = connection.transaction

@contextmanager
def transaction(db, kind="IMMEDIATE"):
    with real(db, kind):
        yield
        step()
    step()

connection.transaction = transaction
pipeline.cli.main()
"""
LONG, BROKEN, DONE = "long.wav", "broken.wav", "00002.wav"


def killed_at(nth: int, *args: str | Path) -> bool:
    """Runs the command, and kills it at its step of this number; whether it came so far."""
    done = finish(Started([AT_STEP.format(nth=nth), *map(str, args)], environment(), kind="python"))
    assert done.exit in (-signal.SIGKILL, 0, 1), done.stderr
    return done.exit == -signal.SIGKILL


def everything(folder: Path, server: RunningServer) -> tuple[Night, list[str]]:
    """An output with published rows, waiting ones, replaced ones, an error, clips of an unfinished recording, and a
    checkpoint that a rebuild has kept; and the words of what is to be forgotten."""
    night = Night(folder, server, count=10)
    long = folder / "audio" / LONG
    text = write_wav(long, seed=50, seconds=14)
    (folder / "audio" / BROKEN).write_bytes(b"RIFF nothing that could be heard")
    night.write((BROKEN, folder / "audio" / BROKEN), (LONG, long))
    clips = ("--set", "audio.max_clip_s=5")
    night.run(*clips, "--id", LONG, "--budget", "20", exit=4)
    assert (night.out / "clips.jsonl").exists()
    night.run(*clips, "--id", DONE)
    night.run(*clips, "--id", DONE, "--set", "service.language=de", "--only", "changed")
    assert batch("rebuild", night.out, "--force").exit == 0
    ids = [id_ for id_ in night.texts if id_ != DONE][:4]
    night.run(*clips, *(word for id_ in [BROKEN, *ids] for word in ("--id", id_)), exit=3)
    waiting = ("--id", "00006.wav", "--id", "00007.wav")
    args = ["run", night.manifest, "--out", night.out, *QUIET, *clips, *waiting]
    done = Started(
        ["import pipeline.cli, os, signal\nfrom pipeline.sink.sink import Sink\n"
         "Sink.publish = lambda *args: os.kill(os.getpid(), signal.SIGKILL)\npipeline.cli.main()",
         *map(str, args)], environment(server), kind="python",
    )  # fmt: skip
    assert finish(done).exit == -signal.SIGKILL
    assert batch("export", night.out, "--format", "csv").exit == 0
    for name in (".transcripts.jsonl.tmp", "transcripts/.part-000001.parquet.tmp", "attempts/.part-000001.parquet.tmp",
                 ".errors.jsonl.tmp", ".clips.jsonl.tmp", "runs/.x.json.tmp", ".summary.json.tmp",
                 "transcripts/_part-000001.parquet.damaged", "clips.jsonl.damaged-2", ".spool/part.wav"):  # fmt: skip
        (night.out / name).parent.mkdir(exist_ok=True)
        (night.out / name).write_text(f"{DONE} {LONG} {BROKEN}")
    words = {*night.words_of([DONE, "00006.wav"]), LONG, BROKEN, "reference10x", "about11x"}
    return night, sorted(words | {*text.split()} - {word for other in night.texts.values() for word in other.split()})


def left_of(night: Night) -> dict[str, str]:
    return {id_: text for id_, text in night.texts.items() if id_ not in (DONE, "00006.wav")}


def forgetting(night: Night) -> list[str | Path]:
    ids = (DONE, "00006.wav", LONG, BROKEN)
    return ["forget", night.out, "--yes", *(word for id_ in ids for word in ("--id", id_))]


@pytest.mark.slow
def test_it_is_taken_out_of_everything_there_is(tmp_path: Path, server: RunningServer) -> None:
    night, words = everything(tmp_path, server)
    assert {"checkpoint.sqlite", "clips.jsonl", "errors.jsonl"} <= found_in(night.out, words).keys()
    credits_before = status_of(night.out)["credits"]
    told = batch(*forgetting(night))
    assert told.exit == 0, told.stderr + told.stdout
    assert "checkpoint.old-" in told.stdout
    assert found_in(night.out, words) == {}
    assert status_of(night.out)["credits"] == credits_before
    requests = night.requests
    assert "4 rows were forgotten" in night.run().stderr
    assert night.requests - requests == 3, "the three that were never done"
    assert found_in(night.out, words) == {}
    assert rows_of(night.out) == jsonl_rows_of(night.out) == left_of(night)
    batch("rebuild", night.out, "--force")
    assert found_in(night.out, words) == {}
    assert table_of(night.out, "attempts").num_rows == night.requests


@pytest.mark.slow
def test_killed_at_any_step_the_same_command_or_the_next_run_goes_on(tmp_path: Path, server: RunningServer) -> None:
    night, words = everything(tmp_path, server)
    before = tmp_path / "before"
    shutil.copytree(night.out, before)
    nth, is_over = 0, False
    while not is_over:
        nth += 1
        shutil.rmtree(night.out)
        shutil.copytree(before, night.out)
        is_over = not killed_at(nth, *forgetting(night))
        is_forgotten = (night.out / "forgotten.jsonl").exists()
        requests = night.requests
        if nth % 3 == 0 or not is_forgotten:
            assert batch(*forgetting(night)).exit == 0
            assert found_in(night.out, words) == {}, nth
        elif nth % 3 == 1:
            (night.out / "checkpoint.sqlite-shm").unlink(missing_ok=True)
            rebuilt = batch("rebuild", night.out, "--force")
            assert rebuilt.exit == 0, (nth, rebuilt.stderr)
            assert found_in(night.out, words) == {}, nth
        night.run()
        assert found_in(night.out, words) == {}, nth
        assert night.requests - requests == 3, nth
        assert rows_of(night.out) == jsonl_rows_of(night.out) == left_of(night)
        assert (status_of(night.out)["done"], status_of(night.out)["forgotten"]) == (8, 4)
    assert nth > 30


@pytest.mark.slow
@pytest.mark.parametrize("formats", ["both", "jsonl"])
def test_prune_killed_at_any_step(tmp_path: Path, server: RunningServer, formats: str) -> None:
    as_before = ("--set", 'sink.formats=["jsonl"]') if formats == "jsonl" else ()
    night = Night(tmp_path, server, count=12)
    night.run(*as_before)
    for id_ in ("00000.wav", "00005.wav", "00011.wav"):
        del night.texts[id_]
    night.write()
    night.run(*as_before)
    before, requests = tmp_path / "before", night.requests
    shutil.copytree(night.out, before)
    nth, is_over = 0, False
    while not is_over:
        nth += 1
        shutil.rmtree(night.out)
        shutil.copytree(before, night.out)
        is_over = not killed_at(nth, "prune", night.out, "--yes")
        if nth % 2:
            assert batch("prune", night.out, "--yes").exit == 0
        night.run(*as_before)
        rows = jsonl_rows_of(night.out)
        assert formats == "jsonl" or rows_of(night.out) == rows
        assert {id_: rows[id_] for id_ in night.texts} == night.texts
        assert len(rows) in (9, 12), "all that were to go, or none"
        assert status_of(night.out)["vanished"] == len(rows) - 9
        assert batch("rebuild", night.out).exit == 2, "nothing is wrong with it"
    assert nth > 10
    assert night.requests == requests


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path, server: RunningServer) -> None:
    with small_disk(tmp_path / "small", 8) as disk:
        night = Night(disk, server)
        night.run()
        filler = fill(disk)
        told = batch("forget", night.out, "--id", DONE, "--yes")
        assert told.exit == 1
        assert len(told.stderr.strip().splitlines()) == 1, told.stderr
        assert rows_of(night.out) == jsonl_rows_of(night.out) == night.texts
        os.truncate(filler, filler.stat().st_size - (64 << 10))  # enough for the smallest files only
        assert batch("forget", night.out, "--id", DONE, "--yes").exit == 1
        filler.unlink()
        assert batch("forget", night.out, "--id", DONE, "--yes").exit == 0
        assert found_in(night.out, night.words_of([DONE])) == {}
        del night.texts[DONE]
        assert rows_of(night.out) == jsonl_rows_of(night.out) == night.texts
