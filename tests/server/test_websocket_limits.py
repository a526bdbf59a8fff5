"""The WebSocket at its limits: clients that leave, say nothing or too much, sessions, credits, faults, the clock."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from pipeline.server import body as bodies
from pipeline.server.faults.plan import KINDS, FaultPlan
from pipeline.server.fingerprint import Fingerprint
from pipeline.server.frames import Setup
from pipeline.server.ledger import Ledger
from pipeline.server.options import ServerOptions
from pipeline.server.refusal import RefusalError
from pipeline.server.service import Service
from pipeline.server.session import Session
from tests.server.bodies import RATE, encoded, noise, texts, wav
from tests.server.conftest import Client, texts_of, until
from tests.server.test_websocket import END, SAMPLES, SETUP, audio, talk
from tests.servers import start_server

FAULTS = Path(__file__).parents[2] / "docs" / "local-server.md"
REQUIRED = {
    "cut": "at_byte = 40",
    "connection_refused": "for_s = 0.1",
    "session_cap": "cap = 0",
    "credits_spent": "after_audio_s = 0",
    "other_delay": "delay_in_frames = 10",
    "long_line": "size_bytes = 100000",
    "drip": "interval_s = 0.0001",
    "page": "status = 403",
    "hang": "for_s = 0.1",
    "policy": "message = 'no'",
    "json_refusal": "message = 'no'",
    "redirect": "location = 'http://127.0.0.1:9/'",
}
WORDS = texts(SAMPLES)


@contextmanager
def serving(**options: Any) -> Iterator[Client]:
    with start_server(**options) as server, httpx.Client(timeout=20, trust_env=False) as http:
        yield Client(http, server)


def said(client: Client, *sent: object) -> tuple[list[dict[str, Any]], int | None]:
    return asyncio.run(talk(client, *sent))


def is_free(client: Client) -> bool:
    """Whether no session stays counted, and others are answered."""
    until(lambda: client.server.stats()["sessions"] == client.server.stats()["in_flight"] == 0)
    return client.texts(wav(SAMPLES)) == WORDS


def test_a_client_that_leaves_in_mid_audio_holds_no_session_and_pays_nothing(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"

    async def leave(client: Client) -> None:
        headers = {"x-api-key": client.server.key}
        async with aiohttp.ClientSession(headers=headers) as session:
            socket = await session.ws_connect(f"{client.server.base}/api/speech/asr")
            await socket.send_str(json.dumps(SETUP))
            await socket.send_str(json.dumps(audio(wav(SAMPLES))))
            assert (await socket.receive_json())["type"] == "ready"
            socket._response.connection.transport.abort()  # type: ignore[union-attr]

    with serving(request_log=log) as client:
        asyncio.run(leave(client))
        until(lambda: client.server.stats()["outcomes"].get("client_gone") == 1)
        assert client.server.stats()["credits_charged"] == 0
        assert is_free(client)
    assert [json.loads(line)["outcome"] for line in log.read_text().splitlines()] == ["client_gone", "answered"]


@pytest.mark.slow
def test_a_client_that_says_nothing_is_dropped() -> None:
    with serving(body_s=0.3) as client:
        for sent in ((), (SETUP,), (SETUP, audio(wav(SAMPLES[:3000])))):
            began = time.monotonic()
            messages, code = said(client, *sent)
            assert (messages[-1]["type"], code) == ("error", messages[-1]["code"])
            assert time.monotonic() - began < 10
        assert is_free(client)


@pytest.mark.slow
def test_a_frame_that_is_too_large_is_told_and_others_are_answered() -> None:
    with serving() as client:
        messages, code = said(client, SETUP, audio(bytes(17 << 20)))
        assert code in (1009, None, 1006), "closed for its size, or the error was overtaken by the reset"
        assert all(one["type"] in ("ready", "error") for one in messages)
        assert is_free(client)


@asynccontextmanager
async def begun(client: Client) -> AsyncIterator[None]:
    """A session that is held for the length of the block."""
    async with (
        aiohttp.ClientSession(headers={"x-api-key": client.server.key}) as session,
        session.ws_connect(f"{client.server.base}/api/speech/asr") as socket,
    ):
        await socket.send_str(json.dumps(SETUP))
        await socket.receive_json()
        yield


def test_more_sessions_than_the_plan_has_are_refused() -> None:
    async def both(client: Client) -> tuple[list[dict[str, Any]], int | None]:
        async with begun(client):
            return await talk(client, SETUP)

    with serving(max_sessions=1) as client:
        (error,), code = asyncio.run(both(client))
        assert "Concurrency limit" in error["message"]
        assert (error["code"], error["client_req_id"], code) == (1008, "mine", 1008)
        assert is_free(client)


def test_it_bills_the_same_account() -> None:
    whole = (SETUP, audio(wav(SAMPLES)), END)
    with serving(unit_s=15, overhead_s=1.04, credits=90) as client:
        for left in (45, 0):
            assert texts_of(said(client, *whole)[0]) == WORDS
            page = client.get("/api/usages/credits").json()
            assert page["remaining_credits"] == left
        (error,), code = said(client, *whole)
        assert "Insufficient credits" in error["message"]
        assert code == 1008


def test_a_language_may_be_demanded_there_too() -> None:
    with serving(websocket_language_required=True) as client:
        (error,), code = said(client, SETUP)
        assert "A language is required" in error["message"]
        assert (error["code"], code) == (1011, 1011)
        named = SETUP | {"json_config": json.dumps({"language": "fr"})}
        assert said(client, named, audio(wav(SAMPLES)), END)[1] == 1000


def test_words_of_flushed_pieces_are_on_the_clock_of_the_stream(client: Client) -> None:
    first, second = noise("first", 2.0), noise("second", 1.0)
    setup = {"type": "setup", "input_format": "pcm_16000", "json_config": {"delay_in_frames": 10}}
    flushes = ({"type": "flush", "flush_id": number} for number in (7, "last"))
    messages, code = said(client, setup, audio(first), next(flushes), audio(second), next(flushes), END)
    assert code == 1000
    assert [one["flush_id"] for one in messages if one["type"] == "flushed"] == [7, "last"]
    assert [one["start_s"] for one in messages if one["type"] == "text"] == pytest.approx([0.8, 1.8, 2.8])
    assert texts_of(messages) == texts(first) + texts(second)


@pytest.mark.parametrize("sent_as", ["wav", "opus"])
@pytest.mark.parametrize("begun", [0, 20, 44])
def test_a_flush_before_the_audio_has_begun_is_answered(client: Client, sent_as: str, begun: int) -> None:
    body = wav(SAMPLES) if sent_as == "wav" else encoded(SAMPLES, "OGG", "OPUS")
    setup = SETUP | {"input_format": sent_as}
    messages, code = said(client, setup, audio(body[:begun]), {"type": "flush"}, audio(body[begun:]), END)
    assert code == 1000, messages[-1]
    assert [one["type"] for one in messages].count("flushed") == 1
    whole, _ = said(client, setup, audio(body), END)
    assert texts_of(messages) == texts_of(whole)
    assert said(client, setup, {"type": "flush"}, END)[1] == 1008


def test_flushed_audio_is_billed_before_a_fault_replaces_the_answer(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    with serving(request_log=log, faults='[[fault]]\nkind = "empty_200"') as client:
        assert said(client, SETUP, audio(wav(SAMPLES)), {"type": "flush"}, END)[1] == 1000
        paid = client.server.stats()["audio_s"]
    assert paid == len(SAMPLES) / 2 / RATE
    assert [json.loads(line)["audio_s"] for line in log.read_text().splitlines()] == [paid]


def test_a_session_waits_for_memory_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of several may hold what the others wait for."""
    monkeypatch.setattr(bodies, "ONE_CLIENTS_BYTES", 10)

    async def fed() -> None:
        options = ServerOptions(recognizer="fingerprint", body_s=0.05)
        ledger = Ledger(None)
        service = Service(options, recognizer=Fingerprint(options), plan=FaultPlan(), ledger=ledger)
        async with service.bodies.memory("somebody") as memory:
            session = Session(Setup(input_format="pcm"), ledger.arrive(), service, memory)
            await session.feed(bytes(10))
            with pytest.raises(RefusalError) as caught:
                await asyncio.wait_for(session.feed(b"\0"), 20)
            assert caught.value.outcome == "body_too_slow"

    asyncio.run(fed())


