"""The server as a process: how it starts, what it says, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pipeline.errors import ConfigError, LocalServerError, OutputError
from pipeline.server.embedded import command, environment
from pipeline.server.options import ServerOptions
from pipeline.server.serve import serve
from tests.server.bodies import noise, sha256, texts, wav
from tests.server.conftest import Client, until
from tests.servers import is_alive, start_server

SAMPLES = noise("process", 1.5)
BODY = wav(SAMPLES)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with start_server(forked=False) as server:
        os.kill(server.pid, number)
        assert server.process.wait(10) == 0
        assert server.stderr() == ""
        assert server.stdout.read() == b""


def test_signal_ends_it_while_requests_hang() -> None:
    with start_server(faults='[[fault]]\nkind = "hang"') as server:
        key = f"x-api-key: {server.key}\r\n"
        head = f"POST /api/post/speech/asr HTTP/1.1\r\nHost: x\r\n{key}Content-Length: {len(BODY)}\r\n\r\n"
        with socket.create_connection((server.host, server.port), 10) as connection:
            connection.sendall(head.encode() + BODY)
            until(lambda: server.stats()["sessions"] == 1)
            assert server.stop() == 0
        assert server.stderr() == ""


def test_end_of_stdin_ends_it() -> None:
    with start_server(forked=False) as server:
        server.stdin.close()
        assert server.process.wait(10) == 0


def test_it_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import time\nfrom tests.servers import start_server\n"
        "with start_server(forked=False) as server:\n    print(server.pid, flush=True)\n    time.sleep(60)\n"
    )
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, str(parent)], env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        assert is_alive(pid)
        process.kill()
    until(lambda: not is_alive(pid))


def test_the_key_is_in_no_command_line() -> None:
    with start_server(key="gd_secret", forked=False) as server:
        arguments = Path(f"/proc/{server.pid}/cmdline")
        if not arguments.exists():
            pytest.skip("needs /proc to see a process's command line")
        assert b"gd_secret" not in arguments.read_bytes()


def test_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalServerError) as raised:
            serve(ServerOptions(recognizer="fingerprint", port=port))
    assert str(raised.value) == (
        f"The local server cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Name another --port, or leave it out for a free one."
    )


def test_unknown_recognizer_is_told() -> None:
    with pytest.raises(ConfigError, match=r"no recognizer 'pocketsphynx'\. Did you mean 'pocketsphinx'\?"):
        serve(ServerOptions(recognizer="pocketsphynx"))
    with pytest.raises(ConfigError, match="cannot be loaded: No module named 'nowhere'"):
        serve(ServerOptions(recognizer="nowhere:factory"))


def test_bad_faults_file_is_told_without_a_traceback(tmp_path: Path) -> None:
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nkind = "hung"')
    done = subprocess.run(
        command(ServerOptions(faults=str(faults))), env=environment(None), capture_output=True, timeout=20
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"{faults}: fault 1 has an unknown kind 'hung', did you mean 'hang'?\n"


def test_request_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    log = tmp_path / "gone" / "requests.jsonl"
    with pytest.raises(OutputError) as raised:
        serve(ServerOptions(recognizer="fingerprint", request_log=str(log)))
    assert str(raised.value) == f"The request log {log} cannot be written: No such file or directory."


def test_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # a module that is None in sys.modules is one that is not installed
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(LocalServerError) as raised:
        serve(ServerOptions(recognizer="pocketsphinx"))
    assert str(raised.value) == (
        "The recognizer 'pocketsphinx' needs pocketsphinx, which is not installed: pip install pocketsphinx "
        "(all that the extra [local] adds is pocketsphinx)."
    )


def test_request_log_has_a_line_for_each_finished_request(http: httpx.Client, tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    with start_server(request_log=log) as server:
        client = Client(http, server)
        client.messages(BODY)
        assert len(log.read_text().splitlines()) == 1
        client.refusal(b"no wav")
        first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert (first["digest"], first["status"], first["outcome"]) == (sha256(BODY), 200, "answered")
    assert first["audio_s"] == 1.5
    assert first["request_id"]
    assert first["ended"] - first["started"] == pytest.approx(first["seconds"], abs=1e-5)
    assert (second["status"], second["outcome"], second["audio_s"]) == (500, "bad_audio", 0)


def test_recognizer_of_ones_own(http: httpx.Client) -> None:
    with start_server(recognizer="tests.server.own_recognizer:Parrot") as server:
        client = Client(http, server)
        assert client.texts(BODY) == ["1.5", "seconds"]
        assert client.refusal(wav(bytes(32_000))) == "error from server 1011: internal server error"
        assert "ValueError: nothing to say" in server.stderr()
        assert client.texts(BODY) != texts(SAMPLES)
