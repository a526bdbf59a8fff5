"""File systems of other kinds: without locks, without fsync of folders, with times that no local disk has."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch import Corpus, Finished, batch, environment, finish, jsonl_rows_of, rows_of, write_wav
from tests.forked import Started
from tests.servers import RunningServer

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")  # noqa: S108  a file system in memory keeps times that others bound


def slowly(*numbers: int) -> list[object]:
    """Other cases of the same rule, of which each starts Python anew."""
    return [pytest.param(number, marks=pytest.mark.slow) for number in numbers]


def batch_where(patch: str, tmp_path: Path, *args: str | Path, server: RunningServer) -> Finished:
    """Runs the command in a process that makes these changes to Python's own library first."""
    code = f"{patch}\nimport pipeline.cli\npipeline.cli.main()"
    return finish(Started([code, *map(str, args)], environment(server), kind="python"))


NO_LOCKS = """
import fcntl, os
def flock(descriptor, how):
    raise OSError({number}, os.strerror({number}))
fcntl.flock = flock
"""
NO_FSYNC = """
import os, stat
really = os.fsync
def fsync(descriptor):
    if stat.{kind}(os.fstat(descriptor).st_mode):
        raise OSError({number}, os.strerror({number}))
    really(descriptor)
os.fsync = fsync
"""
NO_HARD_LINKS = """
import os
def link(*args, **more):
    raise PermissionError(1, os.strerror(1))
os.link = link
"""
NO_SHARED_MEMORY = """
import sqlite3
really = sqlite3.connect
class Connection(sqlite3.Connection):
    def execute(self, text, *values):
        if "journal_mode" in text:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = {number}
            raise error
        return super().execute(text, *values)
sqlite3.connect = lambda *args, **more: really(*args, factory=Connection, **more)
"""


