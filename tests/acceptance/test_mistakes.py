"""Mistakes of users: each gets one clear sentence and the right exit status, and nothing is sent."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from tests.batch import COMMAND, Corpus, batch, environment
from tests.servers import RunningServer, start_server

ROOT = Path(pipeline.__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Corpus(tmp_path / "audio", count=2).folder


def test_no_key(folder: Path, out: Path) -> None:
    result = batch("run", folder, "--out", out)
    assert result.exit == 2
    assert "no API key: set the environment variable GRADIUM_API_KEY" in result.stderr
    assert result.last_line.endswith("exit=2")


def test_a_wrong_key(server: RunningServer, folder: Path, out: Path) -> None:
    before = server.stats()["requests"]
    result = batch("run", folder, "--out", out, server=server, GRADIUM_API_KEY="gd_wrong")
    assert result.exit == 1
    assert "API key" in result.stderr
    assert "gd_wrong" not in result.stderr
    assert result.figures["left"] == 2
    assert server.stats()["requests"] == before


@pytest.mark.slow
def test_an_endpoint_where_nothing_listens(folder: Path, out: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"http://127.0.0.1:{port}/api/post/speech/asr"
        result = batch("run", folder, "--out", out, "--set", f"service.url={url}", GRADIUM_API_KEY="gd_k")
    assert result.exit == 1
    assert f"nothing answers at http://127.0.0.1:{port}" in result.stderr
    assert "check service.url" in result.stderr


def test_plain_http_to_another_host(folder: Path, out: Path) -> None:
    url = "http://transcribe.example/api"
    result = batch("run", folder, "--out", out, "--set", f"service.url={url}", GRADIUM_API_KEY="gd_k")
    assert result.exit == 2
    assert "would carry the API key in clear text" in result.stderr


def test_an_output_that_cannot_be_written(server: RunningServer, folder: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    result = batch("run", folder, "--out", blocked / "out", server=server)
    assert result.exit == 1
    assert "cannot be written" in result.stderr


def test_an_output_on_a_file_system_that_takes_no_files(server: RunningServer, folder: Path) -> None:
    result = batch("run", folder, "--out", "/proc/transcripts", server=server)
    assert result.exit == 1
    assert "the output folder /proc/transcripts cannot be written" in result.stderr


@pytest.mark.parametrize(
    "args", [("run", "audio"), ("check", "audio"), ("check", "/audio"), ("show", "out", "--id", "a")]
)
def test_a_working_folder_that_was_removed(tmp_path: Path, args: tuple[str, ...]) -> None:
    removed = tmp_path / "removed"
    removed.mkdir()
    code = "import sys, pathlib, pipeline.cli; pathlib.Path.cwd().rmdir(); pipeline.cli.main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, cwd=removed, env=environment(), capture_output=True, text=True, check=False)
    first, *more = done.stderr.splitlines()
    assert first == "gradium-batch: the working folder was removed: change into one that is there (cd), and try again"
    assert [line.partition("=")[0] for line in more] == ["done"] * (args[0] == "run")
    assert done.returncode == 2


@pytest.mark.parametrize(
    "args",
    [
        ("check", "audio", "--out", "out", "--offline"),
        ("check", "audio", "--offline", "--json"),
        ("check", "--help"),
        ("--help",),
    ],
)
def test_a_full_disk_below_stdout(folder: Path, args: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123  no file
        done = subprocess.run(
            [*COMMAND, *args],
            cwd=folder.parent,
            env=environment(GRADIUM_API_KEY="gd_k", PYTHONPATH=str(ROOT)),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.stderr == "gradium-batch: stdout cannot be written: No space left on device\n"
    assert done.returncode == 1


def test_a_manifest_that_is_not_there(server: RunningServer, tmp_path: Path, out: Path) -> None:
    result = batch("run", tmp_path / "nothing.csv", "--out", out, server=server)
    assert result.exit == 2
    assert "nothing.csv" in result.stderr


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("[service]\nlangage = 'fr'\n", "c.toml:2: unknown key 'service.langage'; did you mean 'service.language'?"),
        ("[service.json_config]\ntemperature = 0.5\n", "unknown key 'temperature'"),
        ("[service.json_config]\ndelay_in_frames = 81\n", "delay_in_frames: 81 is not between 4 and 80"),
        ("[service.json_config]\ntemp = 3.0\n", "temp: 3.0 is not between 0 and 1.5"),
        ("[service]\nlanguage = 'klingon'\n", "language 'klingon' is not one of the service's"),
        ("[pool]\nconcurrency = 0\n", "c.toml:2: pool.concurrency"),
        ("[pool\n", "c.toml: not valid TOML"),
    ],
)
def test_a_configuration_mistake(
    server: RunningServer, folder: Path, tmp_path: Path, out: Path, config: str, sentence: str
) -> None:
    (tmp_path / "c.toml").write_text(config)
    result = batch("run", folder, "--out", out, "--config", tmp_path / "c.toml", server=server)
    assert result.exit == 2
    assert sentence in result.stderr
    assert not out.exists()


def test_the_key_is_in_no_file_and_no_output(tmp_path: Path, out: Path, folder: Path) -> None:
    key = "gd_a_very_secret_key"
    faults = '[[fault]]\nkind = "internal_error"\nprobability = 1.0\ntimes = 1'
    with start_server(faults=faults, key=key) as server:
        args = ("run", folder, "--out", out, "--log-format", "json", "--set", "retry.base_s=0.01")
        result = batch(*args, server=server, GRADIUM_API_KEY=key)
    assert result.exit == 0
    assert key not in result.stderr + result.stdout
    for path in out.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path
