"""What a command loads before it does anything: a heavy library that nobody needs yet makes every start slower."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.batch import Corpus, batch, environment
from tests.servers import RunningServer

HEAVY = {
    *("aiohttp", "asyncio", "av", "httpx", "jiwer", "msgspec", "numpy", "pyarrow"),
    *("pydantic", "pydantic_settings", "rapidfuzz", "soundfile", "soxr", "sqlite3", "tqdm"),
}
SHOWING = """
import atexit, sys
atexit.register(lambda: print("loaded", *(name for name in sys.modules if "." not in name)))
from pipeline.cli import main
main(sys.argv[1:])
"""


def loaded_by(*args: str | Path) -> set[str]:
    """The heavy libraries that the command has loaded when it ends well."""
    done = subprocess.run(
        [sys.executable, "-c", SHOWING, *map(str, args)],
        env=environment(GRADIUM_API_KEY="gd_k"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("loaded ")]
    names = set(line.split())
    assert "click" in names, "the list is one of this command"
    return names & HEAVY


@pytest.mark.parametrize("args", [("--help",), ("run", "--help"), ("--version",)])
def test_help_loads_nothing_but_the_command_line(args: tuple[str, ...]) -> None:
    assert loaded_by(*args) == set()


def test_nothing_is_loaded_that_is_for_sending_or_publishing(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    before = server.stats()["requests"]
    assert loaded_by("status", out) <= {"asyncio", "msgspec", "sqlite3"}
    assert loaded_by("run", corpus.folder, "--out", out, "--set", f"service.url={server.url}") <= {
        *("asyncio", "msgspec", "pydantic", "sqlite3")
    }
    assert server.stats()["requests"] == before, "there was nothing to do"


INTERRUPTED_IMPORT = """
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, *args):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
{start}
"""
MODULE = "runpy.run_module('pipeline', run_name='__main__', alter_sys=True)"
SCRIPT = "from pipeline.__main__ import main; main()"


@pytest.mark.parametrize(
    ("start", "name", "arguments"),
    [
        (MODULE, "click", ["--help"]),
        (MODULE, "pipeline.errors.attempts", ["status", "."]),
        (MODULE, "pipeline.report.logs", ["status", "."]),
        (SCRIPT, "pipeline.cli", ["--version"]),
        (SCRIPT, "importlib.metadata", ["--version"]),
        pytest.param(MODULE, "pipeline.cli.run", ["run", "."], marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_while_the_command_is_loaded_ends_it_without_a_word(
    tmp_path: Path, start: str, name: str, arguments: list[str]
) -> None:
    program = INTERRUPTED_IMPORT.format(name=name, start=start)
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