@pytest.mark.parametrize("number", [errno.ENOLCK, *slowly(errno.EOPNOTSUPP, errno.ENOSYS)])
def test_a_file_system_without_locks_is_told_before_anything_is_sent(
    number: int, server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus, before = Corpus(tmp_path / "audio", count=2), server.stats()["requests"]
    result = batch_where(NO_LOCKS.format(number=number), tmp_path, "run", corpus.folder, "--out", out, server=server)
    assert result.exit == 1
    [told] = [line for line in result.stderr.splitlines() if line.startswith("gradium-batch: ")]
    assert f"the output folder {out} cannot be locked: {os.strerror(number)}" in told
    assert "choose an --out on a local disk" in told
    assert server.stats()["requests"] == before
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0


@pytest.mark.parametrize("number", [errno.EINVAL, *slowly(errno.ENOTSUP, errno.ENOSYS)])
def test_a_file_system_that_knows_no_fsync_of_folders_is_good_enough(
    number: int, server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus, patch = Corpus(tmp_path / "audio", count=2), NO_FSYNC.format(kind="S_ISDIR", number=number)
    for args in (("run", corpus.folder, "--out", out), ("rebuild", out, "--force")):
        result = batch_where(patch, tmp_path, *args, server=server)
        assert result.exit == 0, result.stderr
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_a_folder_whose_fsync_fails_ends_the_run_with_a_sentence(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus, patch = Corpus(tmp_path / "audio", count=2), NO_FSYNC.format(kind="S_ISDIR", number=errno.EIO)
    result = batch_where(patch, tmp_path, "run", corpus.folder, "--out", out, server=server)
    assert result.exit == 1
    assert os.strerror(errno.EIO) in result.stderr
    before = server.stats()["requests"]
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_files_that_cannot_be_made_to_last_are_told_before_anything_is_sent(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus, before = Corpus(tmp_path / "audio", count=2), server.stats()["requests"]
    patch = NO_FSYNC.format(kind="S_ISREG", number=errno.EINVAL)
    result = batch_where(patch, tmp_path, "run", corpus.folder, "--out", out, server=server)
    assert result.exit == 1
    assert f"the output folder {out} cannot be written: {os.strerror(errno.EINVAL)}" in result.stderr
    assert server.stats()["requests"] == before


@pytest.mark.parametrize(
    "number",
    [
        sqlite3.SQLITE_IOERR_SHMMAP,
        *slowly(sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_LOCK, sqlite3.SQLITE_PROTOCOL),
    ],
)
def test_a_file_system_on_which_sqlite_cannot_work_is_told_before_anything_is_sent(
    number: int, server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus, before = Corpus(tmp_path / "audio", count=1), server.stats()["requests"]
    patch = NO_SHARED_MEMORY.format(number=number)
    args = ("run", corpus.folder, "--out", out, "--set", "timeouts.checkpoint_s=0.1")  # a lock may come yet
    result = batch_where(patch, tmp_path, *args, server=server)
    assert result.exit == 1
    assert "no locks or no shared memory" in result.stderr
    assert "choose an --out on a local disk" in result.stderr
    assert server.stats()["requests"] == before


def test_a_rebuild_keeps_a_damaged_file_also_on_a_file_system_without_hard_links(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    lines = (out / "transcripts.jsonl").read_bytes().splitlines(keepends=True)
    damaged = b"".join([lines[0], b"no JSON\n", *lines[1:]])
    (out / "transcripts.jsonl").write_bytes(damaged)
    result = batch_where(NO_HARD_LINKS, tmp_path, "rebuild", out, "--force", server=server)
    assert result.exit == 0, result.stderr
    assert (out / "transcripts.jsonl.damaged").read_bytes() == damaged
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


@pytest.mark.parametrize("duration", ["1e308", "1e300d", "0", "-1", "nan"])
def test_a_duration_that_no_clock_takes_is_refused(
    duration: str, server: RunningServer, tmp_path: Path, out: Path
) -> None:
    folder = Corpus(tmp_path / "audio", count=1).folder
    result = batch("run", folder, "--out", out, "--max-duration", duration, server=server)
    assert result.exit == 2
    assert f"'{duration}' is no duration; write it like 90s, 30m, 6h or 30d" in result.stderr


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory."""
    if not os.access(MEMORY, os.W_OK):
        pytest.skip(f"there is no {MEMORY}")
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="gradium-batch-") as folder:
        yield Path(folder)


def test_files_of_any_time_are_sent_once_and_those_that_changed_again(
    server: RunningServer, memory: Path, out: Path
) -> None:
    times = [-11_644_473_600, -(2**40), -1, 0, 2**33, 10**10, 2**40]  # 1601, and so on
    corpus = Corpus(memory / "audio", count=len(times))
    for name, time_s in zip(sorted(corpus.texts), times, strict=True):
        os.utime(corpus.folder / name, (time_s, time_s))
    assert (corpus.folder / "00000.wav").stat().st_mtime_ns < -(2**63), "this file system bounds times"
    manifest = memory / "m.csv"
    manifest.write_text("\n".join(["id,audio", *(f"{name},audio/{name}" for name in corpus.texts)]))
    os.utime(manifest, (-(2**40), -(2**40)))
    before = server.stats()["requests"]
    for _ in range(2):
        result = batch("run", manifest, "--out", out, server=server)
        assert result.exit == 0, result.stderr
        assert '"selected":0' in batch("check", manifest, "--out", out, "--json", server=server).stdout
    assert server.stats()["requests"] - before == len(times)
    first = corpus.folder / "00000.wav"
    corpus.texts[first.name] = changed(first, -11_644_473_601)
    assert batch("run", manifest, "--out", out, server=server).exit == 0
    assert rows_of(out) == corpus.texts


def changed(path: Path, time_s: int) -> str:
    """Other audio of the same length, and of another time that 64 bits do not hold either."""
    text = write_wav(path, seed=99)
    os.utime(path, (time_s, time_s))
    return text


@pytest.mark.parametrize(
    ("offset", "duration", "told"),
    [
        ("1e308", "", "`offset_s` is '1e308'; it must be at most 1,000,000,000 seconds."),
        ("0", "1e308", "`duration_s` is '1e308'; it must be at most 1,000,000,000 seconds."),
        ("1e308", "1e308", "`offset_s` is '1e308'"),
        ("1e18", "1", "`offset_s` is '1e18'"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_span_that_no_recording_has_is_a_bad_row(
    command: str, offset: str, duration: str, told: str, server: RunningServer, tmp_path: Path, out: Path
) -> None:
    Corpus(tmp_path / "audio", count=1)
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"audio,offset_s,duration_s\naudio/00000.wav,{offset},{duration}\n")
    result = batch(command, manifest, "--out", out, server=server)
    assert result.exit == 2
    assert f"{manifest}:2: {told}" in result.stderr


def test_a_folder_that_the_system_cannot_look_for_is_refused_by_each_command(
    server: RunningServer, tmp_path: Path
) -> None:
    folder, out = Corpus(tmp_path / "audio", count=1).folder, tmp_path / ("n" * 256)
    for args in (("run", folder, "--out", out), ("check", folder, "--out", out), ("status", out), ("rebuild", out)):
        result = batch(*args, server=server)
        assert result.exit == 2
        assert os.strerror(errno.ENAMETOOLONG) in result.stderr


def test_a_default_folder_whose_name_is_too_long_for_the_system_is_refused(
    server: RunningServer, tmp_path: Path
) -> None:
    folder = Corpus(tmp_path / ("n" * 255), count=1).folder
    result = batch("run", folder, "--set", "service.url=local", server=server, cwd=tmp_path)
    assert result.exit == 1
    assert f"cannot be written: {os.strerror(errno.ENAMETOOLONG)}; choose another --out" in result.stderr