@pytest.mark.parametrize(
    ("sent_as", "body"),
    [
        ("wav", wav(b"".join(b"\0" + SAMPLES[at : at + 2] for at in range(0, len(SAMPLES), 2)), bits=24)),
        ("wav", wav(b"".join(b"\0\0" + SAMPLES[at : at + 2] for at in range(0, len(SAMPLES), 2)), bits=32)),
        ("wav", wav(SAMPLES, channels=2)),
        ("pcm_8000", SAMPLES),
        ("ulaw_8000", SAMPLES),
        ("opus", encoded(SAMPLES, "OGG", "OPUS")),
    ],
    ids=["24 bits", "32 bits", "stereo", "pcm", "ulaw", "opus"],
)
@pytest.mark.parametrize("size", [997, 1 << 20])
def test_the_words_are_those_of_http(client: Client, sent_as: str, body: bytes, size: int) -> None:
    pieces = [audio(body[at : at + size]) for at in range(0, len(body), size)]
    messages, code = said(client, SETUP | {"input_format": sent_as}, *pieces, END)
    assert code == 1000, messages[-1]
    words = texts_of(messages)
    assert words
    assert words == client.texts(body, input_format=sent_as)


@pytest.mark.parametrize(("asks", "ends"), [({"type": "flush"}, "flushed"), (END, "end_of_stream")])
def test_pings_are_answered_while_words_are_recognized(asks: object, ends: str) -> None:
    async def asked(client: Client) -> list[str]:
        headers = {"x-api-key": client.server.key}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(f"{client.server.base}/api/speech/asr", autoping=False) as socket,
        ):
            for one in (SETUP, audio(wav(SAMPLES)), asks):
                await socket.send_str(json.dumps(one))
            await socket.ping()
            seen: list[str] = []
            while ends not in seen:
                message = await socket.receive(20)
                seen.append("pong" if message.type is aiohttp.WSMsgType.PONG else message.json()["type"])
            return [one for one in seen if one != "step"]

    with serving(latency_s=0.2) as client:
        assert asyncio.run(asked(client)) == ["ready", "pong", *["text", "end_text"] * len(WORDS), ends]


