"""What strangers can do to a server: no body is read without a key, none waits for ever, none takes all the memory."""

from __future__ import annotations

import gzip
import socket
from pathlib import Path

import httpx
import pytest

from pipeline.errors import ConfigError
from pipeline.server.body import ALL_BYTES, MAX_BODY_BYTES, ONE_CLIENTS_BYTES
from pipeline.server.embedded import command, environment
from pipeline.server.options import ServerOptions
from pipeline.server.serve import is_loopback, serve
from tests.batch import batch
from tests.forked import Started
from tests.server.bodies import ENGLISH, noise, texts, wav
from tests.server.conftest import Client, until
from tests.servers import RunningServer, start_server

SAMPLES = noise("strangers", 1.5)
BODY = wav(SAMPLES)


def connected(server: RunningServer) -> socket.socket:
    return socket.create_connection((server.host, server.port), 20)


def head(size: int | None, key: str = "", path: str = f"/api/post/speech/asr{ENGLISH}") -> bytes:
    length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\n{length}\r\n\r\n".encode()


def read_to_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(4096), b""))


def refused(recognizer: str) -> str:
    """What a server says that does not start with such a recognizer."""
    process = Started(command(ServerOptions(recognizer=recognizer))[-1:], environment(None), kind="server")
    stdout, stderr = process.communicate(20)
    assert (process.returncode, stdout) == (2, "")
    return stderr


@pytest.mark.parametrize("key", ["", "gd_wrong", "\xff"])
@pytest.mark.parametrize("size", [100 << 20, 1 << 40, None])
def test_the_key_is_looked_at_before_the_body_is_read(client: Client, key: str, size: int | None) -> None:
    with connected(client.server) as connection:
        connection.sendall(head(size, key))
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"error from server 1008: API key is revoked or expired" in answer
    assert b"Connection: close" in answer


