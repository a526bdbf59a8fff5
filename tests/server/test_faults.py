"""Each kind of fault, seen from the client's side. One server has them all, each for a body of its own."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from pipeline.server.faults.plan import KINDS
from tests.server.bodies import ENGLISH, noise, sha256, texts, wav
from tests.server.conftest import Client, lines, texts_of
from tests.servers import RunningServer, start_server

FAULTS: dict[str, dict[str, Any]] = {
    "internal_error": {},
    "policy": {"message": "setup not allowed"},
    "proxy_rejection": {},
    "rate_limited": {},
    "rate_limited with header": {"retry_after_s": 7},
    "unavailable": {"retry_after_s": 3600},
    "bad_gateway": {},
    "bad_gateway 504": {"status": 504},
    "redirect": {"location": "http://other.example/api/post/speech/asr"},
    "reset_before_answer": {},
    "reset_in_stream": {"after_lines": 3},
    "cut": {"at_byte": 250},
    "cut at once": {"at_byte": 0},
    "hang": {},
    "hang a while": {"for_s": 0.05},
    "drip": {"interval_s": 0.0, "chunk_bytes": 1},
    "settings_refused": {"keys": ["temp"]},
    "stream_error": {"message": "decoder lost", "after_words": 2},
    "duplicate_messages": {},
    "no_end_text": {},
    "no_end_text last": {"last_only": True},
    "no_stop_s": {},
    "times_backwards": {"by_s": 1.5},
    "other_delay": {"delay_in_frames": 20},
    "no_ready": {},
    "no_end_of_stream": {},
    "malformed_line": {},
    "invalid_utf8": {},
    "open_end": {},
    "long_line": {"size_bytes": 3_000_000},
    "empty_200": {},
    "page": {"status": 403, "retry_after_s": 3},
    "json_refusal": {"message": "no such model", "status": 422},
    "untidy_lines": {},
    "odd_chunks": {},
    "unknown_types": {},
}
"""Named by the kind; what stands behind a space tells two faults of one kind apart."""
STANDING = {"connection_refused", "session_cap", "key_revoked", "credits_spent"}
"""Need servers of their own: see test_standing_faults.py."""
SECONDS = 6.0


def samples(name: str) -> bytes:
    return noise(name, SECONDS, 8000)


def body(name: str) -> bytes:
    return wav(samples(name), rate=8000)


def words(name: str) -> list[str]:
    return texts(samples(name), 8000)


def toml(kind: str, **keys: Any) -> str:
    """Returns one entry of a faults file; JSON's values are TOML's."""
    pairs = [f"{key} = {json.dumps(value)}" for key, value in {"kind": kind, **keys}.items()]
    return "\n".join(["[[fault]]", *pairs, ""])


@pytest.fixture(scope="module")
def faulty(http: httpx.Client) -> Iterator[Client]:
    entries = [toml(name.split(" ")[0], sha256=sha256(body(name)), **keys) for name, keys in FAULTS.items()]
    with start_server(faults="\n".join(entries)) as server:
        yield Client(http, server)
        assert server.stderr() == ""


def raw(server: RunningServer, audio: bytes, timeout: float = 10) -> bytes:
    """Sends a request over a bare socket and returns every byte that comes back."""
    head = (
        f"POST /api/post/speech/asr{ENGLISH} HTTP/1.1\r\nHost: x\r\nx-api-key: {server.key}\r\n"
        f"Content-Length: {len(audio)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((server.host, server.port), timeout) as connection:
        connection.sendall(head.encode() + audio)
        received = b""
        while data := connection.recv(1 << 20):
            received += data
        return received


def outcome(client: Client, name: str) -> dict[str, int]:
    counts: dict[str, int] = client.server.stats()["bodies"][sha256(body(name))]
    return counts


def test_every_kind_has_its_test() -> None:
    assert {name.split(" ")[0] for name in FAULTS} | STANDING == set(KINDS)


def test_body_without_a_fault_is_answered(faulty: Client) -> None:
    assert faulty.texts(body("none")) == words("none")


def test_internal_error(faulty: Client) -> None:
    assert faulty.refusal(body("internal_error")) == "error from server 1011: internal server error"


def test_policy(faulty: Client) -> None:
    assert faulty.refusal(body("policy")) == "error from server 1008: setup not allowed"


def test_proxy_rejection_has_no_code(faulty: Client) -> None:
    assert "error from server" not in faulty.refusal(body("proxy_rejection"))


def test_rate_limited_with_and_without_retry_after(faulty: Client) -> None:
    bare = faulty.post(body("rate_limited"))
    assert (bare.status_code, bare.headers.get("retry-after")) == (429, None)
    told = faulty.post(body("rate_limited with header"))
    assert (told.status_code, told.headers["retry-after"]) == (429, "7")


def test_unavailable_tells_a_date(faulty: Client) -> None:
    answer = faulty.post(body("unavailable"))
    assert answer.status_code == 503
    ahead = parsedate_to_datetime(answer.headers["retry-after"]) - parsedate_to_datetime(answer.headers["date"])
    assert 3590 <= ahead.total_seconds() <= 3601


@pytest.mark.parametrize(("name", "status"), [("bad_gateway", 502), ("bad_gateway 504", 504)])
def test_bad_gateway_is_a_page(faulty: Client, name: str, status: int) -> None:
    answer = faulty.post(body(name))
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html")
    assert "<html>" in answer.text


def test_redirect_points_elsewhere(faulty: Client) -> None:
    answer = faulty.post(body("redirect"))
    assert (answer.status_code, answer.headers["location"]) == (307, "http://other.example/api/post/speech/asr")


def test_page(faulty: Client) -> None:
    answer = faulty.post(body("page"))
    assert (answer.status_code, answer.headers["retry-after"]) == (403, "3")
    assert "<h1>403 Forbidden</h1>" in answer.text


def test_json_refusal(faulty: Client) -> None:
    answer = faulty.post(body("json_refusal"))
    assert (answer.status_code, answer.json()) == (422, {"detail": "no such model"})


def test_reset_before_answer(faulty: Client) -> None:
    with pytest.raises(ConnectionResetError):
        raw(faulty.server, body("reset_before_answer"))
    with pytest.raises(httpx.ReadError):
        faulty.post(body("reset_before_answer"))


def test_reset_in_stream(faulty: Client) -> None:
    received: list[str] = []
    with (
        pytest.raises(httpx.ReadError),
        httpx.stream(
            "POST", faulty.server.url + ENGLISH, headers=faulty.server.headers, content=body("reset_in_stream")
        ) as answer,
    ):
        received.extend(answer.iter_lines())
    assert len(received) == 3


def test_cut_ends_at_the_byte_without_the_end_of_the_body(faulty: Client) -> None:
    received = raw(faulty.server, body("cut")).partition(b"\r\n\r\n")[2]
    assert received.startswith(b"fa\r\n{")
    assert len(received) == len(b"fa\r\n") + 250 + len(b"\r\n")
    with pytest.raises(httpx.RemoteProtocolError):
        faulty.post(body("cut"))
    assert outcome(faulty, "cut") == {"requests": 2, "answered": 0}


def test_cut_at_byte_0_sends_the_status_only(faulty: Client) -> None:
    head, _, rest = raw(faulty.server, body("cut at once")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert rest == b""


def test_hang_never_answers(faulty: Client) -> None:
    with pytest.raises(TimeoutError):
        raw(faulty.server, body("hang"), timeout=0.3)


def test_hang_for_a_while_answers(faulty: Client) -> None:
    assert faulty.texts(body("hang a while")) == words("hang a while")


def test_drip_sends_single_bytes(faulty: Client) -> None:
    assert raw(faulty.server, body("drip")).partition(b"\r\n\r\n")[2].startswith(b"1\r\n{\r\n1\r\n")
    assert faulty.texts(body("drip")) == words("drip")


def test_settings_refused_is_an_empty_200_for_the_named_keys(faulty: Client) -> None:
    name = "settings_refused"
    refused = faulty.post(body(name), json_config={"temp": 0.5})
    assert (refused.status_code, refused.content) == (200, b"")
    assert faulty.texts(body(name), json_config={"language": "en"}) == words(name)
    outside = faulty.post(body(name), json_config={"delay_in_frames": 3})
    assert (outside.status_code, outside.content) == (200, b"")


def test_stream_error_comes_after_some_words_and_ends_cleanly(faulty: Client) -> None:
    stream = faulty.messages(body("stream_error"))
    assert texts_of(stream) == words("stream_error")[:2]
    assert stream[-1] == {"type": "error", "message": "decoder lost", "code": 1011}
    assert outcome(faulty, "stream_error") == {"requests": 1, "answered": 0}


def test_duplicate_messages(faulty: Client) -> None:
    stream = faulty.messages(body("duplicate_messages"))
    assert stream[0::2] == stream[1::2]
    assert texts_of(stream[0::2]) == words("duplicate_messages")
    assert outcome(faulty, "duplicate_messages") == {"requests": 1, "answered": 1}


def test_no_end_text(faulty: Client) -> None:
    assert not [m for m in faulty.messages(body("no_end_text")) if m["type"] == "end_text"]
    kinds = [m["type"] for m in faulty.messages(body("no_end_text last")) if m["type"] != "step"]
    assert kinds == ["ready", *["text", "end_text"] * 5, "text", "end_of_stream"]


def test_no_stop_s(faulty: Client) -> None:
    ends = [m for m in faulty.messages(body("no_stop_s")) if m["type"] == "end_text"]
    assert ends == [{"type": "end_text", "stream_id": 0}] * 6


def test_times_backwards(faulty: Client) -> None:
    stream = faulty.messages(body("times_backwards"), json_config={"delay_in_frames": 10})
    starts = [m["start_s"] for m in stream if m["type"] == "text"]
    assert starts == pytest.approx([0.8, 0.3, 2.8, 2.3, 4.8, 4.3])


def test_other_delay_is_reported_and_in_the_times(faulty: Client) -> None:
    stream = faulty.messages(body("other_delay"), json_config={"delay_in_frames": 10})
    assert stream[0]["delay_in_frames"] == 20
    assert [m["start_s"] for m in stream if m["type"] == "text"] == pytest.approx([at + 1.6 for at in range(6)])
    assert next(m["stop_s"] for m in stream if m["type"] == "end_text") == pytest.approx(2.6)


def test_no_ready_and_no_end_of_stream(faulty: Client) -> None:
    for name, missing in (("no_ready", "ready"), ("no_end_of_stream", "end_of_stream")):
        stream = faulty.messages(body(name))
        assert texts_of(stream) == words(name)
        assert missing not in [m["type"] for m in stream]


def test_malformed_line(faulty: Client) -> None:
    bad = [line for line in faulty.post(body("malformed_line")).content.splitlines() if not line.endswith(b"}")]
    assert len(bad) == 1


def test_invalid_utf8(faulty: Client) -> None:
    with pytest.raises(UnicodeDecodeError):
        faulty.post(body("invalid_utf8")).content.decode()


def test_open_end(faulty: Client) -> None:
    url = urlsplit(faulty.server.url)
    with socket.create_connection((url.hostname, url.port)) as peer:
        sent = body("open_end")
        head = f"POST /api/post/speech/asr{ENGLISH} HTTP/1.1\r\nHost: a\r\nx-api-key: {faulty.server.key}\r\n"
        peer.sendall(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
        said = b""
        while b"end_of_stream" not in said:
            said += peer.recv(1 << 16)
        peer.settimeout(0.1)
        with pytest.raises(TimeoutError):
            peer.recv(1)


def test_long_line(faulty: Client) -> None:
    longest = max(faulty.post(body("long_line")).content.splitlines(keepends=True), key=len)
    assert len(longest) == 3_000_000
    assert json.loads(longest)["type"] == "text"


def test_empty_200(faulty: Client) -> None:
    answer = faulty.post(body("empty_200"))
    assert (answer.status_code, answer.content) == (200, b"")


def test_untidy_lines(faulty: Client) -> None:
    content = faulty.post(body("untidy_lines")).content
    assert content.startswith(b"\xef\xbb\xbf{")
    assert b"}\r\n\r\n{" in content
    assert content.endswith(b"}")
    assert texts_of([json.loads(line) for line in content[3:].split()]) == words("untidy_lines")


def test_odd_chunks_end_inside_characters(faulty: Client) -> None:
    chunks: list[bytes] = []
    with httpx.stream(
        "POST", faulty.server.url + ENGLISH, headers=faulty.server.headers, content=body("odd_chunks")
    ) as answer:
        whole = b"".join(answer.iter_bytes())
    pieces = raw(faulty.server, body("odd_chunks")).partition(b"\r\n\r\n")[2].split(b"\r\n")
    chunks = pieces[1::2]
    assert any(not chunk[:1].isascii() and chunk[0] & 0xC0 == 0x80 for chunk in chunks if chunk)
    assert texts_of([json.loads(line) for line in whole.split(b"\n") if line]) == words("odd_chunks")


def test_unknown_types(faulty: Client) -> None:
    stream = lines(faulty.post(body("unknown_types")))
    assert {"type": "speaker_change", "speaker": 2, "at_s": 0.5} in stream
    assert texts_of(stream) == words("unknown_types")


def test_the_server_is_well_after_all_that(faulty: Client) -> None:
    assert faulty.texts(body("last")) == words("last")
    assert faulty.server.stats()["in_flight"] == 0
