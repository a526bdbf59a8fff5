"""What shares the machine with a run: locks on its checkpoint, a full disk, a folder that is removed under it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.batch import Corpus, Finished, batch, environment, jsonl_rows_of, rows_of, table_of
from tests.forked import Forked
from tests.servers import RunningServer, start_server, wait_for_answers

WAITS = "nothing more is sent meanwhile"
QUIET_S = 1.0
"""So long nothing may be sent: with short answers, a run that does not wait sends dozens."""


class Started:
    """A run at work, and what it has said so far."""

    def __init__(self, server: RunningServer, folder: Path, *args: str | Path) -> None:
        self._stderr = folder / f"stderr-{time.monotonic_ns()}"
        with Path(os.devnull).open("r+b") as null, self._stderr.open("w") as stderr:
            fds = [null.fileno(), null.fileno(), stderr.fileno()]
            self.process = Forked("command", [*map(str, args)], environment(server), None, fds)

    @property
    def said(self) -> str:
        return self._stderr.read_text()

    def says(self, text: str) -> None:
        """Waits until it has said this."""
        wait_until(lambda: text in self.said or self.process.poll() is not None)
        assert text in self.said, self.said

    def finished(self) -> Finished:
        self.process.wait(60)
        assert "Traceback" not in self.said, self.said
        return Finished(self.process.wait(60), "", self.said)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def start(server: RunningServer, *args: str | Path) -> Started:
        started.append(Started(server, tmp_path, *args))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def wait_until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline, "the run did not come so far"
        time.sleep(0.01)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Another program that writes into the checkpoint and takes its time."""
    with closing(sqlite3.connect(out / "checkpoint.sqlite", timeout=30, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, where this may be made."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path) -> Path:
    """Takes all room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    return filler


def nothing_is_sent(server: RunningServer) -> None:
    """Once what is in flight has come nothing follows, for as long as a run that goes on would send dozens."""

    def all_came() -> bool:
        stats = server.stats()
        return bool(stats["requests"] == stats["answered"])

    wait_until(all_came)
    before = server.stats()["requests"]
    time.sleep(QUIET_S)
    assert server.stats()["requests"] == before


def test_a_foreign_lock_is_waited_for_with_nothing_sent_and_nothing_lost(
    tmp_path: Path, out: Path, start: Callable[..., Started]
) -> None:
    corpus = Corpus(tmp_path / "audio", count=100)
    with start_server(latency_s=0.05) as server:
        run = start(server, "run", corpus.folder, "--out", out, "--concurrency", "4")
        wait_for_answers(server, 12)
        with locked(out):
            run.says(WAITS)
            nothing_is_sent(server)
        result = run.finished()
        assert result.exit == 0, result.stderr
        assert server.stats()["requests"] == 100
    assert result.stderr.count(WAITS) == 1
    assert "is locked by another program" in result.stderr
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    assert table_of(out, "attempts").num_rows == 100


@pytest.mark.slow
def test_a_lock_of_twelve_seconds_costs_no_answer(tmp_path: Path, out: Path, start: Callable[..., Started]) -> None:
    corpus = Corpus(tmp_path / "audio", count=400)
    with start_server(latency_s=0.05) as server:
        run = start(server, "run", corpus.folder, "--out", out, "--concurrency", "32")
        wait_for_answers(server, 40)
        with locked(out):
            time.sleep(12)
        assert run.finished().exit == 0
        assert server.stats()["requests"] == 400
    assert rows_of(out) == corpus.texts


@pytest.mark.parametrize("first", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_lock_before_the_first_request_is_waited_for(
    tmp_path: Path, out: Path, server: RunningServer, start: Callable[..., Started], first: bool
) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    args = ("run", corpus.folder, "--out", out)
    if first:
        out.mkdir()
        (out / "checkpoint.sqlite").touch()
    else:
        assert batch(*args, server=server).exit == 0
        corpus.add(7)
    with locked(out):
        run = start(server, *args)
        run.says(WAITS)
    assert run.finished().exit == 0
    assert rows_of(out) == corpus.texts


def test_a_stop_is_heard_while_the_checkpoint_is_waited_for(
    tmp_path: Path, out: Path, start: Callable[..., Started]
) -> None:
    corpus = Corpus(tmp_path / "audio", count=60)
    with start_server(latency_s=0.3) as server:
        run = start(server, "run", corpus.folder, "--out", out, "--concurrency", "4")
        wait_for_answers(server, 4)
        with locked(out):
            run.says(WAITS)
            run.process.send_signal(signal.SIGTERM)
            run.says("stopping at SIGTERM")
        result = run.finished()
        assert result.exit == 143, result.stderr
        assert server.stats()["answered"] == result.figures["done"] == len(rows_of(out))


@pytest.mark.slow
def test_a_stop_under_a_lock_that_stays_ends_in_bounded_time_and_says_what_is_lost(
    tmp_path: Path, out: Path, start: Callable[..., Started]
) -> None:
    corpus = Corpus(tmp_path / "audio", count=60)
    args = ("run", corpus.folder, "--out", out, "--concurrency", "4")
    with start_server(latency_s=0.1) as server:
        run = start(server, *args)
        wait_for_answers(server, 4)
        with locked(out):
            run.says(WAITS)
            nothing_is_sent(server)
            begun = time.monotonic()
            run.process.send_signal(signal.SIGTERM)
            result = run.finished()
            assert time.monotonic() - begun < 20
        answered = server.stats()["answered"]
    assert result.exit == 1
    assert "end the program that holds it" in result.stderr
    assert "make room" not in result.stderr
    with start_server() as server:
        assert batch(*args, server=server).exit == 0
        lost = answered + server.stats()["answered"] - 60
    assert f"answers that are lost and will be paid again: {lost} ({lost * 1.5:,.0f} credits)" in result.stderr
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


@pytest.mark.slow
def test_a_lock_that_stays_ends_the_run_once_the_time_for_it_is_over(
    tmp_path: Path, out: Path, start: Callable[..., Started]
) -> None:
    corpus = Corpus(tmp_path / "audio", count=40)
    args = ("run", corpus.folder, "--out", out, "--concurrency", "4")
    with start_server(latency_s=0.1) as server:
        run = start(server, *args, "--set", "timeouts.checkpoint_s=1.5")
        wait_for_answers(server, 4)
        with locked(out):
            result = run.finished()
    assert result.exit == 1
    assert "answers that are lost and will be paid again" in result.stderr
    assert result.stderr.count("gradium-batch: ") == 1


def test_a_disk_that_is_full_for_a_moment_is_waited_for(tmp_path: Path, start: Callable[..., Started]) -> None:
    corpus = Corpus(tmp_path / "audio", count=150)
    with small_disk(tmp_path / "small", 8) as disk, start_server(latency_s=0.05) as server:
        out = disk / "out"
        run = start(server, "run", corpus.folder, "--out", out, "--concurrency", "4")
        wait_for_answers(server, 20)
        filler = fill(disk)
        run.says(WAITS)
        nothing_is_sent(server)
        filler.unlink()
        result = run.finished()
        assert result.exit == 0, result.stderr
        assert server.stats()["requests"] == 150
        assert "its disk is full" in result.stderr
        assert result.stderr.count(WAITS) >= 1
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_a_part_that_a_full_disk_keeps_from_being_written_is_written_at_the_end(
    tmp_path: Path, start: Callable[..., Started]
) -> None:
    corpus = Corpus(tmp_path / "audio", count=80)
    with small_disk(tmp_path / "small", 8) as disk, start_server(latency_s=0.05) as server:
        out = disk / "out"
        args = ("run", corpus.folder, "--out", out, "--concurrency", "2", "--set", "sink.rows_per_part=10")
        run = start(server, *args)
        wait_until(lambda: (out / "transcripts.jsonl").exists())
        filler = fill(disk)
        run.says("full")
        filler.unlink()
        assert run.finished().exit == 0
        assert server.stats()["requests"] == 80
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_a_run_whose_output_is_removed_stops_within_seconds_and_makes_no_new_one(
    tmp_path: Path, out: Path, start: Callable[..., Started]
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


def test_a_removed_output_is_noticed_while_no_answer_comes(
    tmp_path: Path, out: Path, start: Callable[..., Started]
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


def test_a_run_whose_output_is_removed_writes_nothing_into_the_one_that_takes_its_place(
    tmp_path: Path, out: Path, start: Callable[..., Started]
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


def test_a_disk_with_too_little_room_is_told_once_before_the_first_request(
    tmp_path: Path, server: RunningServer
) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    manifest = tmp_path / "m.csv"
    manifest.write_text("audio,duration_s\n" + "".join(f"{corpus.folder}/{name},90000\n" for name in corpus.texts))
    with small_disk(tmp_path / "small", 8) as disk:
        args = ("run", manifest, "--out", disk / "out", "--set", "audio.allow_truncated=true")
        result = batch(*args, server=server)
        assert result.exit == 0, result.stderr
        assert result.stderr.count("MB free, and this run may take up to") == 1
        assert "MB free" not in batch(*args, server=server).stderr, "nothing is left to be done"
    roomy = batch("run", corpus.folder, "--out", tmp_path / "roomy", server=server)
    assert "MB free" not in roomy.stderr


# -- a run that is refused ------------------------------------------------------------------------------------------


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
    tmp_path: Path, out: Path, server: RunningServer, start: Callable[..., Started]
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
