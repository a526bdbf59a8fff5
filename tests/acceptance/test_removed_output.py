"""An output folder that is removed while a run writes into it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.at_work import AtWork, wait_until
from tests.batch import Corpus, batch, rows_of
from tests.servers import start_server, wait_for_answers


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_run_whose_output_is_removed_stops_within_seconds_and_makes_no_new_one(
    tmp_path: Path, out: Path, start: Callable[..., AtWork]
) -> None:
    corpus = Corpus(tmp_path / "audio", count=300)
    with start_server(latency_s=0.1) as server:
        run = start(server, "run", corpus.folder, "--out", out, "--concurrency", "2")
        wait_for_answers(server, 4)
        shutil.rmtree(out)
        begun = time.monotonic()
        result = run.finished()
        assert time.monotonic() - begun < 4
        assert server.stats()["requests"] < 100
    assert result.exit == 1
    told = f"gradium-batch: the output folder {out}, or its run.lock or checkpoint, was removed or replaced"
    assert result.stderr.count(told) == 1
    assert result.figures["credits"] > 0
    assert not out.exists()


@pytest.mark.slow
def test_a_removed_output_is_noticed_while_no_answer_comes(
    tmp_path: Path, out: Path, start: Callable[..., AtWork]
) -> None:
    corpus = Corpus(tmp_path / "audio", count=4)
    with start_server(faults='[[fault]]\nkind = "hang"') as server:
        run = start(server, "run", corpus.folder, "--out", out)
        wait_until(lambda: server.stats()["requests"] == 4)
        out.rename(out.with_name("elsewhere"))
        result = run.finished()
    assert result.exit == 1
    assert "was removed or replaced" in result.stderr
    assert not out.exists()


@pytest.mark.slow
def test_a_run_whose_output_is_removed_writes_nothing_into_the_one_that_takes_its_place(
    tmp_path: Path, out: Path, start: Callable[..., AtWork]
) -> None:
    corpus = Corpus(tmp_path / "audio", count=60)
    in_flight, elsewhere = 2, out.with_name("elsewhere")
    with start_server(latency_s=0.1) as server:
        run = start(server, "run", corpus.folder, "--out", out, "--concurrency", str(in_flight))
        wait_for_answers(server, 4)
        out.rename(elsewhere)
        out.mkdir()
        (out / "note.txt").write_text("mine")
        assert run.finished().exit == 1
        assert batch("run", corpus.folder, "--out", elsewhere, server=server).exit == 0
        assert server.stats()["requests"] <= 60 + in_flight
    assert names_in(out) == ["note.txt"]
    assert rows_of(elsewhere) == corpus.texts
