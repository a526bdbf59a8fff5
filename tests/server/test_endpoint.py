"""The endpoint as the protocol tells it, seen from the client's side."""

from __future__ import annotations

import json
import socket
import time

import httpx
import pytest

from tests.server.bodies import noise, sha256, texts, wav
from tests.server.conftest import Client, lines, until
from tests.servers import start_server

SAMPLES = noise("endpoint", 2.5)
BODY = wav(SAMPLES)


def test_answer_is_ndjson_from_ready_to_end_of_stream(client: Client) -> None:
    answer = client.post(BODY)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    stream = lines(answer)
    assert stream[0].pop("request_id")
    assert stream[0] == {
        "type": "ready",
        "model_name": "local-fingerprint",
        "sample_rate": 24000,
        "frame_size": 1920,
        "delay_in_frames": 48,
        "text_stream_names": ["text"],
    }
    assert stream[-1] == {"type": "end_of_stream"}
    assert [message["text"] for message in stream if message["type"] == "text"] == texts(SAMPLES)
    assert any(message["type"] == "step" for message in stream)


@pytest.mark.parametrize("alias", ["delay_in_frames", "delay_in_tokens"])
@pytest.mark.parametrize("delay", [7, 48])
def test_times_are_late_by_the_delay(client: Client, alias: str, delay: int) -> None:
    stream = client.messages(BODY, json_config={alias: delay})
    late_s = delay * 0.08
    assert stream[0]["delay_in_frames"] == delay
    assert [m["start_s"] for m in stream if m["type"] == "text"] == pytest.approx([late_s, late_s + 1, late_s + 2])
    assert [m["stop_s"] for m in stream if m["type"] == "end_text"] == pytest.approx(
        [late_s + 1, late_s + 2, late_s + 2.5]
    )


def test_each_line_is_a_chunk_of_its_own(client: Client) -> None:
    request = (
        f"POST /api/post/speech/asr HTTP/1.1\r\nHost: x\r\nx-api-key: {client.server.key}\r\n"
        f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
    ).encode() + BODY
    with socket.create_connection((client.server.host, client.server.port), 10) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as file:
            _, _, stream = file.read().partition(b"\r\n\r\n")
    chunks = stream.split(b"\r\n")[1::2]
    assert all(chunk.endswith(b"\n") and json.loads(chunk) for chunk in chunks[:-1])
    assert stream.endswith(b"\r\n0\r\n\r\n")


def test_digital_silence_is_an_answer_without_words(client: Client) -> None:
    stream = client.messages(wav(bytes(64_000)))
    assert stream[0]["type"] == "ready"
    assert stream[-1]["type"] == "end_of_stream"
    assert not [message for message in stream if message["type"] == "text"]


@pytest.mark.parametrize("key", ["", "gd_wrong"])
def test_bad_key_is_a_500_with_code_1008(client: Client, key: str) -> None:
    assert client.refusal(BODY, key=key) == "error from server 1008: API key is revoked or expired"


def test_unsupported_content_type_is_refused_in_the_proxys_words(client: Client) -> None:
    assert client.refusal(BODY, content_type="audio/mpeg") == "unsupported content type for SST 'audio/mpeg'"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("{", "invalid json_config"),
        ("[]", "invalid json_config"),
        ('{"language":"xx"}', "unknown language 'xx'"),
        ('{"delay_in_frames":11}', "delay_in_frames 11"),
        ('{"temp":1.6}', "temp 1.6 is not between 0 and 1.5"),
        ('{"temp":"hot"}', "invalid json_config"),
        ('{"padding_bonus":-4.5}', "padding_bonus"),
        ('{"keywords":{"words":["two words"]}}', "not a single token"),
        ('{"keywords":{"words":["a"],"boost":7}}', "keywords.boost"),
        (json.dumps({"keywords": {"words": ["a"] * 501}}), "501 keywords"),
    ],
)
def test_settings_outside_the_documented_ones_are_refused(client: Client, config: str, reason: str) -> None:
    text = client.refusal(BODY, json_config=config)
    assert text.startswith("error from server 1008: invalid json_config")
    assert reason in text


def test_documented_settings_are_taken_and_unknown_keys_ignored(client: Client) -> None:
    config = {
        "language": "en",
        "delay_in_frames": 16,
        "temp": 0.2,
        "padding_bonus": -1,
        "keywords": {"words": ["Gradium"], "boost": 3},
        "langauge": "de",
    }
    assert client.texts(BODY, json_config=config, model="default") == texts(SAMPLES)


def test_300_seconds_pass_and_more_are_refused(client: Client) -> None:
    limit = bytes(300 * 8000 * 2)
    assert client.messages(limit, input_format="pcm_8000")[-1]["type"] == "end_of_stream"
    text = client.refusal(limit + bytes(160), input_format="pcm_8000")
    assert text.startswith("error from server 1008: audio of 300.0 s is longer")


