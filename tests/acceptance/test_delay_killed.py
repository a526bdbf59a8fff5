"""Killed while times are decided or rewritten: the next command goes on, and every row has true times in the end."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.test_cut_steps import EndAt, Step, end_at, slow
from tests.acceptance.test_delay import off_by, published, recordings, told, with_delay
from tests.batch import batch
from tests.servers import start_server

__all__ = ["end_at"]
KILL = signal.SIGKILL


def applied(out: Path) -> set[int]:
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db:
        return {value for (value,) in db.execute("SELECT applied FROM subtracted")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [
        ("Checkpoint", "results_published", "after", 1),
        ("Sink", "publish", "after", 1),
        ("Checkpoint", "apply", "after", 2),
        ("Checkpoint", "apply", "after", 6),
        ("Table", "replace", "before", 1),
        ("Table", "replace", "after", 1),
        ("Table", "replace", "after", 2),
        ("Checkpoint", "rewritten", "after", 1),
        ("Sink", "rewrite_lines", "before", 1),
        ("Sink", "rewrite_lines", "after", 1),
    ],
)
def test_a_run_before_and_after_the_evidence(tmp_path: Path, end_at: EndAt, step: Step) -> None:
    """The quiet recordings are answered first and published as if the times contained the delay, which they do not."""
    folder, out = recordings(tmp_path / "audio", 3, quiet=3), tmp_path / "out"
    args = ("run", folder, "--out", out, *with_delay(7)[:2], "--set", "sink.rows_per_part=1")
    one = ("--set", "pool.concurrency=1", "--progress", "off")
    with start_server(times="audio", latency_s=0.4) as server:
        end_at(step, KILL, *args, *one, server=server)
        if step[1] == "results_published":
            assert applied(out) == {1}
        assert batch(*args, server=server).exit == 0
        assert server.stats()["requests"] <= 7
        assert off_by(published(out)) <= 0.001
        assert told(out)[0] == "off"
        assert applied(out) == {0}
        assert {row["status"] for row in published(out)} == {"ok"}


@pytest.mark.parametrize(
    "step",
    [
        slow(("Checkpoint", "set_verdict", "after", 1)),
        ("Table", "replace", "after", 2),
        slow(("Checkpoint", "rewritten", "before", 2)),
        slow(("Checkpoint", "rewritten", "after", 2)),
        slow(("Sink", "rewrite_lines", "before", 1)),
        slow(("Sink", "rewrite_lines", "after", 1)),
    ],
)
@pytest.mark.parametrize("then", ["rebuild", pytest.param("run", marks=pytest.mark.slow)])
def test_a_rebuild_that_takes_it_back(tmp_path: Path, end_at: EndAt, step: Step, then: str) -> None:
    folder, out = recordings(tmp_path / "audio", 6), tmp_path / "out"
    with start_server() as server:
        args = ("run", folder, "--out", out, *with_delay(16))
        assert batch(*args, server=server).exit == 0
        right = published(out)
        end_at(step, KILL, "rebuild", out, "--delay-correction", "off")
        again = ("rebuild", out, "--delay-correction", "off") if then == "rebuild" else args
        assert batch(*again, server=server).exit == 0
        wrong = published(out)
        assert min(off_by([row]) for row in wrong) > 1.0
        assert applied(out) == {0}
        assert batch("rebuild", out, "--delay-correction", "on").exit == 0
        assert published(out) == right
        assert server.stats()["requests"] == 6


@pytest.mark.parametrize("formats", ['["jsonl"]', pytest.param('["parquet"]', marks=pytest.mark.slow)])
def test_a_new_checkpoint_keeps_the_verdict_and_what_was_subtracted(tmp_path: Path, formats: str) -> None:
    folder, out = recordings(tmp_path / "audio", 24), tmp_path / "out"
    options = with_delay(16, "--set", f"sink.formats={formats}")
    with start_server(times="audio") as server:
        assert batch("run", folder, "--out", out, *options, server=server).exit == 0
        assert told(out) == ("off", True, "answers")
        assert batch("rebuild", out, "--force").exit == 0
        assert applied(out) == {0}
        done = batch("rebuild", out, "--delay-correction", "on")
        assert "24 transcripts changed" in done.stdout
        done = batch("rebuild", out, "--force", "--delay-correction", "off")
        assert "24 transcripts changed" in done.stdout
        assert batch("run", folder, "--out", out, *options, server=server).exit == 0
        assert told(out) == ("off", True, "rebuild")
        assert server.stats()["requests"] == 24


@pytest.mark.slow
@pytest.mark.parametrize("change", ["metadata", "renamed", "gone"])
def test_rows_that_change_otherwise_while_their_times_are_to_be_mended(
    tmp_path: Path, end_at: EndAt, change: str
) -> None:
    folder, out = recordings(tmp_path / "audio", 2, quiet=2), tmp_path / "out"
    manifest = tmp_path / "rows.csv"

    def written(note: str) -> Path:
        rows = [f"audio/{path.name},{note}" for path in sorted(folder.iterdir())]
        manifest.write_text("\n".join(["audio,note", *rows, ""]))
        return manifest

    args = ("--out", out, *with_delay(7)[:2], "--set", "sink.rows_per_part=1", "--set", "pool.concurrency=1")
    with start_server(times="audio", latency_s=0.4) as server:
        step = ("Checkpoint", "results_published", "after", 1)
        end_at(step, KILL, "run", written("before"), *args, "--progress", "off", server=server)
        assert applied(out) == {1}
        if change == "renamed":
            (folder / "0-quiet-0.wav").rename(folder / "0-quiet-9.wav")
        if change == "gone":
            (folder / "0-quiet-0.wav").rename(tmp_path / "away.wav")
        assert batch("run", written("after"), *args, server=server).exit in (0, 3)
        if change == "gone":
            (tmp_path / "away.wav").rename(folder / "0-quiet-0.wav")
        rows = published(out)
        assert len(rows) == 4
        assert off_by(rows) <= 0.001
        assert {row["metadata"]["note"] for row in rows} == ({"before", "after"} if change == "gone" else {"after"})
        assert server.stats()["requests"] <= 5


@pytest.mark.slow
def test_a_transcript_that_was_replaced_and_comes_back(tmp_path: Path, end_at: EndAt) -> None:
    """Its times are those of the verdict, although it was published before that, and is copied from its part."""
    folder, out = recordings(tmp_path / "audio", 3, quiet=2), tmp_path / "out"
    args = ("run", folder, "--out", out, "--set", "sink.rows_per_part=1", "--set", "pool.concurrency=1")
    with start_server(times="audio", latency_s=0.4) as server:
        step = ("Checkpoint", "results_published", "after", 2)
        end_at(step, KILL, *args, *with_delay(7)[:2], "--progress", "off", server=server)
        assert batch(*args, *with_delay(48)[:2], server=server).exit == 0
        assert off_by(published(out)) <= 0.001
        sent = server.stats()["requests"]
        assert batch(*args, *with_delay(7)[:2], server=server).exit == 0
        assert server.stats()["requests"] <= sent + 3
        assert off_by(published(out)) <= 0.001
