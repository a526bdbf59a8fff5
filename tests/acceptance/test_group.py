"""A folder that a group works in: what one member began, another one goes on with. Only root can try it."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch import Corpus, Finished, environment, finish, jsonl_rows_of, rows_of
from tests.forked import Started
from tests.servers import RunningServer, start_server, wait_for_answers

GROUP, ANN, BOB = 61_000, 61_001, 61_002
SHARED, OWN = 0o002, 0o022
"""Umasks."""

PR_SET_DUMPABLE, PR_SET_KEEPCAPS, DAC_READ_SEARCH = 4, 8, 1 << 2

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can be other users")


@pytest.fixture
def folder() -> Iterator[Path]:
    """The group's, in which all that is made is the group's; not in pytest's, which is closed to others."""
    with tempfile.TemporaryDirectory(prefix="group-") as name:
        folder = Path(name)
        os.chown(folder, 0, GROUP)
        folder.chmod(0o2775)
        yield folder


AS_MEMBER = f"""
import ctypes, os, sys
library, user = ctypes.CDLL(None), int(sys.argv.pop(1))
os.umask(int(sys.argv.pop(1)))
library.prctl({PR_SET_KEEPCAPS}, 1, 0, 0, 0)
os.setgroups([])
os.setresgid(*[{GROUP}] * 3)
os.setresuid(*[user] * 3)
version_and_pid, capabilities = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[{DAC_READ_SEARCH}] * 2)
assert library.capset(version_and_pid, capabilities) == 0
library.prctl({PR_SET_DUMPABLE}, 1, 0, 0, 0)
import pipeline.cli
pipeline.cli.main()
"""
"""A member of the group, who may read everything: Python lies where only root may look."""


def start(user: int, *args: str | Path, server: RunningServer, umask: int = SHARED) -> Started:
    return Started([AS_MEMBER, str(user), str(umask), *map(str, args)], environment(server), kind="python")


def run(user: int, *args: str | Path, server: RunningServer, umask: int = SHARED) -> Finished:
    return finish(start(user, *args, server=server, umask=umask))


def closed_to_the_group(out: Path) -> dict[str, str]:
    """What the group may not read and write, and its rights."""
    wanted = {True: stat.S_IRWXG, False: stat.S_IRGRP | stat.S_IWGRP}
    modes = {path: path.lstat().st_mode for path in (out, *out.rglob("*"))}
    return {
        str(path.relative_to(out.parent)): stat.filemode(mode)
        for path, mode in modes.items()
        if mode & wanted[stat.S_ISDIR(mode)] != wanted[stat.S_ISDIR(mode)] or path.stat().st_gid != GROUP
    }


@pytest.mark.slow
def test_another_member_of_the_group_goes_on_with_a_run_that_was_killed(folder: Path) -> None:
    corpus, out = Corpus(folder / "audio", count=40), folder / "out"
    with start_server(latency_s=0.05) as server:
        first = start(ANN, "run", corpus.folder, "--out", out, "--concurrency", "2", server=server)
        wait_for_answers(server, 8)
        first.kill()
        first.communicate()
        assert {path.name for path in out.iterdir()} >= {"checkpoint.sqlite-wal", "checkpoint.sqlite-shm", "run.lock"}
        assert not closed_to_the_group(out)
        result = run(BOB, "run", corpus.folder, "--out", out, server=server)
        assert result.exit == 0, result.stderr
        assert server.stats()["requests"] <= 40 + 2 + 4  # in flight, and answered since the last commit
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    assert not closed_to_the_group(out)


def test_members_of_the_group_take_turns(folder: Path, server: RunningServer) -> None:
    corpus, out, manifest = Corpus(folder / "audio", count=4), folder / "out", folder / "m.csv"
    (folder / "audio" / "broken.wav").write_bytes(b"no audio")
    before = server.stats()["requests"]
    for turn, user in enumerate((ANN, BOB)):
        corpus.add(10 + turn)
        rows = "".join(f"{name},audio/{name},{turn}\n" for name in (*corpus.texts, "broken.wav"))
        manifest.write_text(f"id,audio,turn\n{rows}")
        result = run(user, "run", manifest, "--out", out, server=server)
        assert result.exit == (0 if turn else 3), result.stderr
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
        assert not closed_to_the_group(out)
    assert run(ANN, "rebuild", out, "--force", server=server).exit == 0
    assert not closed_to_the_group(out)
    assert run(BOB, "run", manifest, "--out", out, server=server).exit == 0
    assert server.stats()["requests"] - before == len(corpus.texts)


def test_a_member_who_may_not_write_what_another_began_is_told_so(folder: Path, server: RunningServer) -> None:
    corpus, out = Corpus(folder / "audio", count=1), folder / "out"
    assert run(ANN, "run", corpus.folder, "--out", out, server=server, umask=OWN).exit == 0
    closed = run(BOB, "run", corpus.folder, "--out", out, server=server)
    assert closed.exit == 1
    assert f"the output folder {out} cannot be written: Permission denied" in closed.stderr
    for path, told in ((out, f"the lock {out}/run.lock cannot be taken: Permission denied"),
                       (out / "run.lock", f"you may not write the checkpoint {out}/checkpoint.sqlite")):  # fmt: skip
        path.chmod(path.stat().st_mode | stat.S_IWGRP)
        closed = run(BOB, "run", corpus.folder, "--out", out, server=server)
        assert closed.exit == 1
        assert told in closed.stderr
    for path in out.rglob("*"):
        path.chmod(path.stat().st_mode | stat.S_IWGRP)
    assert run(BOB, "run", corpus.folder, "--out", out, server=server).exit == 0
