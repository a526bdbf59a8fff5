"""`forget` where an export is not as its output is: moved, of rows that changed since, killed, not mounted."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.acceptance.remains import found_in
from tests.acceptance.test_forget import Night
from tests.batch import batch, environment, finish, rows_of
from tests.forked import Started
from tests.servers import RunningServer

FORMATS = {"csv": (), "lhotse": (), "srt": (), "hf": ("--no-audio",)}
FORGOTTEN, OTHER = "00002.wav", "00003.wav"
AT_STEP = """
import os, pathlib, signal, pipeline.cli
from contextlib import contextmanager
from pipeline.export.state import ExportState

steps = 0

def step():
    global steps
    steps += 1
    if steps == {nth}:
        os.kill(os.getpid(), signal.SIGKILL)

real, replace, fsync = ExportState.transaction, pathlib.Path.replace, os.fsync

@contextmanager
def transaction(state):
    with real(state):
        yield
        step()
    step()

def flushing(descriptor):
    step()
    fsync(descriptor)

def replacing(path, target):
    step()
    replace(path, target)

ExportState.transaction, os.fsync, pathlib.Path.replace = transaction, flushing, replacing
pipeline.cli.main()
"""


def swap(night: Night) -> None:
    """Has two recordings exchange their contents, for which nothing is sent."""
    one, other = (night.corpus.folder / name for name in (FORGOTTEN, OTHER))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    night.run()
    texts = rows_of(night.out)
    assert (texts[FORGOTTEN], texts[OTHER]) == (night.texts[OTHER], night.texts[FORGOTTEN])


def words_of_other(night: Night) -> list[str]:
    """The words that only the recording has which the forgotten row had last."""
    others = {word for id_, text in night.texts.items() if id_ != OTHER for word in text.split()}
    return [*{*night.texts[OTHER].split()} - others]


@pytest.mark.slow
def test_moved_changed_or_not_mounted(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server)
    night.run()
    far = tmp_path / "far"
    for format_, options in FORMATS.items():
        for to in ((), ("--to", far / format_)):
            assert batch("export", night.out, "--format", format_, *options, *to).exit == 0
    swap(night)
    night.out = night.out.rename(tmp_path / "moved")
    away = far.rename(tmp_path / "not mounted")
    words = words_of_other(night)
    assert len(found_in(night.out, words)) > len(FORMATS)
    told = night.forget("--id", FORGOTTEN, exit=1)
    assert told.stdout.count("is not there: if its disk is not mounted") == len(FORMATS)
    assert found_in(night.out, words) == {}
    assert not far.exists()
    away.rename(far)
    night.forget("--id", FORGOTTEN)
    assert found_in(far, words) == {}


@pytest.mark.slow
def test_a_split_or_a_condition_that_names_it(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server, count=1)
    night.run()
    [id_] = night.texts
    assert batch("export", night.out, "--format", "hf", "--no-audio", "--split-by", "about").exit == 0
    assert batch("export", night.out, "--format", "csv", "--where", f"id = '{id_}'").exit == 0
    night.forget("--id", id_)
    assert found_in(night.out, night.words_of([id_])) == {}


@pytest.mark.slow
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("format_", FORMATS)
def test_a_killed_export(tmp_path: Path, server: RunningServer, format_: str, is_first: bool) -> None:
    night = Night(tmp_path, server, count=5)
    night.run()
    export = ("export", night.out, "--format", format_, *FORMATS[format_])
    if not is_first:
        assert batch(*export).exit == 0
    swap(night)
    before, nth, is_over = tmp_path / "before", 0, False
    night.out.rename(before)
    while not is_over:
        nth += 1
        shutil.rmtree(night.out, ignore_errors=True)
        shutil.copytree(before, night.out)
        process = Started([AT_STEP.format(nth=nth), *map(str, export)], environment(), kind="python")
        exit_ = finish(process).exit
        assert exit_ in (-signal.SIGKILL, 0)
        is_over = exit_ == 0
        night.forget("--id", FORGOTTEN)
        assert found_in(night.out, words_of_other(night)) == {}, nth
        assert batch(*export).exit == 0
        fresh = tmp_path / f"fresh-{nth}"
        assert batch(*export, "--to", fresh).exit == 0
        folder = night.out / "exports" / format_
        for path in (path for path in fresh.rglob("*") if path.suffix in (".csv", ".srt")):
            assert (folder / path.relative_to(fresh)).read_bytes() == path.read_bytes()
    assert nth > 5
