"""The endpoint as the protocol tells it, seen from the client's side."""

from __future__ import annotations

import json
import socket
import time

import httpx
import pytest

from pipeline.gradium.wire import LANGUAGE_REQUIRED, EndText, Text
from pipeline.server.answer import messages
from pipeline.server.recognizer import RecognizedWord
from pipeline.server.refusal import BAD_KEY
from tests.server.bodies import ENGLISH, noise, sha256, texts, wav
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
        f"POST /api/post/speech/asr{ENGLISH} HTTP/1.1\r\nHost: x\r\nx-api-key: {client.server.key}\r\n"
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
        ('{"language":"xx"}', "unknown language 'xx'"),
        ('{"delay_in_frames":4}', "delay_in_frames 4"),
        ('{"temp":1.6}', "temp 1.6 is not between 0 and 1.5"),
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


@pytest.mark.parametrize("config", ["{", "[]", '{"temp":"hot"}'])
def test_settings_that_do_not_parse_are_refused(client: Client, config: str) -> None:
    assert client.refusal(BODY, json_config=config).startswith("error from server 1011: invalid json_config: ")


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


@pytest.mark.parametrize("longest_s", [300, 3000])
def test_so_many_seconds_pass_and_more_are_refused(http: httpx.Client, longest_s: int) -> None:
    limit = bytes(longest_s * 8000 * 2)
    with start_server(max_audio_s=longest_s) as server:
        client = Client(http, server)
        assert client.messages(limit, input_format="pcm_8000")[-1]["type"] == "end_of_stream"
        text = client.refusal(limit + bytes(160), input_format="pcm_8000")
    assert text == f"error from server 1008: audio of {longest_s}.0 s is longer than the limit of {longest_s} s"


@pytest.mark.parametrize("config", [None, "{}", '{"temp":0}'])
def test_a_language_is_demanded_unless_it_is_told_not_to(http: httpx.Client, config: str | None) -> None:
    query = {} if config is None else {"json_config": config}
    for required in (True, False):
        with start_server(language_required=required) as server:
            answer = http.post(server.url, headers=server.headers, content=BODY, params=query)
        assert answer.status_code == (500 if required else 200)
        assert answer.text.startswith("error from server 1011: A language is required") == required


REFUSED = {
    "bad key": ({"key": "gd_other"}, BAD_KEY, 1008, 401),
    "bad audio": ({"body": b"RIFF"}, "invalid WAV: no RIFF/WAVE header", 1008, 400),
    "bad settings": ({"json_config": {"temp": 9}}, "invalid json_config: temp 9 is not between 0 and 1.5", 1008, 422),
    "no language": ({"json_config": "{}"}, LANGUAGE_REQUIRED, 1011, 500),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_refusals_have_the_form_that_is_asked_for(http: httpx.Client, refused: str) -> None:
    request, reason, code, status = REFUSED[refused]
    answers = []
    for form in ("documented", "live", "json"):
        with start_server(refusals=form) as server:
            answers.append(Client(http, server).post(**{"body": BODY, **request}))
    documented, live, as_json = answers
    assert (documented.status_code, documented.text) == (500, f"error from server {code}: {reason}")
    first, _, footer = live.text.partition("\n")
    assert (live.status_code, first) == (500, f"error from server Some({code}): {reason}")
    assert "API key" in footer
    assert as_json.status_code == status
    page = as_json.json()
    detail = page.get("detail")
    assert reason in (detail, detail[0]["msg"] if isinstance(detail, list) else page.get("error", {}).get("message"))


def test_times_come_with_the_decoders_delay_or_without(http: httpx.Client) -> None:
    found = {}
    for times in ("delayed", "audio"):
        with start_server(times=times) as server:
            stream = Client(http, server).messages(BODY, json_config={"delay_in_frames": 10})
        found[times] = [one["start_s"] for one in stream if one["type"] == "text"]
    assert found["audio"][0] == 0
    assert found["delayed"] == pytest.approx([start_s + 0.8 for start_s in found["audio"]])


def test_several_words_come_in_one_message_and_punctuation_alone() -> None:
    words = [
        RecognizedWord(text, n, n + 0.5)
        for n, text in enumerate(["Hello,", "world", "and", "you!", "All", "of", "you", "who", "are", "here", "today"])
    ]
    same = {"duration_s": 9, "delay_in_frames": 0, "request_id": "r", "model": "m", "times": "audio"}
    stream = messages(words, words_per_text=3, **same)
    found = [one for one in stream if isinstance(one, Text | EndText)]
    told = [one.text for one in found if isinstance(one, Text)]
    assert [mark for mark in told if not any(map(str.isalnum, mark))] == [",", "!"]
    assert (
        "".join(f" {text}" if any(map(str.isalnum, text)) else text for text in told)
        == " Hello, world and you! All of you who are here today"
    )
    assert any(" " in text for text in told)
    assert found[:3] == [Text("Hello", 0, 0), EndText(0.5, 0), Text(",", 0.5, 0)]


def test_a_session_stays_counted_for_a_moment_after_its_answer(http: httpx.Client) -> None:
    with start_server(linger_s=0.5, max_sessions=1) as server:
        client = Client(http, server)
        assert client.post(BODY).status_code == 200
        assert "Concurrency limit" in client.refusal(BODY)
        until(lambda: server.stats()["sessions"] == 0)
        assert client.post(BODY).status_code == 200


def test_answers_and_refusals_say_where_they_were_computed(http: httpx.Client) -> None:
    with start_server(residency="pinned; zone=eu") as server:
        client = Client(http, server)
        for answer in (client.post(BODY), client.post(b"RIFF")):
            assert answer.headers["x-gradium-residency"] == "pinned; zone=eu"


def test_a_translation_costs_four_credits_a_second(http: httpx.Client) -> None:
    with start_server() as server:
        client = Client(http, server)
        client.post(BODY, model="stt-translate")
        stats = server.stats()
    assert stats["credits_charged"] == pytest.approx(stats["audio_s"] * 4)


def test_endless_body_is_refused_without_being_read(client: Client) -> None:
    key = f"x-api-key: {client.server.key}\r\n"
    head = f"POST /api/post/speech/asr{ENGLISH} HTTP/1.1\r\nHost: x\r\n{key}Content-Length: {1 << 40}\r\n\r\n"
    with socket.create_connection((client.server.host, client.server.port), 10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_curls_expect_100_continue_is_answered(client: Client) -> None:
    head = (
        f"POST /api/post/speech/asr{ENGLISH} HTTP/1.1\r\nHost: x\r\nx-api-key: {client.server.key}\r\n"
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
        request = f"POST /api/post/speech/asr{ENGLISH} HTTP/1.1\r\nHost: x\r\n{key}Content-Length: {len(BODY)}\r\n\r\n"
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


def test_stats_want_the_key_that_the_server_was_given(http: httpx.Client, client: Client) -> None:
    assert http.get(f"{client.server.base}/_stats").status_code == 401
    wrong = client.get("/_stats", key="gd_wrong")
    assert (wrong.status_code, wrong.json().keys()) == (401, {"detail"})
    with start_server(key=None) as server:
        assert http.get(f"{server.base}/_stats").json()["requests"] == 0


def test_client_that_leaves_is_noted_and_holds_no_session(http: httpx.Client) -> None:
    head = (
        f"POST /api/post/speech/asr{ENGLISH} HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
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