def test_no_100_continue_is_said_without_a_key(client: Client) -> None:
    with connected(client.server) as connection:
        connection.sendall(head(len(BODY)).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert connection.recv(12) == b"HTTP/1.1 500"


def test_a_wrong_key_leaves_no_line_in_the_request_log(http: httpx.Client, tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    with start_server(request_log=log) as server:
        client = Client(http, server)
        client.refusal(BODY, key="gd_wrong")
        assert log.read_bytes() == b""
        client.messages(BODY)
        assert len(log.read_text().splitlines()) == 1
        assert server.stats()["outcomes"] == {"key_refused": 1, "answered": 1}


@pytest.mark.slow
@pytest.mark.parametrize("before", [b"", b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n"])
@pytest.mark.parametrize("sent", [b"P", b"PO", head(10)[:-2]])
def test_a_head_that_does_not_come_ends_the_connection(http: httpx.Client, before: bytes, sent: bytes) -> None:
    with start_server(head_s=1) as server:
        with connected(server) as connection:
            if before:
                connection.sendall(before)
                assert connection.recv(4096).startswith(b"HTTP/1.1 404")
            connection.sendall(sent)
            read_to_end(connection)  # which ends
        assert Client(http, server).texts(BODY) == texts(SAMPLES)


@pytest.mark.slow
def test_a_head_that_came_is_not_ended_by_the_deadline_for_heads(http: httpx.Client) -> None:
    with start_server(head_s=1, latency_s=1.5) as server:
        client = Client(http, server)
        assert client.texts(BODY) == client.texts(BODY) == texts(SAMPLES)


@pytest.mark.parametrize("size", [len(BODY), None])
def test_a_body_that_does_not_come_ends_the_connection(size: int | None) -> None:
    with start_server(body_s=0.2) as server, connected(server) as connection:
        connection.sendall(head(size, server.key) + (b"5\r\nRIFFx\r\n" if size is None else BODY[:-1]))
        assert connection.recv(12) == b"HTTP/1.1 408"
        until(lambda: server.stats()["in_flight"] == 0)
        assert server.stats()["outcomes"] == {"body_too_slow": 1}


def test_what_one_client_and_all_send_at_a_time_is_bounded_and_the_rest_waits(http: httpx.Client) -> None:
    def held(connection: socket.socket, server: RunningServer) -> None:
        connection.sendall(head(MAX_BODY_BYTES, server.key) + b"RIFF")

    with start_server() as server:
        connections = [connected(server) for _ in range(ONE_CLIENTS_BYTES // MAX_BODY_BYTES)]
        try:
            for number, connection in enumerate(connections, 1):
                held(connection, server)
                until(lambda number=number: server.stats()["in_flight"] == number)
            with connected(server) as waiting:
                waiting.sendall(head(len(BODY), server.key) + BODY)
                waiting.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    waiting.recv(1)
                waiting.settimeout(20)
                connections.pop().close()
                assert waiting.recv(12) == b"HTTP/1.1 200"
        finally:
            for connection in connections:
                connection.close()
        until(lambda: server.stats()["in_flight"] == 0)
        assert Client(http, server).texts(BODY) == texts(SAMPLES)
    assert ONE_CLIENTS_BYTES < ALL_BYTES


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])  # noqa: S104  refused
def test_a_host_that_others_can_reach_is_refused_without_a_key(host: str) -> None:
    sentence = "Others than this machine can reach the host"
    with pytest.raises(ConfigError, match=sentence):
        serve(ServerOptions(recognizer="fingerprint", host=host))
    result = batch("serve", "--host", host, "--recognizer", "fingerprint")
    assert (result.exit, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert "GRADIUM_API_KEY" in result.stderr


def test_a_host_that_others_can_reach_is_taken_with_a_key(http: httpx.Client) -> None:
    with start_server(host="0.0.0.0") as server:  # noqa: S104  with a key
        assert Client(http, server).texts(BODY) == texts(SAMPLES)


@pytest.mark.parametrize(
    ("host", "holds"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("localhost", True), ("::1", True), ("192.0.2.1", False), ("a b", True)],
)
def test_what_is_of_this_machine_alone(host: str, holds: bool) -> None:
    assert is_loopback(host) == holds  # what is no host cannot be listened on


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "builtins:print",
        "builtins:exit",
        "builtins:dict",
        "os:_exit",
        "pathlib:Path",
        "tests.server.not_recognizers:untyped",
        "tests.server.not_recognizers:mistyped",
        "tests.server.not_recognizers:Half",
        "tests.server.not_recognizers:value",
    ],
)
def test_what_is_no_recognizer_is_told_and_not_called(name: str) -> None:
    said = refused(name)
    assert said.startswith(f"'{name}' is no recognizer: name a class with the async methods start, recognize, close")


@pytest.mark.parametrize(
    "name", [":", ":x", "os:", "os:no_such", ".a:b", "a.:b", "tests.server.not_recognizers:Raises", "a b:c", "\x00:x"]
)
def test_what_cannot_be_loaded_or_made_is_told(name: str) -> None:
    said = refused(name)
    assert said.startswith("The recognizer '")


def test_a_function_that_says_what_it_makes_is_a_recognizer(http: httpx.Client) -> None:
    with start_server(recognizer="tests.server.not_recognizers:typed") as server:
        assert Client(http, server).texts(BODY) == ["1.5", "seconds"]


def test_a_compressed_body_is_refused_for_it_may_inflate(http: httpx.Client) -> None:
    with start_server() as server:
        headers = {**server.headers, "Content-Encoding": "gzip"}
        assert http.post(server.url, headers=headers, content=gzip.compress(BODY)).status_code == 415
        assert Client(http, server).texts(BODY) == texts(SAMPLES)


def test_a_host_that_is_no_name_gets_a_sentence() -> None:
    for host in ("a" * 70, "\u2028", "\u00e9" * 70):
        result = batch("serve", "--host", host, "--recognizer", "fingerprint")
        assert (result.exit, result.stdout) == (1, "")
        assert "cannot listen on" in result.stderr