def test_endless_body_is_refused_without_being_read(client: Client) -> None:
    key = f"x-api-key: {client.server.key}\r\n"
    head = f"POST /api/post/speech/asr HTTP/1.1\r\nHost: x\r\n{key}Content-Length: {1 << 40}\r\n\r\n"
    with socket.create_connection((client.server.host, client.server.port), 10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_curls_expect_100_continue_is_answered(client: Client) -> None:
    head = (
        f"POST /api/post/speech/asr HTTP/1.1\r\nHost: x\r\nx-api-key: {client.server.key}\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    with socket.create_connection((client.server.host, client.server.port), 10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_unknown_path_is_404(client: Client) -> None:
    assert client.get("/api/post/speech").status_code == 404


def test_credits_go_down_by_three_per_second(http: httpx.Client) -> None:
    with start_server(credits=100) as server:
        client = Client(http, server)
        assert client.get("/api/usages/credits", key="gd_wrong").status_code == 401
        client.messages(BODY)
        page = client.get("/api/usages/credits").json()
        assert page["remaining_credits"] == pytest.approx(100 - 7.5)
        assert page.keys() == {
            "remaining_credits",
            "allocated_credits",
            "billing_period",
            "next_rollover_date",
            "plan_name",
            "recognizer",
        }
        assert page["recognizer"] == "fingerprint", "nobody takes it for the service"
        client.messages(wav(noise("more", 31)))
        assert client.refusal(BODY).startswith("error from server 1008: Insufficient credits")
        assert server.stats()["credits_charged"] == pytest.approx(33.5 * 3)


def test_any_key_is_let_in_where_none_is_set_but_not_none_at_all(http: httpx.Client) -> None:
    with start_server(key=None) as server:
        client = Client(http, server)
        assert client.texts(BODY, key="gd_whatever") == texts(SAMPLES)
        assert "1008" in client.refusal(BODY, key="")


def test_sessions_over_the_cap_are_refused_while_others_are_worked_on(http: httpx.Client) -> None:
    with start_server(max_sessions=1, faults='[[fault]]\nkind = "hang"\nat_most = 1') as server:
        client = Client(http, server)
        key = f"x-api-key: {server.key}\r\n"
        request = f"POST /api/post/speech/asr HTTP/1.1\r\nHost: x\r\n{key}Content-Length: {len(BODY)}\r\n\r\n"
        with socket.create_connection((server.host, server.port), 10) as connection:
            connection.sendall(request.encode() + BODY)
            until(lambda: server.stats()["sessions"] == 1)
            assert "Concurrency limit" in client.refusal(BODY)
        # the hung client has gone, and its session with it
        until(lambda: server.stats()["sessions"] == 0)
        assert client.texts(BODY) == texts(SAMPLES)
        assert server.stats()["max_sessions"] == 1
        assert server.stats()["outcomes"]["concurrency_limit"] == 1


def test_latency_and_realtime_factor_delay_the_answer(http: httpx.Client) -> None:
    with start_server(latency_s=0.1, realtime_factor=0.1) as server:
        before = time.monotonic()
        Client(http, server).messages(BODY)
        assert time.monotonic() - before >= 0.35


def test_stats_count_requests_and_answers_by_body(http: httpx.Client) -> None:
    with start_server() as server:
        client = Client(http, server)
        client.messages(BODY)
        client.messages(BODY)
        client.refusal(BODY, content_type="audio/flac")
        client.refusal(b"no wav")
        stats = server.stats()
        assert (stats["requests"], stats["answered"], stats["in_flight"]) == (4, 2, 0)
        assert stats["outcomes"] == {"answered": 2, "unsupported_content_type": 1, "bad_audio": 1}
        assert stats["bodies"][sha256(BODY)] == {"requests": 3, "answered": 2}
        assert stats["credits_charged"] == pytest.approx(15)


def test_client_that_leaves_is_noted_and_holds_no_session(http: httpx.Client) -> None:
    head = f"POST /api/post/speech/asr HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\nContent-Length: {len(BODY)}\r\n\r\n"
    with start_server(key=None, faults='[[fault]]\nkind = "drip"\ninterval_s = 0.001\ntimes = 1') as server:
        for sent in (BODY[:-1], BODY):
            with socket.create_connection((server.host, server.port), 10) as connection:
                connection.sendall(head.encode() + sent)
                until(lambda: server.stats()["in_flight"] == 1)
                if sent == BODY:
                    assert connection.recv(12) == b"HTTP/1.1 200"
            until(lambda: server.stats()["in_flight"] == 0)
        assert server.stats()["outcomes"] == {"client_gone": 2}
        assert server.stats()["sessions"] == 0
        assert server.stderr() == ""
        # a chunk, then something that is none: aiohttp tells of it, and it is not taken for a mistake of the server
        with socket.create_connection((server.host, server.port), 10) as connection:
            chunked = head.replace(f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked")
            connection.sendall(chunked.encode() + b"3\r\nabc\r\nno chunk\r\n")
            assert not connection.recv(100).startswith(b"HTTP/1.1 200")
        assert Client(http, server).texts(BODY) == texts(SAMPLES)
        assert "mistake of the local server" not in server.stderr()
