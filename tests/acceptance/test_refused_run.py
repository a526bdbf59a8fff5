"""A run that is refused leaves everything as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.at_work import AtWork
from tests.batch import Corpus, Finished, batch, rows_of
from tests.servers import RunningServer


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(manifest: Path, out: Path) -> Finished:
    manifest.write_text("audio,duration_s\n,1\n")
    result = batch("run", manifest, "--out", out, GRADIUM_API_KEY="k")
    assert result.exit == 2, result.stderr
    return result


def test_a_refused_first_run_leaves_nothing(tmp_path: Path) -> None:
    refused(tmp_path / "m.csv", tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["note.txt", ".writable"])
def test_a_refused_first_run_leaves_a_folder_that_was_there_as_it_was(tmp_path: Path, out: Path, name: str) -> None:
    out.mkdir()
    (out / name).write_text("mine")
    refused(tmp_path / "m.csv", out)
    assert names_in(out) == [name]
    assert (out / name).read_text() == "mine"


def test_a_refused_first_run_leaves_what_others_put_there_meanwhile(
    tmp_path: Path, out: Path, server: RunningServer, start: Callable[..., AtWork]
) -> None:
    os.mkfifo(manifest := tmp_path / "m.csv")
    run = start(server, "run", manifest, "--out", out)
    with manifest.open("w") as file:  # opens once the run reads it
        (out / "note.txt").write_text("mine")
        file.write("audio\n\n,\n")
    assert run.finished().exit == 2
    assert names_in(out) == ["note.txt"]


def test_a_refused_later_run_leaves_the_output_as_it_was(tmp_path: Path, out: Path, server: RunningServer) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    before = names_in(out)
    refused(tmp_path / "m.csv", out)
    assert names_in(out) == before
    assert rows_of(out) == corpus.texts
