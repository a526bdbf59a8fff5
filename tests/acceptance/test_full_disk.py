"""A disk that is full, or has little room left."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.at_work import WAITS, AtWork, nothing_is_sent, wait_until
from tests.batch import Corpus, batch, jsonl_rows_of, rows_of
from tests.servers import RunningServer, start_server, wait_for_answers


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


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_moment_is_waited_for(tmp_path: Path, start: Callable[..., AtWork]) -> None:
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


@pytest.mark.slow
def test_a_part_that_a_full_disk_keeps_from_being_written_is_written_at_the_end(
    tmp_path: Path, start: Callable[..., AtWork]
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
