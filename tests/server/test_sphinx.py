"""The recognizer `pocketsphinx`: real words out of the sample speech, in processes that never stay behind."""

from __future__ import annotations

import csv
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server.bodies import ENGLISH, noise, wav
from tests.server.conftest import Client, texts_of, until
from tests.servers import RunningServer, is_alive, start_server

pytest.importorskip("pocketsphinx", reason="the extra [local] is not installed")

SAMPLE = Path(__file__).parents[2] / "manifests" / "sample"
MANIFEST = SAMPLE.parent / "sample.csv"


@pytest.fixture(scope="module")
def sphinx(http: httpx.Client) -> Iterator[Client]:
    with start_server(recognizer="pocketsphinx", workers=1) as server:
        yield Client(http, server)
        assert server.stderr() == ""


def sample_wavs() -> list[dict[str, str]]:
    if not MANIFEST.exists():
        return []
    with MANIFEST.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["audio"].endswith(".wav")]


@pytest.mark.slow
@pytest.mark.skipif(not sample_wavs(), reason="manifests/sample is not there yet")
def test_sample_speech_is_understood(sphinx: Client) -> None:
    for row in sample_wavs()[:2]:
        body = (MANIFEST.parent / row["audio"]).read_bytes()
        stream = sphinx.messages(body, json_config={"delay_in_frames": 10})
        heard, spoken = texts_of(stream), row["reference"].lower().replace(".", "").split()
        assert len(set(heard) & set(spoken)) >= 0.7 * len(set(spoken)), heard
        starts = [m["start_s"] - 0.8 for m in stream if m["type"] == "text"]
        assert starts == sorted(starts)
        assert starts[0] >= 0


@pytest.mark.slow
@pytest.mark.skipif(not sample_wavs(), reason="manifests/sample is not there yet")
def test_an_utterance_does_not_change_the_next_ones_text(sphinx: Client) -> None:
    first, second = ((MANIFEST.parent / row["audio"]).read_bytes() for row in sample_wavs()[:2])
    alone = sphinx.texts(first)
    sphinx.texts(second)
    assert sphinx.texts(first) == alone


def test_digital_silence_and_no_samples_are_no_words(sphinx: Client) -> None:
    assert sphinx.texts(wav(bytes(32_000))) == []
    assert sphinx.texts(b"", input_format="pcm") == []


def worker_pids(server: RunningServer) -> list[int]:
    """Returns the recognizer processes of a server, as the kernel knows them."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    if not children.exists():
        pytest.skip("needs /proc to see a process's children")
    pids = map(int, children.read_text().split())
    return [pid for pid in pids if b"pipeline.workers" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def cpu_ticks(pid: int) -> int:
    """Returns the CPU time of a process in hundredths of a second."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_server_even_in_the_middle_of_a_call(http: httpx.Client) -> None:
    with start_server(recognizer="pocketsphinx", workers=1) as server:
        Client(http, server).messages(wav(noise("warm", 0.2)))
        (pid,) = worker_pids(server)
        before = cpu_ticks(pid)
        long = wav(noise("long", 200))
        head = f"POST /api/post/speech/asr{ENGLISH} HTTP/1.1\r\nHost: x\r\nx-api-key: {server.key}\r\n"
        with socket.create_connection((server.host, server.port), 10) as connection:
            connection.sendall(f"{head}Content-Length: {len(long)}\r\n\r\n".encode() + long)
            until(lambda: server.stats()["sessions"] == 1)
            until(lambda: cpu_ticks(pid) > before + 10)  # 0.1 s: the samples are through the pipe by then
            server.kill()
        # the call would go on for a minute
        until(lambda: not is_alive(pid))


@pytest.mark.slow
def test_worker_that_dies_costs_its_call_and_is_replaced(http: httpx.Client) -> None:
    with start_server(recognizer="pocketsphinx", workers=1) as server:
        client = Client(http, server)
        noisy = wav(b"\x00\x10\x00\xf0" * 2000)
        client.messages(noisy)
        (pid,) = worker_pids(server)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(pid))
        assert client.refusal(noisy).startswith("error from server 1011")
        client.messages(noisy)
        assert worker_pids(server) != [pid]
