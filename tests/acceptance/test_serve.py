"""`gradium-batch serve` speaks to other clients than ours, the way the service's documentation shows."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.batch import COMMAND, environment, write_wav
from tests.server.bodies import ENGLISH

SAMPLE = Path(__file__).parents[2] / "manifests/sample/rain-16k.wav"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_the_documentations_quickstart(url: str) -> None:
    with SAMPLE.open("rb") as audio:
        response = requests.post(
            url,
            headers={"x-api-key": "gd_anything", "Content-Type": "audio/wav"},
            params={"json_config": json.dumps({"language": "en"})},
            data=audio,
            stream=True,
            timeout=60,
        )
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/x-ndjson")
    messages = [json.loads(line) for line in response.iter_lines() if line]
    words = [message["text"] for message in messages if message["type"] == "text"]
    assert {"rained", "night"} <= {word.strip().lower() for word in words}
    assert messages[0]["type"] == "ready"
    assert messages[-1]["type"] == "end_of_stream"


def test_each_line_is_streamed_by_itself(url: str) -> None:
    host, port = re.findall(r"//([\d.]+):(\d+)/", url)[0]
    body = SAMPLE.read_bytes()
    head = (
        f"POST /api/post/speech/asr{ENGLISH} HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode() + body)
        answer = b""
        while b"\r\n0\r\n" not in answer:
            answer += connection.recv(65536)
    chunks = re.findall(rb'\r\n[0-9a-f]+\r\n(\{"type":[^\r]*\n)\r', answer)
    assert len(chunks) > 10
    assert all(chunk.count(b"\n") == 1 for chunk in chunks)


def test_the_balance_is_told(url: str) -> None:
    answer = requests.get(
        url.replace("/api/post/speech/asr", "/api/usages/credits"), headers={"x-api-key": "k"}, timeout=10
    )
    assert answer.json()["remaining_credits"] > 0


def test_an_mp3_is_refused_in_the_documented_words(url: str) -> None:
    answer = requests.post(url, headers={"x-api-key": "k", "Content-Type": "audio/mpeg"}, data=b"ID3", timeout=10)
    assert answer.status_code == 500
    assert answer.text == "unsupported content type for SST 'audio/mpeg'"


def test_a_missing_faults_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", seed=1)
    done = subprocess.run(
        [*COMMAND, "serve", "--port", "0", "--faults", str(tmp_path / "none.toml")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "none.toml" in done.stderr