def test_steps_tell_silence_from_sound(client: Client) -> None:
    setup = {"type": "setup", "input_format": "pcm_16000"}
    messages, _ = said(client, setup, audio(noise("loud", 3.2) + bytes(32_000 * 4)), END)
    steps = [one for one in messages if one["type"] == "step"]
    assert [one["step_idx"] for one in steps] == [*range(90)]
    assert [len(one["vad"]) for one in steps] == [4] * 90
    assert steps[39]["vad"][2]["inactivity_prob"] < 0.1
    assert steps[-1]["vad"][2]["inactivity_prob"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_fault_holds_the_server(kind: str) -> None:
    """Each ends: in an `error`, a cut, or an answer that is damaged as the page says; the next session is answered."""
    fault = f'[[fault]]\nkind = "{kind}"\nat_most = 1\n{REQUIRED.get(kind, "")}\n'
    assert f"| `{kind}` |" in FAULTS.read_text("utf-8")
    with serving(faults=fault) as client:

        async def asked() -> None:
            async with asyncio.timeout(1 if kind == "open_end" else 15):
                messages, code = await talk(client, SETUP, audio(wav(SAMPLES)), END)
            errors = [one for one in messages if one["type"] == "error"]
            assert not errors or code in (errors[0]["code"], 1008, 1011), (messages, code)

        try:
            asyncio.run(asked())
        except (TimeoutError, aiohttp.ClientError, ValueError):
            assert kind in ("open_end", "invalid_utf8", "malformed_line", "untidy_lines", "connection_refused")
        if kind not in ("credits_spent", "key_revoked"):
            until(lambda: _answers(client))
        assert "Traceback" not in client.server.stderr()


def _answers(client: Client) -> bool:
    try:
        return texts_of(said(client, SETUP, audio(wav(SAMPLES)), END)[0]) == WORDS
    except (aiohttp.ClientError, ConnectionError):
        return False


def test_a_server_that_is_stopped_lets_no_socket_hold_it() -> None:
    async def held(client: Client) -> int:
        async with begun(client):
            return await asyncio.to_thread(client.server.stop)

    with start_server() as server, httpx.Client() as http:
        assert asyncio.run(held(Client(http, server))) == 0
        assert not re.search("Traceback", server.stderr())
