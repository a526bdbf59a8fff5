"""`status`, `check` and `show` read the newest of an output that they may not write, and leave nothing in it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.batch import COMMAND, Corpus, Finished, batch, environment, finish
from tests.forked import Started
from tests.servers import RunningServer

NOBODY = 65534
AS_ANOTHER = """
import ctypes, os
if not os.geteuid():
    version_and_pid, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(version_and_pid, none) == 0
import pipeline.cli
pipeline.cli.main()
"""
"""Without its powers root is a user like any other: one who does not own what is somebody else's."""
COMMANDS = ("status", "check", "show")


class Stale:
    """An output of six recordings whose checkpoint, without the log beside it, says three."""

    def __init__(self, folder: Path, server: RunningServer) -> None:
        self.server, self.corpus = server, Corpus(folder / "audio", count=3)
        self.out = folder / "out"
        batch("run", self.corpus.folder, "--out", self.out, server=server)
        with closing(sqlite3.connect(self.out / "checkpoint.sqlite", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM utterances").fetchone()  # holds the log back
            for number in range(3, 6):
                self.corpus.add(number)
            batch("run", self.corpus.folder, "--out", self.out, server=server)
            self.killed = folder / "killed"
            shutil.copytree(self.out, self.killed)
        self.backup = folder / "backup"
        shutil.copytree(self.killed, self.backup)
        (self.backup / "checkpoint.sqlite-shm").unlink()

    def ask(self, command: str, out: Path, *wrapper: str) -> Finished:
        words = {
            "status": ("status", out, "--json"),
            "check": ("check", self.corpus.folder, "--out", out, "--json"),
            "show": ("show", out, "--id", "00005.wav", "--json"),
        }[command]
        args, env = [*map(str, words)], environment(self.server)
        if not wrapper:
            return finish(Started([AS_ANOTHER, *args], env, kind="python"))
        done = subprocess.run(
            [*wrapper, *COMMAND, *args], env=env, capture_output=True, text=True, timeout=100, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Finished(done.returncode, done.stdout, done.stderr)

    def refuse_stale(self, command: str, result: Finished) -> None:
        assert result.exit == 0, result.stderr
        told = json.loads(result.stdout)
        if command == "show":
            assert told["transcript"]["text"] == self.corpus.texts["00005.wav"]
        else:
            assert told["done"] == 6


@pytest.fixture(scope="module")
def stale(tmp_path_factory: pytest.TempPathFactory, server: RunningServer) -> Iterator[Stale]:
    made = Stale(tmp_path_factory.mktemp("stale"), server)
    outs = (made.out, made.killed, made.backup)
    for out in outs:
        out.chmod(0o555)
        if not os.geteuid():
            for path in (out, *out.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
    yield made
    for out in outs:
        out.chmod(0o755)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["out", "killed", "backup"])
def test_who_may_not_write_reads_what_stands_in_the_log_and_leaves_nothing(
    stale: Stale, command: str, kind: str
) -> None:
    out = getattr(stale, kind)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    stale.refuse_stale(command, stale.ask(command, out))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.parametrize("command", COMMANDS)
def test_who_may_write_the_folder_and_not_the_checkpoint_leaves_no_files_of_his_in_it(
    stale: Stale, command: str
) -> None:
    if os.geteuid():
        pytest.skip("needs a second user")
    stale.out.chmod(0o777)
    try:
        before = sorted(stale.out.iterdir())
        stale.refuse_stale(command, stale.ask(command, stale.out))
        assert sorted(stale.out.iterdir()) == before
    finally:
        stale.out.chmod(0o555)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["killed", "backup"])
def test_a_mount_that_is_read_only_is_read(stale: Stale, command: str, kind: str) -> None:
    out = getattr(stale, kind)
    wrapper = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"')
    if shutil.which("unshare") is None or subprocess.run([*wrapper, out, "true"], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    stale.refuse_stale(command, stale.ask(command, out, *wrapper, str(out)))


@pytest.mark.parametrize("name", ["checkpoint.sqlite", "checkpoint.sqlite-wal"])
def test_what_may_not_be_read_is_named(stale: Stale, name: str) -> None:
    file = stale.killed / name
    file.chmod(0o000)
    try:
        result = stale.ask("status", stale.killed)
    finally:
        file.chmod(0o644)
    assert result.exit == 1
    assert f"{file} may not be read by this user" in result.stderr


def test_a_folder_that_may_not_be_entered_is_named(stale: Stale) -> None:
    stale.killed.chmod(0o444)
    try:
        results = [stale.ask(command, stale.killed) for command in COMMANDS]
    finally:
        stale.killed.chmod(0o555)
    for result in results:
        assert result.exit in (1, 2)
        assert f"{stale.killed}" in result.stderr
        assert "Permission denied" in result.stderr
